// The one connection that all channels share: opened, watched, opened again.

import { BridgeError, invalid } from "./errors.js";
import { fetchStream } from "./fetch.js";
import { Followers } from "./followers.js";
import { unreachable } from "./http.js";
import { Link } from "./link.js";
import { watchPage } from "./page.js";
import { backoff } from "./retry.js";
import { StatusLine } from "./status.js";
import { Timers } from "./timers.js";
import { isBadCursor, reasonOf, verdict } from "./verdict.js";

/** @import { Http } from "./http.js" */
/** @import { Subscription } from "./subscription.js" */
/** @import { ConnectOptions, ConnectionState, Message, Status, Transport } from "./types.js" */

/** Milliseconds in which changes of the set of channels become one. */
const COALESCE = 20;
/** Milliseconds after which a stream was a good one: failures are counted from 0 again. */
const HEALTHY = 10_000;
const HIDDEN_FOR = 60_000;

/** @type {Record<string, () => Promise<Transport>>} */
const TRANSPORTS = {
  fetch: async () => fetchStream,
  eventsource: async () => (await import("./eventsource.js")).eventSource(),
  websocket: async () => (await import("./websocket.js")).webSocket(),
};

export class Connection {
  #http;
  #retry;
  #background;
  #transport;
  #followers = new Followers();
  /** Streams that are open or opening; the last is the newest. @type {Link[]} */
  #links = [];
  #serial = 0;
  #attempt = 0;
  #floor = 0;
  #renewed = false;
  #paused = false;
  #closed = false;
  #timers = new Timers();
  #status = new StatusLine();
  #unwatchPage;

  /**
   * @param {ConnectOptions} options
   * @param {Http} http
   * @param {(message: Message) => void} rejected told of each message that says that a write was
   *   refused, on whichever channel
   */
  constructor({ transport = "fetch", retry = backoff(), background = HIDDEN_FOR }, http, rejected) {
    this.#http = http;
    this.rejected = rejected;
    this.#retry = retry;
    this.#background = background;
    this.#transport =
      typeof transport === "function" ? async () => transport : TRANSPORTS[transport];
    if (!this.#transport) {
      throw invalid(`transport: ${transport}; there are ${Object.keys(TRANSPORTS)}`);
    }
    this.#unwatchPage = watchPage({
      wake: () => this.#wake(),
      leave: () => this.#drop(),
      hidden: (hidden) => this.#hide(hidden),
    });
  }

  // What subscriptions ask for.

  /** @param {Subscription} subscription */
  add(subscription) {
    this.#followers.add(subscription);
    this.reopen(subscription);
  }

  /** @param {Subscription} subscription */
  remove(subscription) {
    if (this.#followers.delete(subscription)) this.#refreshSoon();
  }

  /** Frames count again from the next stream on. @param {Subscription} subscription */
  reopen(subscription) {
    if (!this.#followers.has(subscription)) return;
    subscription.serial = this.#serial + 1;
    this.#refreshSoon();
  }

  /** A state could not be fetched, and will be asked for again. @param {BridgeError} error */
  unanswered(error) {
    if (this.status.state === "idle" && error.retryable) this.#say("waiting", error);
  }

  // What the application asks for.

  /** @returns {Status} */
  get status() {
    return this.#status.current;
  }

  /** @param {(status: Status) => void} watcher */
  onStatus(watcher) {
    return this.#status.watch(watcher);
  }

  pause() {
    if (this.#closed) return;
    this.#paused = true;
    this.#drop();
    this.#say("paused");
  }

  /** Goes on now: after a pause, in place of a wait, after an error. */
  resume() {
    this.#paused = false;
    this.#renewed = false;
    this.#attempt = 0;
    this.#floor = 0;
    if (!this.#newest) this.#refreshNow();
  }

  close() {
    this.#closed = true;
    this.#drop();
    this.#timers.stop("hidden");
    this.#followers.clear();
    this.#unwatchPage();
    this.#say("closed");
  }

  // Streams.

  get #newest() {
    return this.#links[this.#links.length - 1];
  }

  #refreshSoon() {
    if (this.#closed || this.#paused || this.status.state === "errored") return;
    if (this.#timers.has("retry")) return;
    this.#timers.after("refresh", COALESCE, () => this.#refreshNow());
  }

  #refreshNow() {
    this.#timers.stop("refresh", "retry");
    if (this.#closed || this.#paused) return;
    if (!this.#followers.size) {
      this.#drop();
      return this.#say("idle");
    }
    const link = this.#newest;
    if (!link?.changes) this.#open();
    else {
      const { add, remove } = this.#followers.change(link);
      link.change(add, remove);
    }
  }

  async #open() {
    const link = new Link(++this.#serial, {
      frame: (from, frame, channels) => this.#frame(from, frame, channels),
      refused: (channel, error) => this.#refuse(channel, error),
      retry: (milliseconds) => {
        this.#floor = milliseconds;
      },
      closed: (from, error) => this.#ended(from, error),
    });
    if (this.#newest && !this.#newest.live) this.#links.pop()?.close();
    this.#links.push(link);
    if (!this.#links.some((each) => each.ready)) this.#say("connecting");
    try {
      const [transport, token] = await Promise.all([this.#transport(), this.#http.token()]);
      const { url, credentials, fetch } = this.#http;
      const request = { url, token, credentials, fetch, ...this.#followers.request(link) };
      if (!link.ended && request.channels.length) link.open(transport, request);
    } catch (cause) {
      const error = cause instanceof BridgeError ? cause : unreachable(cause);
      if (!link.ended) this.#ended(link, error);
    }
  }

  /** @param {Link} link @param {any} frame @param {Iterable<string>} channels */
  #frame(link, frame, channels) {
    switch (frame.type) {
      case "change":
      case "event":
      case "batch":
        return this.#each(link, [frame.channel], (each) => each.take(frame));
      case "resync":
        return this.#each(link, [frame.channel], (each) => each.lost(frame.reason, frame.cursor));
      case "heartbeat":
        return this.#each(link, channels, (each) => each.moved(frame.cursor));
      case "live":
        this.#each(link, channels, (each) => each.live(frame.cursor, !link.changes));
        return this.#lived(link);
      case "ready":
        return this.#readied();
    }
  }

  /** @param {Link} link @param {Iterable<string>} channels @param {(subscription: Subscription) => void} tell */
  #each(link, channels, tell) {
    for (const each of this.#followers.hearing(link, channels)) tell(each);
  }

  #readied() {
    this.#renewed = false;
    this.#say("open");
  }

  /** What it replaces is not needed any more. @param {Link} link */
  #lived(link) {
    while (this.#links.includes(link) && this.#links[0] !== link) this.#links.shift()?.close();
  }

  // Ends.

  /** @param {Link} link @param {BridgeError} error */
  #ended(link, error) {
    link.ended = true;
    const newest = link === this.#newest;
    this.#links = this.#links.filter((each) => each !== link);
    this.#stale();
    if (newest) this.#next(link, error);
  }

  /** Tells those whom no live stream serves. */
  #stale() {
    const live = this.#links.filter((link) => link.live);
    const heard = new Set(live.flatMap((link) => this.#followers.hearing(link, link.channels)));
    for (const each of this.#followers.all) if (!heard.has(each)) each.stale();
  }

  /** What follows the end of the newest stream. @param {Link} link @param {BridgeError} ended */
  #next(link, ended) {
    const error = reasonOf(link.bye, ended);
    const renews = error === ended && this.#http.renews && !this.#renewed;
    switch (verdict(error, renews)) {
      case "renew":
        this.#renewed = true;
        return this.#refreshNow();
      case "channel":
        return this.#refuse(/** @type {any} */ (error).problem.channel, error);
      case "cursor":
        return this.#forget(this.#followers.all, error);
      case "final":
        return this.#refuseAll(error);
      case "wait":
        return this.#wait(link, error);
    }
  }

  /** @param {Link} link @param {BridgeError} error */
  #wait(link, error) {
    if (link.since !== undefined && Date.now() - link.since >= HEALTHY) this.#attempt = 0;
    this.#attempt += 1;
    const wait = this.#retry(this.#attempt, error);
    if (wait === null || wait < 0) return this.#refuseAll(error);
    const { retryAfter = 0 } = /** @type {any} */ (error);
    const delay = Math.max(wait, this.#floor, retryAfter, link.bye?.delay ?? 0);
    this.#floor = 0;
    this.#timers.after("retry", delay, () => this.#refreshNow());
    this.#say("waiting", error, Date.now() + delay);
  }

  /** One channel cannot be followed, or not from its cursor; the others can. @param {string} channel @param {BridgeError} error */
  #refuse(channel, error) {
    const all = this.#followers.of(channel);
    if (isBadCursor(error)) return this.#forget(all, error);
    for (const each of all) {
      this.#followers.delete(each);
      each.failed(error);
    }
    this.#refreshSoon();
  }

  /** Nobody can be followed, but those whom an older stream still serves. @param {BridgeError} error */
  #refuseAll(error) {
    const live = this.#links.find((link) => link.live);
    const served = live ? this.#followers.hearing(live, live.channels) : [];
    if (!live) {
      this.#drop();
      this.#say("errored", error);
    }
    for (const each of this.#followers.all) {
      if (served.includes(each)) continue;
      if (live) this.#followers.delete(each);
      each.failed(error);
    }
  }

  /** A cursor was none, or lies in the future: channels have to be begun again. @param {Subscription[]} all @param {BridgeError} error */
  #forget(all, error) {
    const begun = all.filter((each) => each.parts);
    if (!begun.length) return this.#refuseAll(error);
    for (const each of begun) {
      each.forget();
      this.reopen(each);
    }
  }

  // The page.

  #wake() {
    this.#timers.stop("hidden");
    for (const link of [...this.#links]) link.check();
    if (this.#paused || this.#closed || this.status.state === "errored") return;
    if (!this.#newest && this.#followers.size) this.#refreshNow();
  }

  /** @param {boolean} hidden */
  #hide(hidden) {
    this.#timers.stop("hidden");
    if (!hidden || this.status.state === "errored" || !Number.isFinite(this.#background)) return;
    this.#timers.after("hidden", this.#background, () => {
      this.#drop();
      if (this.#followers.size) this.#say("paused");
    });
  }

  /** Lets all streams go. */
  #drop() {
    this.#timers.stop("refresh", "retry");
    const links = this.#links;
    this.#links = [];
    for (const link of links) link.close();
    if (links.length) this.#stale();
  }

  /** @param {ConnectionState} state @param {BridgeError} [error] @param {number} [retryAt] */
  #say(state, error, retryAt) {
    this.#status.say(state, this.#attempt, error, retryAt);
  }
}

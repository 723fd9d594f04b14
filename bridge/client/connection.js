// The one connection that all channels share: opened, watched, opened again.

import { compose } from "./cursor.js";
import { AuthError, BridgeError } from "./errors.js";
import { fetchStream } from "./fetch.js";
import { Link } from "./link.js";
import { watchPage } from "./page.js";
import { call } from "./report.js";
import { backoff } from "./retry.js";

/** Milliseconds in which changes of the set of channels become one. */
const COALESCE = 20;
/** Milliseconds after which a stream was a good one: failures are counted from 0 again. */
const HEALTHY = 10_000;
const HIDDEN_FOR = 60_000;

/** @type {Record<string, () => Promise<import("./types.js").Transport>>} */
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
  /** @type {Set<import("./subscription.js").Subscription>} */
  #subscriptions = new Set();
  /** Streams that are open or opening; the last is the newest. @type {Link[]} */
  #links = [];
  #serial = 0;
  #attempt = 0;
  #floor = 0;
  #renewed = false;
  #paused = false;
  #closed = false;
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #timers = new Map();
  /** @type {Set<(status: import("./types.js").Status) => void>} */
  #watchers = new Set();
  #unwatchPage;

  /** @param {import("./types.js").ConnectOptions} options @param {import("./http.js").Http} http */
  constructor({ transport = "fetch", retry = backoff(), background = HIDDEN_FOR }, http) {
    this.#http = http;
    this.#retry = retry;
    this.#background = background;
    this.#transport = typeof transport === "function" ? async () => transport : TRANSPORTS[transport];
    if (!this.#transport) {
      throw new BridgeError("invalid_argument", `transport: ${transport}; there are ${Object.keys(TRANSPORTS)}`);
    }
    /** @type {import("./types.js").Status} */
    this.status = { state: "idle", attempt: 0 };
    this.#unwatchPage = watchPage({
      wake: () => this.#wake(),
      leave: () => this.#drop(),
      hidden: (hidden) => this.#hide(hidden),
    });
  }

  // What subscriptions ask for.

  /** @param {import("./subscription.js").Subscription} subscription */
  add(subscription) {
    this.#subscriptions.add(subscription);
    this.reopen(subscription);
  }

  /** @param {import("./subscription.js").Subscription} subscription */
  remove(subscription) {
    if (this.#subscriptions.delete(subscription)) this.#refreshSoon();
  }

  /** Frames count again from the next stream on. @param {import("./subscription.js").Subscription} subscription */
  reopen(subscription) {
    if (!this.#subscriptions.has(subscription)) return;
    subscription.serial = this.#serial + 1;
    this.#refreshSoon();
  }

  // What the application asks for.

  /** @param {(status: import("./types.js").Status) => void} watcher */
  onStatus(watcher) {
    const own = (/** @type {import("./types.js").Status} */ status) => watcher(status);
    this.#watchers.add(own);
    return () => {
      this.#watchers.delete(own);
    };
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
    this.#subscriptions.clear();
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
    this.#after("refresh", COALESCE, () => this.#refreshNow());
  }

  #refreshNow() {
    this.#stop("refresh", "retry");
    if (this.#closed || this.#paused) return;
    if (!this.#subscriptions.size) {
      this.#drop();
      return this.#say("idle");
    }
    if (this.#newest?.changes) this.#change(this.#newest);
    else this.#open();
  }

  /** Each channel, with the cursor that misses nothing for those who follow it. @param {Iterable<import("./subscription.js").Subscription>} [subscriptions] */
  #channels(subscriptions = this.#subscriptions) {
    /** @type {Map<string, import("./cursor.js").Parts[]>} */
    const cursors = new Map();
    for (const { channel, parts } of subscriptions) {
      cursors.set(channel, [...(cursors.get(channel) ?? []), ...(parts ? [parts] : [])]);
    }
    return new Map([...cursors].map(([channel, parts]) => [channel, compose(parts)]));
  }

  /** @param {Link} link that can change its channels while it is open */
  #change(link) {
    const wanted = this.#channels();
    const due = new Set([...this.#subscriptions].filter((each) => each.serial > link.serial).map((each) => each.channel));
    const remove = [...link.channels].filter((channel) => !wanted.has(channel) || due.has(channel));
    const add = [...due].map((channel) => ({ channel, since: wanted.get(channel) }));
    for (const each of this.#subscriptions) if (due.has(each.channel)) each.serial = link.serial;
    link.change(add, remove);
  }

  async #open() {
    const link = new Link(++this.#serial, this.#channels(), {
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
      if (!link.ended) link.open(transport, this.#request(link, token));
    } catch (cause) {
      const error = cause instanceof BridgeError ? cause : new BridgeError("connection", "the transport cannot be loaded", { cause, retryable: true });
      if (!link.ended) this.#ended(link, error);
    }
  }

  /** @param {Link} link @param {string | undefined} token @returns {import("./types.js").StreamRequest} */
  #request(link, token) {
    const { url, credentials, fetch } = this.#http;
    const covered = [...this.#subscriptions].filter((each) => link.channels.has(each.channel));
    const channels = [...this.#channels(covered)].map(([channel, since]) => ({ channel, since }));
    const since = compose(covered.flatMap(({ parts }) => (parts ? [parts] : [])));
    link.channels = new Set(channels.map(({ channel }) => channel));
    return { url, channels, since, token, credentials, fetch };
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
        this.#each(link, channels, (each) => each.live(frame.cursor));
        return this.#lived(link);
      case "ready":
        return this.#readied();
    }
  }

  /** @param {Link} link @param {Iterable<string>} channels @param {(subscription: import("./subscription.js").Subscription) => void} tell */
  #each(link, channels, tell) {
    const names = new Set(channels);
    for (const each of [...this.#subscriptions]) {
      if (names.has(each.channel) && each.serial <= link.serial) tell(each);
    }
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

  #stale() {
    for (const each of [...this.#subscriptions]) {
      const heard = this.#links.some((link) => link.live && link.channels.has(each.channel) && each.serial <= link.serial);
      if (!heard) each.stale();
    }
  }

  /** What follows the end of the newest stream. @param {Link} link @param {BridgeError} error */
  #next(link, error) {
    const { bye } = link;
    if (bye && bye.reconnect === false) return this.#refuseAll(refusal(bye));
    const status = "status" in error ? Number(error.status) : 0;
    const { channel, code } = /** @type {any} */ (error).problem ?? {};
    if (error instanceof AuthError && this.#http.renews && !this.#renewed) {
      this.#renewed = true;
      return this.#refreshNow();
    }
    if (channel && this.#follows(channel)) return this.#refuse(channel, error);
    if (code === "bad_cursor") return this.#forget(error);
    if (status >= 400 && !error.retryable) return this.#refuseAll(error);
    this.#wait(link, error);
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
    this.#after("retry", delay, () => this.#refreshNow());
    this.#say("waiting", error, Date.now() + delay);
  }

  /** @param {string} channel */
  #follows(channel) {
    return [...this.#subscriptions].some((each) => each.channel === channel);
  }

  /** One channel cannot be followed; the others can. @param {string} channel @param {BridgeError} error */
  #refuse(channel, error) {
    for (const each of [...this.#subscriptions]) {
      if (each.channel !== channel) continue;
      this.#subscriptions.delete(each);
      each.failed(error);
    }
    this.#refreshSoon();
  }

  /** @param {BridgeError} error */
  #refuseAll(error) {
    this.#drop();
    this.#say("errored", error);
    for (const each of [...this.#subscriptions]) each.failed(error);
  }

  /** A cursor was none, or lies in the future: each channel has to be begun again. @param {BridgeError} error */
  #forget(error) {
    const all = [...this.#subscriptions].filter((each) => each.parts);
    if (!all.length) return this.#refuseAll(error);
    for (const each of all) each.forget();
    this.#refreshSoon();
  }

  // The page.

  #wake() {
    this.#stop("hidden");
    for (const link of [...this.#links]) link.check();
    if (this.#paused || this.#closed || this.status.state === "errored") return;
    if (!this.#newest && this.#subscriptions.size) this.#refreshNow();
  }

  /** @param {boolean} hidden */
  #hide(hidden) {
    this.#stop("hidden");
    if (!hidden || !Number.isFinite(this.#background)) return;
    this.#after("hidden", this.#background, () => {
      this.#drop();
      if (this.#subscriptions.size) this.#say("paused");
    });
  }

  /** Lets all streams go. */
  #drop() {
    this.#stop("refresh", "retry");
    const links = this.#links;
    this.#links = [];
    for (const link of links) link.close();
    if (links.length) this.#stale();
  }

  // Telling, and time.

  /** @param {import("./types.js").ConnectionState} state @param {BridgeError} [error] @param {number} [retryAt] */
  #say(state, error, retryAt) {
    if (state === this.status.state && error === this.status.error) return;
    this.status = Object.freeze({ state, attempt: this.#attempt, error, retryAt });
    for (const watcher of [...this.#watchers]) call(() => watcher(this.status));
  }

  /** @param {string} name @param {number} wait @param {() => void} act */
  #after(name, wait, act) {
    this.#stop(name);
    this.#timers.set(
      name,
      setTimeout(() => {
        this.#timers.delete(name);
        act();
      }, wait),
    );
  }

  /** @param {string[]} names */
  #stop(...names) {
    for (const name of names) {
      clearTimeout(this.#timers.get(name));
      this.#timers.delete(name);
    }
  }
}

/** @param {any} bye */
function refusal({ code }) {
  const text = `the bridge said goodbye for good: ${code}`;
  return code === "forbidden" ? new AuthError(403, text) : new BridgeError("http", text);
}


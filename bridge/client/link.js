// One stream of the connection, from its opening to its end.

import { passing } from "./errors.js";

/** @import { BridgeError } from "./errors.js" */
/** @import { ChannelRequest, Stream, StreamRequest, Transport } from "./types.js" */

/** Milliseconds for a stream to say `ready`. */
const OPENING_LIMIT = 30_000;
/** Silence, in heartbeats, after which a stream counts as dead. */
const SILENCE = 2.5;

/** What a link tells its connection.
 * @typedef {{
 *   frame: (link: Link, frame: any, channels: Iterable<string>) => void,
 *   refused: (channel: string, error: BridgeError) => void,
 *   retry: (milliseconds: number) => void,
 *   closed: (link: Link, error: BridgeError) => void,
 * }} LinkEvents
 */

export class Link {
  #to;
  /** @type {Stream | undefined} */
  #stream;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #watchdog;
  #patience = OPENING_LIMIT;
  #heard = Date.now();

  /**
   * @param {number} serial streams are numbered as they open
   * @param {LinkEvents} to
   */
  constructor(serial, to) {
    this.serial = serial;
    /** @type {Set<string>} */
    this.channels = new Set();
    this.#to = to;
    this.ready = false;
    this.live = false;
    this.ended = false;
    /** When it became ready, in milliseconds. @type {number | undefined} */
    this.since = undefined;
    /** What the bridge said goodbye with. @type {any} */
    this.bye = undefined;
    this.#watch();
  }

  /** @param {Transport} transport @param {StreamRequest} request */
  open(transport, request) {
    this.channels = new Set(request.channels.map(({ channel }) => channel));
    try {
      this.#stream = transport(request, {
        frame: (frame, channels) => this.#frame(frame, channels ?? this.channels),
        alive: () => this.#alive(),
        retry: (milliseconds) => this.#to.retry(milliseconds),
        refused: (channel, error) => this.ended || this.#to.refused(channel, error),
        close: (error) => this.#end(error ?? passing("connection", "the stream ended")),
      });
    } catch (cause) {
      this.#end(passing("connection", "the transport cannot be opened", cause));
    }
  }

  /** Whether its channels can be changed while it is open. */
  get changes() {
    return Boolean(this.ready && !this.ended && this.#stream?.change);
  }

  /** @param {readonly ChannelRequest[]} add @param {readonly string[]} remove */
  change(add, remove) {
    for (const channel of remove) this.channels.delete(channel);
    for (const { channel } of add) this.channels.add(channel);
    if (add.length) this.live = false;
    this.#stream?.change?.(add, remove);
  }

  /** Ends it; it tells nothing any more. */
  close() {
    this.ended = true;
    clearTimeout(this.#watchdog);
    this.#stream?.close();
  }

  /** Ends it where it has been silent for too long: timers stand still while a machine sleeps. */
  check() {
    if (!this.ended && Date.now() - this.#heard > this.#patience) this.#silent();
  }

  /** @param {any} frame @param {Iterable<string>} channels */
  #frame(frame, channels) {
    if (this.ended) return;
    this.#alive();
    if (typeof frame?.type !== "string") {
      return this.#end(passing("protocol", "a frame has no type"));
    }
    if (frame.type === "ready") this.#ready(frame.heartbeat);
    if (frame.type === "bye") this.bye = frame;
    if (frame.type === "live") this.live = true;
    try {
      this.#to.frame(this, frame, channels);
    } catch (cause) {
      this.#end(passing("protocol", `a frame of type ${frame.type} is bad`, cause));
    }
  }

  /** @param {number} heartbeat seconds */
  #ready(heartbeat) {
    this.ready = true;
    this.since ??= Date.now();
    if (heartbeat > 0) this.#patience = heartbeat * 1000 * SILENCE;
    this.#watch();
  }

  #alive() {
    this.#heard = Date.now();
  }

  /** One timer at a time, set anew only when it goes off: there can be thousands of frames a second. */
  #watch() {
    clearTimeout(this.#watchdog);
    const left = this.#patience - (Date.now() - this.#heard);
    if (left <= 0) return this.#silent();
    this.#watchdog = setTimeout(() => this.#watch(), left);
  }

  #silent() {
    this.#end(passing("connection", `nothing came for ${this.#patience / 1000} s`));
  }

  /** @param {BridgeError} error */
  #end(error) {
    if (this.ended) return;
    this.close();
    this.#to.closed(this, error);
  }
}

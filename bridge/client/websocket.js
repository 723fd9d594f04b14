// One WebSocket for all channels; docs/protocol.md, "WebSocket".

import { AuthError, HttpError, invalid } from "./errors.js";
import { parsed } from "./fetch.js";
import { unreachable } from "./http.js";

/** @import { ChannelRequest, StreamRequest, StreamSink, Transport } from "./types.js" */

/** @type {Record<number, string>} */
const REFUSED = {
  4500: "a frame was bad",
  4501: "the token is not valid",
  4503: "access is denied",
};

/** @type {Record<string, number>} */
const STATUS = {
  unauthorized: 401,
  forbidden: 403,
  unknown_channel: 404,
  too_many_connections: 429,
  unavailable: 503,
};

/**
 * A transport. Each channel goes on from its own cursor, and channels come and go while the socket
 * stays open. The token goes into the first frame, not into the URL.
 * @param {typeof WebSocket} [Socket] the global one
 * @returns {Transport}
 * @throws {BridgeError} `invalid_argument`
 */
export function webSocket(Socket = globalThis.WebSocket) {
  if (!Socket) throw invalid("there is no WebSocket here: give one to webSocket()");
  return (request, sink) => new Channels(new Socket(address(request.url)), request, sink);
}

/** @param {string} url */
const address = (url) => `${url.replace(/^http/, "ws")}/ws`;

class Channels {
  #socket;
  #sink;
  #ref = 0;
  /** Channels of each subscribe that is not answered or not live. @type {Map<number, readonly ChannelRequest[]>} */
  #asked = new Map();
  /** Channels whose frames count: not those of a subscription that was given up. @type {Set<string>} */
  #ready = new Set();

  /** @param {WebSocket} socket @param {StreamRequest} request @param {StreamSink} sink */
  constructor(socket, { token, channels }, sink) {
    this.#socket = socket;
    this.#sink = sink;
    socket.onopen = () => {
      if (token) this.#send({ type: "auth", token });
      this.#subscribe(channels);
    };
    socket.onmessage = ({ data }) => this.#take(data);
    socket.onclose = ({ code, reason }) => sink.close(ending(code, reason));
  }

  /** @param {readonly ChannelRequest[]} add @param {readonly string[]} remove */
  change(add, remove) {
    for (const channel of remove) this.#ready.delete(channel);
    for (const [ref, asked] of this.#asked) {
      this.#asked.set(
        ref,
        asked.filter(({ channel }) => !remove.includes(channel)),
      );
    }
    if (remove.length) this.#send({ type: "unsubscribe", ref: ++this.#ref, channels: remove });
    if (add.length) this.#subscribe(add);
  }

  close() {
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
  }

  /** @param {readonly ChannelRequest[]} channels */
  #subscribe(channels) {
    const ref = ++this.#ref;
    this.#asked.set(ref, channels);
    this.#send({ type: "subscribe", ref, channels: channels.map(asFrame) });
  }

  /** @param {object} frame */
  #send(frame) {
    this.#socket.send(JSON.stringify(frame));
  }

  /** @param {string} data */
  #take(data) {
    this.#sink.alive();
    try {
      this.#frame(parsed(data));
    } catch (/** @type {any} */ error) {
      this.close();
      this.#sink.close(error);
    }
  }

  /** @param {any} frame */
  #frame(frame) {
    if (frame.type === "error") return this.#refused(frame);
    const asked = frame.ref === undefined ? undefined : this.#asked.get(frame.ref);
    if (frame.type === "ready") for (const { channel } of asked ?? []) this.#ready.add(channel);
    if (frame.channel !== undefined && !this.#ready.has(frame.channel)) return;
    if (frame.type === "live") this.#asked.delete(frame.ref);
    const channels = asked ? names(asked) : [...this.#ready];
    this.#sink.frame(
      frame,
      channels.filter((channel) => this.#ready.has(channel)),
    );
  }

  /**
   * One bad channel refuses all that were asked for with it: each is asked for alone. `channels`
   * are those that were taken away later.
   * @param {any} frame
   */
  #refused(frame) {
    const asked = this.#asked.get(frame.ref) ?? [];
    this.#asked.delete(frame.ref);
    const error = refusal(frame);
    if (error.retryable || error.status === 401) throw error;
    if (asked.length > 1) for (const each of asked) this.#subscribe([each]);
    else for (const channel of frame.channels ?? names(asked)) this.#sink.refused(channel, error);
  }
}

/** @param {readonly ChannelRequest[]} asked */
const names = (asked) => asked.map(({ channel }) => channel);

/** @param {ChannelRequest} request */
const asFrame = ({ channel, since }) => (since === undefined ? channel : { channel, since });

/** @param {any} frame */
function refusal({ code, detail = code }) {
  const status = STATUS[code] ?? 400;
  const problem = { code, detail };
  if (status === 401 || status === 403) return new AuthError(status, detail, { problem });
  return new HttpError(status, detail, { problem });
}

/** @param {number} code @param {string} reason */
function ending(code, reason) {
  const text = reason || REFUSED[code] || `the socket was closed (${code})`;
  if (code === 4501 || code === 4503) return new AuthError(code === 4501 ? 401 : 403, text);
  return code >= 4500 && code < 5000 ? new HttpError(400, text) : unreachable(text);
}

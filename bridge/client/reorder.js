// Messages of a source that is not in order, put in order within a window of time.

import { invalid } from "./errors.js";

/** @import { BufferFactory, Message } from "./types.js" */

/** Ids that are remembered, so that nothing is given twice. */
const MOST_SEEN = 10_000;

/**
 * For a model's `buffer`. Each message waits for `window` milliseconds; what is ordered before it
 * leaves with it. The bridge's own channels are in order and need none of this.
 *
 * `compare` orders messages, by default by their ids. `late` says what happens to one that is
 * ordered before what has left already: `drop`, `apply`, or `resync`.
 * @param {{ window: number, compare?: (one: Message, other: Message) => number, late?: "drop" | "apply" | "resync" }} options
 * @returns {BufferFactory}
 * @throws {BridgeError} `invalid_argument`
 */
export function reorder({ window, compare = byId, late = "drop" }) {
  if (!(window >= 0)) throw invalid(`window: ${window}; expected milliseconds`);
  if (!["drop", "apply", "resync"].includes(late))
    throw invalid(`late: ${late}; expected drop, apply or resync`);
  return (emit, lost) => new Buffer({ window, compare, late, emit, lost });
}

/** @param {Message} one @param {Message} other */
const byId = (one, other) => (one.id < other.id ? -1 : one.id > other.id ? 1 : 0);

class Buffer {
  /** @type {{ message: Message, due: number }[]} */
  #waiting = [];
  /** @type {Set<string>} */
  #seen = new Set();
  /** @type {Message | undefined} */
  #last;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #options;

  /** @param {{ window: number, compare: (one: Message, other: Message) => number, late: string, emit: (messages: Message[]) => void, lost: () => void }} options */
  constructor(options) {
    this.#options = options;
  }

  /** @param {Message} message */
  push(message) {
    const { compare, late, emit, lost, window } = this.#options;
    if (this.#seen.has(message.id)) return;
    this.#remember(message.id);
    if (this.#last && compare(message, this.#last) < 0) {
      if (late === "apply") emit([message]);
      if (late === "resync") lost();
      return;
    }
    let at = this.#waiting.length;
    while (at > 0 && compare(message, this.#waiting[at - 1].message) < 0) at -= 1;
    this.#waiting.splice(at, 0, { message, due: Date.now() + window });
    this.#release();
  }

  /** Gives all that waits: what follows is known to come later. */
  flush() {
    this.#emit(this.#waiting.length);
  }

  clear() {
    clearTimeout(this.#timer);
    this.#waiting = [];
    this.#seen.clear();
    this.#last = undefined;
  }

  /** Gives what has waited long enough, and what is ordered before it. */
  #release() {
    const now = Date.now();
    this.#emit(this.#waiting.findLastIndex(({ due }) => due <= now) + 1);
    clearTimeout(this.#timer);
    if (!this.#waiting.length) return;
    const next = Math.min(...this.#waiting.map(({ due }) => due));
    this.#timer = setTimeout(() => this.#release(), next - now);
  }

  /** @param {number} count */
  #emit(count) {
    const messages = this.#waiting.splice(0, count).map(({ message }) => message);
    if (!messages.length) return;
    this.#last = messages[messages.length - 1];
    this.#options.emit(messages);
  }

  /** @param {string} id */
  #remember(id) {
    this.#seen.add(id);
    if (this.#seen.size <= MOST_SEEN) return;
    const [oldest] = this.#seen;
    this.#seen.delete(oldest);
  }
}

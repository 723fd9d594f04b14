// What subscribers see: one immutable snapshot, and when they are told of another.

import { invalid } from "./errors.js";
import { call } from "./report.js";

/** @import { ModelSnapshot } from "./types.js" */

/** Milliseconds between two tellings while a replay goes on. */
const REPLAY = 1000;

/**
 * @template T
 * @typedef {{ listener: (snapshot: ModelSnapshot<T>) => void, confirmed: boolean, due: boolean }} Entry
 */

/** @template T */
export class Store {
  /** @type {ModelSnapshot<T>} */
  #current;
  /** @type {ModelSnapshot<T>} */
  #told;
  /** @type {Set<Entry<T>>} */
  #listeners = new Set();
  #batch;
  /** The paces at which a telling is due already. @type {Set<unknown>} */
  #due = new Set();
  #replaying = false;

  /** @param {"microtask" | "frame" | "sync" | number} batch @throws {BridgeError} `invalid_argument` */
  constructor(batch) {
    if (!["microtask", "frame", "sync"].includes(String(batch)) && !(Number(batch) >= 0)) {
      throw invalid(`batch: ${batch}; microtask, frame, sync or a number`);
    }
    this.#batch = batch;
    this.#current = this.#told = Object.freeze({
      state: "initialized",
      data: undefined,
      confirmed: undefined,
      isStale: true,
      pending: [],
      error: undefined,
    });
  }

  get snapshot() {
    return this.#current;
  }

  get size() {
    return this.#listeners.size;
  }

  /**
   * Takes what is new; subscribers are told of it soon, where anything is.
   * @param {Partial<ModelSnapshot<T>>} changes
   */
  set(changes) {
    const now = /** @type {any} */ (this.#current);
    const same = Object.entries(changes).every(([name, value]) => Object.is(now[name], value));
    if (same) return;
    this.#current = Object.freeze({ ...now, ...changes });
    this.#schedule();
  }

  /** While messages are replayed there is little telling. @param {boolean} replaying */
  replay(replaying) {
    if (replaying === this.#replaying) return;
    this.#replaying = replaying;
    if (this.#current !== this.#told) this.#schedule();
  }

  /**
   * @param {(snapshot: ModelSnapshot<T>) => void} listener
   * @param {boolean} confirmed only when confirmed data has changed
   * @param {boolean} immediate also with what there is now, if nothing else tells it
   */
  subscribe(listener, confirmed, immediate) {
    const entry = { listener, confirmed, due: immediate };
    this.#listeners.add(entry);
    if (immediate) queueMicrotask(() => entry.due && this.#call(entry));
    return () => this.#listeners.delete(entry);
  }

  #schedule() {
    const pace = this.#replaying ? REPLAY : this.#batch;
    if (this.#due.has(pace)) return;
    this.#due.add(pace);
    later(pace, () => {
      this.#due.delete(pace);
      this.tell();
    });
  }

  /** Tells subscribers now. */
  tell() {
    const before = this.#told;
    const now = this.#current;
    if (now === before) return;
    this.#told = now;
    for (const entry of [...this.#listeners]) {
      if (entry.confirmed && now.confirmed === before.confirmed) continue;
      this.#call(entry);
    }
  }

  /** @param {Entry<T>} entry */
  #call(entry) {
    entry.due = false;
    if (this.#listeners.has(entry)) call(() => entry.listener(this.#current));
  }

  clear() {
    this.#listeners.clear();
  }
}

/** @param {"microtask" | "frame" | "sync" | number} when @param {() => void} act */
function later(when, act) {
  if (when === "sync") act();
  else if (when === "microtask") queueMicrotask(act);
  else if (when === "frame" && globalThis.document?.visibilityState === "visible") {
    requestAnimationFrame(act);
  } else setTimeout(act, when === "frame" ? 16 : Number(when));
}

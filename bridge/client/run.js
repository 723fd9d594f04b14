// One fetching of the state, from the request to the moment the model is ready.

import { BridgeError } from "./errors.js";
import { backoff } from "./retry.js";
import { fetchState, pause } from "./state.js";

/** @template T */
export class Run {
  #controller = new AbortController();
  /** @type {() => void} */
  #resolve = () => {};
  /** @type {(error: unknown) => void} */
  #reject = () => {};

  constructor() {
    /** Settles once the model is ready, or cannot be. @type {Promise<void>} */
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.done.catch(() => {});
  }

  get signal() {
    return this.#controller.signal;
  }

  /**
   * @param {(attempt: number) => any} once
   * @param {{ retry: import("./types.js").Retry, crowded: number | false, failed: (error: BridgeError) => void }} options
   *   `crowded`: how many fetchings too many there were lately
   * @returns {Promise<import("./state.js").State<T>>}
   */
  async fetch(once, { retry, crowded, failed }) {
    if (crowded) {
      const error = new BridgeError("sync", "the state is fetched too often");
      await pause(backoff({ initial: 1000 })(crowded, error) ?? 0, this.signal);
      this.signal.throwIfAborted();
    }
    return fetchState(once, retry, this.signal, failed);
  }

  /** It is done with another one. @param {Run<T>} other */
  follow(other) {
    this.#controller.abort();
    other.done.then(this.#resolve, this.#reject);
  }

  finish() {
    this.#resolve();
  }

  /** @param {unknown} error */
  fail(error) {
    this.#controller.abort();
    this.#reject(error);
  }

  /** The result is not wanted now. */
  end() {
    this.#controller.abort();
  }
}

// One fetching of the state, from the request to the moment the model is ready.

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

  /** It is done with another one. @param {Run} other */
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

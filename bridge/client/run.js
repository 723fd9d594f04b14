// Something that takes its time and can be given up: a state's fetching, a write, a wait.

export class Run {
  #controller = new AbortController();
  /** It has come to its end. @type {() => void} */
  finish = () => {};
  /** @type {(error: unknown) => void} */
  #reject = () => {};

  constructor() {
    /** Settles with its outcome; needs no handler. @type {Promise<void>} */
    this.done = new Promise((resolve, reject) => {
      this.finish = resolve;
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
    other.done.then(this.finish, this.#reject);
  }

  /** @param {unknown} error also the reason of the signal */
  fail(error) {
    this.#controller.abort(error);
    this.#reject(error);
  }

  /** The result is not wanted now. */
  end() {
    this.#controller.abort();
  }
}

// Those who wait for something to become true.

import { BridgeError } from "./errors.js";

export class Waiters {
  /** @type {Set<{ met: () => boolean, resolve: () => void, reject: (error: unknown) => void }>} */
  #waiting = new Set();

  /**
   * @param {() => boolean} met throws where it cannot become true
   * @param {{ signal?: AbortSignal, timeout?: number }} [options] milliseconds
   * @returns {Promise<void>}
   * @throws {BridgeError} `timeout` or `cancelled`, or what `met` throws
   */
  async wait(met, { signal, timeout } = {}) {
    if (signal?.aborted) throw cancelled();
    if (met()) return;
    /** @type {any} */
    const waiter = { met };
    const cancel = () => waiter.reject(cancelled());
    const late = () => waiter.reject(new BridgeError("timeout", `not within ${timeout} ms`));
    const timer = timeout === undefined ? undefined : setTimeout(late, timeout);
    signal?.addEventListener("abort", cancel);
    this.#waiting.add(waiter);
    try {
      await new Promise((resolve, reject) => Object.assign(waiter, { resolve, reject }));
    } finally {
      this.#waiting.delete(waiter);
      signal?.removeEventListener("abort", cancel);
      clearTimeout(timer);
    }
  }

  /** Lets those go for whom it is true now, or cannot become true. */
  check() {
    for (const waiter of [...this.#waiting]) {
      try {
        if (waiter.met()) waiter.resolve();
      } catch (error) {
        waiter.reject(error);
      }
    }
  }

  /** @param {unknown} error */
  fail(error) {
    for (const waiter of [...this.#waiting]) waiter.reject(error);
  }
}

const cancelled = () => new BridgeError("cancelled", "cancelled");

// Those who wait for something to become true.

import { BridgeError } from "./errors.js";

export class Waiters {
  /** @type {Set<{ met: () => boolean, resolve: () => void, reject: (error: unknown) => void }>} */
  #waiting = new Set();

  /**
   * @param {() => boolean} met
   * @param {{ signal?: AbortSignal, timeout?: number }} [options] milliseconds
   * @returns {Promise<void>}
   * @throws {BridgeError} `timeout` or `cancelled`
   */
  async wait(met, { signal, timeout = Infinity } = {}) {
    if (signal?.aborted) throw cancelled();
    if (met()) return;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const abort = new AbortController();
    try {
      await new Promise((resolve, reject) => {
        const waiter = { met, resolve: () => resolve(undefined), reject };
        this.#waiting.add(waiter);
        abort.signal.addEventListener("abort", () => this.#waiting.delete(waiter));
        signal?.addEventListener("abort", () => reject(cancelled()), { signal: abort.signal });
        if (Number.isFinite(timeout)) {
          timer = setTimeout(() => reject(new BridgeError("timeout", `not within ${timeout} ms`)), timeout);
        }
      });
    } finally {
      clearTimeout(timer);
      abort.abort();
    }
  }

  /** Lets those go for whom it is true now. */
  check() {
    for (const waiter of [...this.#waiting]) if (waiter.met()) waiter.resolve();
  }

  /** @param {unknown} error */
  fail(error) {
    for (const waiter of [...this.#waiting]) waiter.reject(error);
  }
}

const cancelled = () => new BridgeError("cancelled", "the wait was cancelled");

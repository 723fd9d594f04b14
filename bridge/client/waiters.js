// Those who wait for something to become true.

import { BridgeError } from "./errors.js";
import { Run } from "./run.js";

export class Waiters {
  /** @type {Set<Run & { met: () => boolean }>} */
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
    const waiter = Object.assign(new Run(), { met });
    const cancel = () => waiter.fail(cancelled());
    const late = () => waiter.fail(new BridgeError("timeout", `${timeout} ms`));
    const timer = timeout === undefined ? undefined : setTimeout(late, timeout);
    signal?.addEventListener("abort", cancel);
    this.#waiting.add(waiter);
    try {
      await waiter.done;
    } finally {
      this.#waiting.delete(waiter);
      signal?.removeEventListener("abort", cancel);
      clearTimeout(timer);
    }
  }

  /** Lets those go for whom it is true now, or whose condition throws. */
  check() {
    for (const waiter of [...this.#waiting]) {
      try {
        if (waiter.met()) waiter.finish();
      } catch (error) {
        waiter.fail(error);
      }
    }
  }

  /** @param {unknown} error */
  fail(error) {
    for (const waiter of [...this.#waiting]) waiter.fail(error);
  }
}

const cancelled = () => new BridgeError("cancelled", "cancelled");

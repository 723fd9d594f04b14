// Listeners by the type of what they listen to.

import { invalid } from "./errors.js";
import { call } from "./report.js";

export class Emitter {
  /** @type {Map<string, Set<(event: any) => void>>} */
  #listeners = new Map();

  /**
   * @param {string} type
   * @param {(event: any) => void} listener
   * @returns {() => void} ends it
   * @throws {BridgeError} `invalid_argument`
   */
  on(type, listener) {
    if (typeof listener !== "function") throw invalid("expected a function");
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /** @param {string} type @param {any} event */
  emit(type, event) {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) call(() => listener(event));
  }

  clear() {
    this.#listeners.clear();
  }
}

// How the connection is, and who is told.

import { call } from "./report.js";

/** @import { BridgeError } from "./errors.js" */
/** @import { ConnectionState, Status } from "./types.js" */

export class StatusLine {
  /** @type {Status} */
  current = Object.freeze({ state: "idle", attempt: 0 });
  /** @type {Set<(status: Status) => void>} */
  #watchers = new Set();

  /** @param {(status: Status) => void} watcher @returns {() => void} ends it */
  watch(watcher) {
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  /** @param {ConnectionState} state @param {number} attempt @param {BridgeError} [error] @param {number} [retryAt] */
  say(state, attempt, error, retryAt) {
    const { current } = this;
    if (state === current.state && error === current.error) return;
    this.current = Object.freeze({ state, attempt, error, retryAt });
    for (const watcher of [...this.#watchers]) call(() => watcher(this.current));
  }
}

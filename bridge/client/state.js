// The state of a channel, fetched as often as it takes.

import { cursorOf } from "./cursor.js";
import { BridgeError, SyncError } from "./errors.js";

/**
 * @template T
 * @typedef {{ data: T, cursor: string | undefined, mutationIds: readonly string[] }} State `cursor`
 *   is undefined where the place is not known
 */

/**
 * Calls a sync function until it gives a state.
 * @template T
 * @param {(attempt: number) => any} fetch
 * @param {import("./types.js").Retry} retry
 * @param {AbortSignal} signal
 * @param {(error: BridgeError) => void} failed told of each failure
 * @returns {Promise<State<T>>}
 * @throws {BridgeError} where the answer has the wrong shape, access is denied, or `retry` gives up
 */
export async function fetchState(fetch, retry, signal, failed) {
  for (let attempt = 1; ; attempt++) {
    try {
      return stateOf(await fetch(attempt));
    } catch (cause) {
      if (signal.aborted) throw cause;
      if (cause instanceof BridgeError && isFinal(cause)) throw cause;
      const error = new SyncError(`the state cannot be fetched: ${text(cause)}`, { cause, attempts: attempt });
      const wait = retry(attempt, error);
      if (wait === null || wait < 0) throw error;
      failed(error);
      await pause(Math.max(wait, /** @type {any} */ (cause)?.retryAfter ?? 0), signal);
      signal.throwIfAborted();
    }
  }
}

/** Whether asking again cannot help. @param {BridgeError} error */
function isFinal(error) {
  if (error.code === "invalid_argument") return true;
  return "status" in error && !error.retryable && ![409, 410].includes(Number(error.status));
}

/** @param {unknown} cause */
const text = (cause) => (cause instanceof Error ? cause.message : String(cause));

/** What a sync function gave, checked. @param {any} result @returns {State<any>} @throws {BridgeError} */
export function stateOf(result) {
  const place = result?.cursor === undefined ? result?.sequenceId : result.cursor;
  if (place === undefined || !("data" in result)) {
    throw new BridgeError("invalid_argument", "sync: expected { data, cursor }; a cursor of null where there is none");
  }
  const cursor = place === null ? undefined : cursorOf(place);
  return { data: result.data, cursor, mutationIds: result.mutationIds ?? [] };
}

/** @param {number} wait milliseconds @param {AbortSignal} signal ends it */
export function pause(wait, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, wait);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve(undefined);
    });
  });
}

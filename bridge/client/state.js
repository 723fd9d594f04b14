// The state of a channel, fetched as often as it takes.

import { cursorOf } from "./cursor.js";
import { BridgeError, SyncError, invalid } from "./errors.js";

/** @import { Retry } from "./types.js" */

/**
 * @template T
 * @typedef {{ data: T, cursor: string | undefined, mutationIds: readonly string[] }} State `cursor`
 *   is undefined where the place is not known
 */

/**
 * Calls a sync function until it gives a state.
 * @template T
 * @param {(attempt: number) => any} fetch
 * @param {Retry} retry
 * @param {AbortSignal} signal
 * @param {(error: BridgeError) => void} failed told of each failure
 * @param {{ attempts: number }} tries so far; those that there were have failed
 * @returns {Promise<State<T>>}
 * @throws {BridgeError} where the answer has the wrong shape, access is denied, or `retry` gives up
 */
export async function fetchState(fetch, retry, signal, failed, tries) {
  /** @type {any} */
  let cause = new Error("the replay was lost");
  for (;;) {
    const { attempts } = tries;
    if (attempts) {
      const error = new SyncError(`no state: ${cause?.message}`, {
        cause,
        attempts,
      });
      const wait = retry(attempts, error);
      if (wait === null || wait < 0) throw error;
      failed(error);
      await pause(Math.max(wait, cause?.retryAfter ?? 0), signal);
      signal.throwIfAborted();
    }
    tries.attempts += 1;
    try {
      return stateOf(await fetch(tries.attempts));
    } catch (error) {
      if (signal.aborted || (error instanceof BridgeError && isFinal(error))) throw error;
      cause = error;
    }
  }
}

/** Whether asking again cannot help. @param {BridgeError} error */
function isFinal(error) {
  const { code, retryable, status } = /** @type {any} */ (error);
  return code === "invalid_argument" || (status && !retryable && status !== 409 && status !== 410);
}

/** What a sync function gave, checked. @param {any} result @returns {State<any>} @throws {BridgeError} */
export function stateOf(result) {
  const place = result?.cursor === undefined ? result?.sequenceId : result.cursor;
  if (place === undefined || !("data" in result)) {
    throw invalid("sync: expected { data, cursor }");
  }
  const cursor = place === null ? undefined : cursorOf(place);
  return { data: result.data, cursor, mutationIds: result.mutationIds ?? [] };
}

/** @param {number} wait milliseconds @param {AbortSignal} signal ends it */
function pause(wait, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, wait);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve(undefined);
    });
  });
}

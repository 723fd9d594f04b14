// The state after events, by whichever merge function.

import { BridgeError, MergeError } from "./errors.js";

/** @import { AutomaticMerge, ConfirmedEvent, Merge, OptimisticEvent } from "./types.js" */

/**
 * @template T
 * @param {Merge<T> | AutomaticMerge<T>} merge
 * @param {T} state
 * @param {readonly (ConfirmedEvent | OptimisticEvent)[]} events
 * @param {boolean} freeze whether states must show that they were changed in place
 * @returns {T}
 * @throws {BridgeError} what an automatic merge says, or MergeError
 */
export function fold(merge, state, events, freeze) {
  let at = events[0];
  try {
    if ("fold" in merge) return merge.fold(state, events);
    for (const event of events) {
      state = merge(state, (at = event));
      if (freeze) deepFreeze(state);
    }
    return state;
  } catch (cause) {
    if (cause instanceof BridgeError) throw cause;
    throw new MergeError("merge threw", { cause, event: at });
  }
}

/** @template T @param {T} value @returns {T} */
export function deepFreeze(value) {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  Object.values(Object.freeze(value)).forEach(deepFreeze);
  return value;
}

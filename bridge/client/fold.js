// The state after events, by whichever merge function.

import { BridgeError, MergeError } from "./errors.js";

/**
 * @template T
 * @param {import("./types.js").Merge<T> | import("./types.js").AutomaticMerge<T>} merge
 * @param {T} state
 * @param {readonly (import("./types.js").ConfirmedEvent | import("./types.js").OptimisticEvent)[]} events
 * @param {boolean} freeze whether states must show that they were changed in place
 * @returns {T}
 * @throws {BridgeError} what an automatic merge says, or MergeError
 */
export function fold(merge, state, events, freeze) {
  if ("fold" in merge) return merge.fold(state, events);
  for (const event of events) {
    try {
      state = merge(state, event);
    } catch (cause) {
      if (cause instanceof BridgeError) throw cause;
      throw new MergeError("the merge function threw", { cause, event });
    }
    if (freeze) deepFreeze(state);
  }
  return state;
}

/** @template T @param {T} value @returns {T} */
export function deepFreeze(value) {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  Object.values(Object.freeze(value)).forEach(deepFreeze);
  return value;
}

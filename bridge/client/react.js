// Hooks for React 18 and newer; the only module that needs it.

import { useCallback, useRef, useState, useSyncExternalStore } from "react";

/** @import { BridgeError } from "./errors.js" */
/** @import { Model } from "./model.js" */
/** @import { ModelSnapshot, Mutation } from "./types.js" */

/**
 * A model's snapshot, or what a function selects from it; renders again when that changes.
 * @template T
 * @template [R=ModelSnapshot<T>]
 * @param {Model<T>} model
 * @param {(snapshot: ModelSnapshot<T>) => R} [select]
 * @param {(one: R, other: R) => boolean} [equal] whether two selections are the same; Object.is
 * @returns {R}
 */
export function useModel(model, select, equal = Object.is) {
  /** @type {{ current: { value: R } | undefined }} */
  const selected = useRef(undefined);
  const get = () => {
    const snapshot = model.getSnapshot();
    const value = select ? select(snapshot) : /** @type {R} */ (/** @type {unknown} */ (snapshot));
    const before = selected.current;
    if (before && equal(before.value, value)) return before.value;
    selected.current = { value };
    return value;
  };
  return useSyncExternalStore(model.subscribe, get, get);
}

/**
 * A write as an event handler uses it: `run` makes it, `pending` counts those whose outcome is not
 * known, `error` is that of the last one, until the next.
 * @template {any[]} A
 * @template R
 * @param {(...parameters: A) => Mutation<R>} write
 * @returns {{ run: (...parameters: A) => Mutation<R>, pending: number, error: BridgeError | undefined }}
 */
export function useMutation(write) {
  const [pending, setPending] = useState(0);
  const [error, setError] = useState(/** @type {any} */ (undefined));
  const latest = useRef(write);
  latest.current = write;
  const run = useCallback((/** @type {A} */ ...parameters) => {
    const mutation = latest.current(...parameters);
    setPending((count) => count + 1);
    setError(undefined);
    mutation.confirmed.catch(setError).finally(() => setPending((count) => count - 1));
    return mutation;
  }, []);
  return { run, pending, error };
}

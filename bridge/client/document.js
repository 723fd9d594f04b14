// A channel as one document.

import { applyMessage, isGone, needsDocument } from "./apply.js";
import { gap, keyText, mustSync } from "./keys.js";

/** @import { AutomaticMerge, Entry } from "./types.js" */

/**
 * The state is the channel's document, or null where there is none.
 * @template T
 * @param {{ key?: any, placeholder?: (key: any, reason: string) => T }} [options] `key`: the only
 *   document that counts, where the channel has more than one; `placeholder`: what stands for a
 *   document that the bridge could not send (by default null)
 * @returns {AutomaticMerge<T | null>}
 */
export function document({ key, placeholder } = {}) {
  const wanted = key === undefined ? undefined : keyText({ key });
  /** Placeholders: no patch fits them. @type {WeakSet<any>} */
  const placeholders = new WeakSet();

  /** @param {any} event */
  const counts = (event) =>
    event.type !== "event" &&
    (wanted === undefined || event.key === undefined || keyText({ key: event.key }) === wanted);

  /** @param {any} event @returns {T | null} */
  function stand(event) {
    const made = placeholder?.(event.key, event.reason) ?? null;
    if (typeof made === "object" && made) placeholders.add(made);
    return made;
  }

  /** @param {T | null} state @param {any} event @returns {T | null} */
  function merge(state, event) {
    if (!counts(event)) return state;
    if (isGone(event)) return null;
    if (event.mode === "ref") {
      if (mustSync(event)) throw gap("the document");
      return stand(event);
    }
    if (!needsDocument(event)) return event.document === undefined ? state : event.document;
    if (placeholders.has(/** @type {any} */ (state))) return state;
    if (state === null) throw gap("the document");
    return applyMessage(state, event);
  }

  return Object.assign(merge, {
    /** @param {readonly Entry[]} entries @returns {T | null} */
    state(entries) {
      const entry = entries.find(counts);
      if (!entry) return null;
      return entry.document === undefined ? stand(entry) : entry.document;
    },
    /** @param {T | null} state @param {readonly any[]} events */
    fold: (state, events) => events.reduce(merge, state),
  });
}

// A channel as an array of documents.

import { isGone } from "./apply.js";
import { keyText } from "./keys.js";
import { Rows } from "./rows.js";

/** @import { Aside } from "./rows.js" */
/** @import { AutomaticMerge, Entry } from "./types.js" */

/**
 * The state is an array of the channel's documents. Each keeps its place until it goes; new ones
 * come at the end, or where `sort` puts them.
 *
 * `key` finds a document's key where the state comes from elsewhere (by default its `_id`).
 * `filter`: documents that do not pass are not in the array. `placeholder` makes what stands for a
 * document that the bridge could not send (by default nothing does); no patch changes it.
 * @template T
 * @param {{
 *   key?: (document: T) => any,
 *   filter?: (document: T) => boolean,
 *   sort?: (one: T, other: T) => number,
 *   placeholder?: (key: any, reason: string) => T,
 * }} [options]
 * @returns {AutomaticMerge<readonly T[]>}
 */
export function collection(options = {}) {
  const key = options.key ?? ((/** @type {any} */ document) => document?._id);
  /** What goes with an array that was made here. @type {WeakMap<object, Aside>} */
  const asides = new WeakMap();

  /** @param {readonly T[]} state @param {boolean} many */
  function rows(state, many) {
    const aside = asides.get(state);
    if (aside) return new Rows(state, aside, options, many);
    const names = state.map((document) => keyText({ key: key(document) }));
    return new Rows(state, { names, hidden: new Map() }, options, many);
  }

  /** @param {readonly T[]} state @param {Rows<T>} changed */
  function result(state, changed) {
    const [array, aside] = changed.done();
    if (array !== state) asides.set(array, aside);
    return array;
  }

  /** @param {any} event */
  const about = (event) =>
    keyText(event.key === undefined ? { key: key(event.document), ns: event.ns } : event);

  /** @param {readonly T[]} state @param {readonly any[]} events @returns {readonly T[]} */
  function fold(state, events) {
    const changed = rows(state, events.length > 4);
    for (const event of events) {
      if (event.type === "event") continue;
      if (event.key === undefined && event.document === undefined) continue;
      if (isGone(event)) changed.drop(about(event));
      else changed.take(about(event), event);
    }
    return result(state, changed);
  }

  return Object.assign(
    (/** @type {readonly T[]} */ state, /** @type {any} */ event) => fold(state, [event]),
    {
      fold,
      /** @param {readonly Entry[]} entries @returns {readonly T[]} */
      state(entries) {
        const changed = rows([], true);
        for (const entry of entries) changed.take(keyText(entry), entry);
        return result([], changed);
      },
    },
  );
}

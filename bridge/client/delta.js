// Deltas as MongoDB describes updates; docs/protocol.md, "Messages".

import { Draft, has, indexOf } from "./draft.js";
import { PatchError } from "./errors.js";

/** @import { Delta } from "./types.js" */

/** Elements by which setting may lengthen an array: MongoDB's own bound on padding. */
const LONGEST_PADDING = 1_500_000;

/**
 * The document after a delta: truncate, then unset, then set. The one before is not changed.
 * @template T
 * @param {T} document
 * @param {Delta} delta
 * @returns {T}
 * @throws {PatchError} where a path leads nowhere, or to `__proto__`
 */
export function applyDelta(document, delta) {
  const draft = new Draft(document, true);
  let index = 0;
  for (const [path, size] of delta.truncate ?? []) {
    check(truncate(draft.holder(path), last(path), size, draft), index++, path);
  }
  for (const path of delta.unset ?? []) {
    check(unset(draft.holder(path), last(path)), index++, path);
  }
  for (const [path, value] of delta.set ?? []) {
    check(set(draft.holder(path), last(path), value), index++, path);
  }
  return draft.root;
}

/** @param {readonly string[]} path */
const last = (path) => path[path.length - 1];

/** @param {boolean} fits @param {number} index @param {readonly string[]} path */
function check(fits, index, path) {
  if (fits) return;
  throw new PatchError(`${path} does not fit`, { index, operation: path });
}

/** @param {any} holder @param {string} segment @param {number} size @param {Draft} draft */
function truncate(holder, segment, size, draft) {
  if (!holder || !has(holder, segment) || !Array.isArray(holder[segment])) return false;
  const array = (holder[segment] = draft.own(holder[segment]));
  array.length = Math.min(array.length, size);
  return true;
}

/** @param {any} holder @param {string} segment */
function unset(holder, segment) {
  if (!holder) return false;
  if (!has(holder, segment)) return true;
  if (Array.isArray(holder)) holder[Number(segment)] = null;
  else delete holder[segment];
  return true;
}

/** @param {any} holder @param {string} segment @param {unknown} value */
function set(holder, segment, value) {
  if (!Array.isArray(holder)) {
    if (holder) holder[segment] = value;
    return Boolean(holder);
  }
  const at = indexOf(segment);
  if (at < 0 || at > holder.length + LONGEST_PADDING) return false;
  while (holder.length < at) holder.push(null);
  holder[at] = value;
  return true;
}

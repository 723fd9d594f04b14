// One document and one message, or one expected change, about it.

import { applyDelta } from "./delta.js";
import { applyPatch } from "./patch.js";

/** @import { Change, Message } from "./types.js" */

/**
 * The document after a message: undefined where it is gone, or did not come (`ref`).
 * @param {any} document as it was before; only `delta`, `patch` and `update` look at it
 * @param {Message | Change} event
 * @returns {any}
 * @throws {PatchError} where it does not fit
 */
export function applyMessage(document, event) {
  if (event.patch) return applyPatch(document, event.patch);
  if (event.delta) return applyDelta(document, event.delta);
  if ("update" in event && event.update) return event.update(document);
  return event.document;
}

/** Whether it can only be applied to the document as it was before. @param {any} event */
export const needsDocument = (event) => Boolean(event.patch || event.delta || event.update);

/** Whether the document is not on the channel any more. @param {any} event */
export const isGone = (event) => event.op === "delete" || event.op === "leave";

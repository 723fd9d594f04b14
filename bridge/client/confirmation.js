// Which of the writes that wait a message confirms.

import { isGone } from "./apply.js";
import { keyText } from "./keys.js";

/** @import { PendingMutation } from "./mutation.js" */
/** @import { ConfirmedEvent, ModelSpec } from "./types.js" */

/**
 * Those with its id; and, as the message of a delete has the id of the write before it, each delete
 * of the key that it takes off the channel, whoever deleted that. An id that a delete repeats is of a
 * write that the state contains, too. With a `confirm` of the spec: the first that it finds.
 * @param {ModelSpec<any>} spec
 * @returns {(waiting: readonly PendingMutation[], event: ConfirmedEvent) => readonly PendingMutation[]}
 */
export function confirmation({ confirm }) {
  if (confirm) {
    return (waiting, event) => waiting.filter(({ view }) => confirm(view, event)).slice(0, 1);
  }
  return (waiting, event) =>
    waiting.filter(
      ({ mutationId, event: change }) =>
        mutationId === event.mutationId ||
        (change.op === "delete" && isGone(event) && keyText(change) === keyText(event)),
    );
}

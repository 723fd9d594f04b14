// The browser client of livesync-bridge: models that follow the database. docs/client.md.

import { Bridge as Connected } from "./bridge.js";

export { document } from "./document.js";
export { collection } from "./collection.js";
export { applyMessage } from "./apply.js";
export { applyPatch } from "./patch.js";
export { backoff, fixed } from "./retry.js";
export {
  AuthError,
  BridgeError,
  HttpError,
  MergeError,
  MutationError,
  PatchError,
  SyncError,
} from "./errors.js";

/** The version of this client, and of the bridge that it came with. */
export const version = "0.1.0";

/**
 * A bridge to follow channels of. Nothing is asked for until something is followed.
 *
 * `url` is the bridge's, with a path where it has one. `token`: a JWT, or a function that gives
 * one, asked before each connection. `transport`: `fetch` unless told otherwise. `background`:
 * milliseconds in a hidden tab after which the connection is let go until the tab is seen again;
 * 60,000, or Infinity to keep it. `freeze`: deep-freezes states, so that a merge function that
 * changes them in place throws; for development.
 * @param {import("./types.js").ConnectOptions} options
 * @returns {Connected}
 * @throws {BridgeError} `invalid_argument`
 */
export function connect(options) {
  return new Connected(options);
}

/** @typedef {import("./bridge.js").Bridge} Bridge */
/** @typedef {import("./subscription.js").Subscription} Subscription */
/** @template T @typedef {import("./model.js").Model<T>} Model */
/** @template T @typedef {import("./types.js").ModelSpec<T>} ModelSpec */
/** @template T @typedef {import("./types.js").ModelSnapshot<T>} ModelSnapshot */
/** @template T @typedef {import("./types.js").SyncResult<T>} SyncResult */
/** @template T @typedef {import("./types.js").Merge<T>} Merge */
/** @template R @typedef {import("./types.js").Mutation<R>} Mutation */
/** @template R @typedef {import("./types.js").MutateOptions<R>} MutateOptions */
/** @typedef {import("./types.js").ConnectOptions} ConnectOptions */
/** @typedef {import("./types.js").Status} Status */
/** @typedef {import("./types.js").Message} Message */
/** @typedef {import("./types.js").Change} Change */
/** @typedef {import("./types.js").ConfirmedEvent} ConfirmedEvent */
/** @typedef {import("./types.js").OptimisticEvent} OptimisticEvent */
/** @typedef {import("./types.js").SyncContext} SyncContext */
/** @typedef {import("./types.js").Listener} Listener */
/** @typedef {import("./types.js").Transport} Transport */
/** @typedef {import("./types.js").Pending} Pending */
/** @typedef {import("./types.js").Retry} Retry */

// What the end of a stream means for what comes after it.

import { AuthError, HttpError } from "./errors.js";

/** @import { BridgeError } from "./errors.js" */

/**
 * `renew`: with another token, at once. `channel`: without the one that is refused. `cursor`: from
 * the beginning. `final`: not at all. `wait`: again, later.
 * @param {BridgeError} error
 * @param {boolean} renews whether there can be another token
 * @returns {"renew" | "channel" | "cursor" | "final" | "wait"}
 */
export function verdict(error, renews) {
  const { code, problem, retryable, status = 0 } = /** @type {any} */ (error);
  if (error instanceof AuthError && renews) return "renew";
  if (isBadCursor(error)) return "cursor";
  if (problem?.channel) return "channel";
  return code === "invalid_argument" || (status >= 400 && !retryable) ? "final" : "wait";
}

/** Whether what was asked for can be had, but not from there. @param {BridgeError} error */
export const isBadCursor = (error) => /** @type {any} */ (error).problem?.code === "bad_cursor";

/**
 * Why a stream has ended: a goodbye for good says more than the end itself.
 * @param {any} bye
 * @param {BridgeError} error
 * @returns {BridgeError}
 */
export function reasonOf(bye, error) {
  if (bye?.reconnect !== false) return error;
  const text = `the bridge said goodbye for good: ${bye.code}`;
  return bye.code === "forbidden" ? new AuthError(403, text) : new HttpError(400, text);
}

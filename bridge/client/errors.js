// What goes wrong, as one tree of errors with stable codes.

/** @import { ConfirmedEvent, OptimisticEvent } from "./types.js" */

/**
 * @typedef {"connection" | "http" | "auth" | "protocol" | "history_lost" | "sync" | "merge" | "patch" | "rejected" | "timeout" | "cancelled" | "conflict" | "disposed" | "invalid_argument"} ErrorCode
 */

/** Everything that the client throws or reports on purpose. */
export class BridgeError extends Error {
  /**
   * @param {ErrorCode} code stable; what to switch on
   * @param {string} message for people
   * @param {{ cause?: unknown, retryable?: boolean }} [options] `retryable`: the same may work later
   */
  constructor(code, message, { cause, retryable = false } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = `BridgeError (${code})`; // a minifier would change that of the class
    this.code = code;
    this.retryable = retryable;
  }
}

/** A call that cannot work. @param {string} message @param {unknown} [cause] */
export const invalid = (message, cause) => new BridgeError("invalid_argument", message, { cause });

/** Something that may work later. @param {ErrorCode} code @param {string} message @param {unknown} [cause] */
export const passing = (code, message, cause) =>
  new BridgeError(code, message, { cause, retryable: true });

/** An answer with a status that is no success. */
export class HttpError extends BridgeError {
  /**
   * @param {number} status
   * @param {string} message
   * @param {{ code?: ErrorCode, problem?: any, retryAfter?: number }} [options] `problem`: the body
   *   (RFC 9457), where there is one; `retryAfter` in milliseconds
   */
  constructor(status, message, { code = "http", problem, retryAfter } = {}) {
    super(code, message, { retryable: status >= 500 || status === 429 || status === 408 });
    this.status = status;
    this.problem = problem;
    this.retryAfter = retryAfter;
  }
}

/** 401 or 403: no token, one that is not valid, or one that does not cover the channel. */
export class AuthError extends HttpError {
  /**
   * @param {number} status
   * @param {string} message
   * @param {{ problem?: any }} [options]
   */
  constructor(status, message, options) {
    super(status, message, { ...options, code: "auth" });
  }
}

/** The state could not be fetched, so often that the model's `retry` gave up. */
export class SyncError extends BridgeError {
  /**
   * @param {string} message
   * @param {{ cause?: unknown, attempts: number }} options
   */
  constructor(message, { cause, attempts }) {
    super("sync", message, { cause });
    this.attempts = attempts;
  }
}

/** A merge function threw. */
export class MergeError extends BridgeError {
  /**
   * @param {string} message
   * @param {{ cause?: unknown, event: ConfirmedEvent | OptimisticEvent }} options
   */
  constructor(message, { cause, event }) {
    super("merge", message, { cause });
    this.event = event;
  }
}

/** A JSON Patch that does not apply; the document is as before. */
export class PatchError extends BridgeError {
  /**
   * @param {string} message
   * @param {{ index: number, operation: unknown }} options which operation, from 0
   */
  constructor(message, { index, operation }) {
    super("patch", message);
    this.index = index;
    this.operation = operation;
  }
}

/** A write that was rolled back; `code` says why: rejected, timeout, cancelled, conflict, disposed. */
export class MutationError extends BridgeError {
  /**
   * @param {"rejected" | "timeout" | "cancelled" | "conflict" | "disposed"} code
   * @param {string} message
   * @param {{ cause?: unknown, mutationId: string, reason?: unknown }} options `reason`: what the
   *   application or the change itself threw, the problem that was answered, or the data of the event
   *   that rejected it; of a write that went with the one before it, the reason of that one
   */
  constructor(code, message, { cause, mutationId, reason }) {
    super(code, message, { cause });
    this.mutationId = mutationId;
    this.reason = reason;
  }
}

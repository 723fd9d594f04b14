// One write, from the moment it is made to the moment its outcome is known.

import { positionOf } from "./cursor.js";
import { HttpError, MutationError } from "./errors.js";

/** @import { MutationStatus, OptimisticEvent, Pending } from "./types.js" */

export class PendingMutation {
  /** @type {MutationStatus} */
  status = "pending";
  /** Where the database has it, once that is known. @type {string | undefined} */
  position = undefined;
  #controller = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #startedAt = 0;
  #left;
  #expired;
  /** @type {() => void} */
  #confirm = () => {};
  /** @type {(error: MutationError) => void} */
  #refuse = () => {};
  /** @type {Promise<void>} */
  confirmed;
  /** @type {Pending | undefined} */
  #view;

  /**
   * @param {OptimisticEvent} event
   * @param {number} timeout milliseconds
   * @param {() => void} expired
   */
  constructor(event, timeout, expired) {
    this.event = event;
    this.mutationId = event.mutationId;
    this.createdAt = Date.now();
    this.#left = timeout;
    this.#expired = expired;
    this.confirmed = new Promise((resolve, reject) => {
      this.#confirm = resolve;
      this.#refuse = reject;
    });
    this.confirmed.catch(() => {});
  }

  get signal() {
    return this.#controller.signal;
  }

  get waits() {
    return this.status === "pending" || this.status === "acknowledged";
  }

  /** What subscribers see; another object where the status is another. */
  get view() {
    const { mutationId, event, status, createdAt } = this;
    if (this.#view?.status !== status) {
      this.#view = Object.freeze({ mutationId, event, status, createdAt });
    }
    return this.#view;
  }

  /** Lets the time run, or stand still. @param {boolean} runs */
  clock(runs) {
    if (!this.waits || runs === (this.#timer !== undefined)) return;
    if (runs) {
      this.#startedAt = Date.now();
      this.#timer = setTimeout(this.#expired, this.#left);
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#left = Math.max(0, this.#left - (Date.now() - this.#startedAt));
  }

  /** Gives it its time anew. @param {number} timeout milliseconds */
  again(timeout) {
    this.clock(false);
    this.#left = timeout;
    this.clock(true);
  }

  /** @param {string | undefined} position */
  acknowledge(position) {
    if (this.status !== "pending") return;
    this.status = "acknowledged";
    this.position = position;
  }

  /** @param {MutationStatus} status @param {MutationError} [error] */
  settle(status, error) {
    this.clock(false);
    this.status = status;
    if (!error) return this.#confirm();
    this.#controller.abort(error);
    this.#refuse(error);
  }
}

/**
 * Where a write's answer says that the database has it: what `position` finds, or a `position` or
 * `operationTime` of the answer itself.
 * @param {any} result
 * @param {((result: any) => any) | undefined} position
 * @returns {string | undefined}
 */
export function acknowledged(result, position) {
  const found = position ? position(result) : (result?.position ?? result?.operationTime);
  return found === undefined || found === null ? undefined : positionOf(found);
}

/**
 * Refuses an answer that says that the write failed.
 * @param {unknown} result what `send` gave
 * @throws {HttpError}
 */
export function checkAnswer(result) {
  if (typeof Response !== "function" || !(result instanceof Response) || result.ok) return;
  throw new HttpError(result.status, `the answer was ${result.status}`);
}

/** @returns {string} an id that nobody else has; `randomUUID` is for secure contexts only */
export const randomId = () =>
  crypto.randomUUID?.() ?? crypto.getRandomValues(new Uint32Array(4)).join("-");

/** @param {"rejected" | "timeout" | "cancelled" | "conflict" | "disposed"} code @param {string} mutationId @param {{ cause?: unknown, reason?: unknown }} [more] */
export const mutationError = (code, mutationId, more) =>
  new MutationError(code, `write ${mutationId} was rolled back: ${code}`, { ...more, mutationId });

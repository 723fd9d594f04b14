// One write, from the moment it is made to the moment its outcome is known.

import { positionOf } from "./cursor.js";
import { HttpError, MergeError, MutationError } from "./errors.js";
import { report } from "./report.js";
import { Run } from "./run.js";

/** @import { MutationStatus, OptimisticEvent, Pending } from "./types.js" */

export class PendingMutation {
  /** @type {MutationStatus} */
  status = "pending";
  /** Where the database has it, once that is known. @type {string | undefined} */
  position = undefined;
  /** Writes of one name build on one another. @type {string | undefined} */
  serial = undefined;
  #run = new Run();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #startedAt = 0;
  #left;
  #expired;
  confirmed = this.#run.done;
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
  }

  get signal() {
    return this.#run.signal;
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

  /** Gives it its time anew. @param {number} timeout milliseconds @param {boolean} runs */
  again(timeout, runs) {
    this.clock(false);
    this.#left = timeout;
    this.clock(runs);
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
    if (error) this.#run.fail(error);
    else this.#run.finish();
  }
}

/**
 * Where a write's answer says that the database has it: what `position` finds, or a `position` or
 * `operationTime` of the answer itself. What is no position says nothing: the write is in the
 * database all the same.
 * @param {any} result
 * @param {((result: any) => any) | undefined} position
 * @returns {string | undefined}
 */
export function acknowledged(result, position) {
  try {
    const found = position ? position(result) : (result?.position ?? result?.operationTime);
    return found === undefined || found === null ? undefined : positionOf(found);
  } catch (error) {
    if (position) report(error);
    return undefined;
  }
}

/**
 * Refuses an answer that says that the write failed.
 * @param {unknown} result what `send` gave
 * @throws {HttpError}
 */
export async function checkAnswer(result) {
  if (typeof Response !== "function" || !(result instanceof Response) || result.ok) return;
  const problem = await result.json().catch(() => undefined);
  throw new HttpError(result.status, `the answer was ${result.status}`, { problem });
}

/** @returns {string} an id that nobody else has; `randomUUID` is for secure contexts only */
export const randomId = () =>
  crypto.randomUUID?.() ?? crypto.getRandomValues(new Uint32Array(4)).join("-");

/** @param {"rejected" | "timeout" | "cancelled" | "conflict" | "disposed"} code @param {string} mutationId @param {{ cause?: unknown, reason?: unknown }} [more] */
export function mutationError(code, mutationId, { cause, reason = own(cause) } = {}) {
  const text = `write ${mutationId}: ${code}`;
  return new MutationError(code, text, { cause, reason, mutationId });
}

/** What the application itself threw, or what its back end answered. @param {unknown} cause */
function own(cause) {
  if (cause instanceof MergeError) return cause.cause;
  if (cause instanceof MutationError) return cause.reason;
  return (cause instanceof HttpError && cause.problem) || cause;
}

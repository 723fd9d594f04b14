// The writes that wait for the database: laid over the confirmed state, confirmed or rolled back.

import { invalid } from "./errors.js";
import { call } from "./report.js";
import { PendingMutation, acknowledged, checkAnswer, mutationError, randomId } from "./mutation.js";

/** @import { MutationError } from "./errors.js" */
/** @import { Change, ConfirmedEvent, MutateOptions, Mutation, MutationStatus, OptimisticEvent, Pending } from "./types.js" */

/** Ids of writes that came back, for writes that are told of later than that. */
const MOST_SEEN = 1000;
const SEEN_FOR = 300_000;

/**
 * What a model gives: the state after an event, and what to do when something has changed.
 * @template T
 * @typedef {{
 *   apply: (state: T, event: OptimisticEvent) => T,
 *   confirmed: (waiting: readonly PendingMutation[], event: ConfirmedEvent) => readonly PendingMutation[],
 *   changed: () => void,
 *   settled: (pending: Pending) => void,
 *   unseen: () => Promise<void>,
 *   timeout: number,
 * }} Owner
 */

/** @template T */
export class Mutations {
  /** @type {PendingMutation[]} */
  #pending = [];
  /** @type {Map<string, number>} */
  #seen = new Map();
  /** @type {Map<string | undefined, Promise<unknown>>} */
  #queues = new Map();
  #owner;
  #running = false;
  #position = "";

  /** @param {Owner<T>} owner */
  constructor(owner) {
    this.#owner = owner;
  }

  get views() {
    return this.#pending.map((pending) => pending.view);
  }

  get ids() {
    return this.#pending.map(({ mutationId }) => mutationId);
  }

  /** Lets the time of all run, or stand still. @param {boolean} runs */
  clock(runs) {
    this.#running = runs;
    for (const pending of this.#pending) pending.clock(runs);
  }

  /**
   * Adds a write; it is sent once it is laid over the state.
   * @template R
   * @param {Change} change
   * @param {((context: { mutationId: string, signal: AbortSignal }) => Promise<R> | R) | undefined} send
   * @param {MutateOptions<R>} options
   * @returns {Mutation<R>}
   * @throws {BridgeError} `invalid_argument`
   */
  add(change, send, options) {
    const mutationId = this.#free(change?.mutationId ?? randomId());
    const timeout = options.timeout ?? this.#owner.timeout;
    const event = Object.freeze({ ...change, mutationId, confirmed: /** @type {const} */ (false) });
    const pending = new PendingMutation(event, timeout, () => this.#expire(pending, timeout));
    pending.serial = options.serial;
    this.#pending.push(pending);
    const sent = this.#begin(pending, send, options);
    sent.catch(() => {});
    return {
      mutationId,
      get status() {
        return pending.status;
      },
      sent,
      confirmed: pending.confirmed,
      cancel: () => this.#rollBack(pending, "cancelled"),
    };
  }

  /** @param {unknown} id */
  #free(id) {
    if (typeof id !== "string" || !id || id.length > 256 || this.ids.includes(id)) {
      throw invalid(`mutationId ${id}: used, or not of 1 to 256 characters`);
    }
    return id;
  }

  /** @param {PendingMutation} pending @param {((context: any) => any) | undefined} send @param {MutateOptions<any>} options */
  async #begin(pending, send, options) {
    if (this.#wasSeen(pending.mutationId)) this.#settle(pending, "confirmed");
    else {
      pending.clock(this.#running);
      this.#owner.settled(pending.view);
    }
    this.#owner.changed();
    return send && this.#send(pending, send, options);
  }

  /** @param {PendingMutation} pending @param {(context: any) => any} send @param {MutateOptions<any>} options */
  async #send(pending, send, { serial, position }) {
    const { mutationId, signal } = pending;
    try {
      const result = await this.#inTurn(serial, () => {
        // What did not fit, or built on what has failed, is rolled back by now.
        if (signal.aborted) throw signal.reason;
        return send({ mutationId, signal });
      });
      await checkAnswer(result);
      this.#acknowledge(pending, acknowledged(result, position));
      return result;
    } catch (cause) {
      this.#rollBack(pending, "rejected", { cause });
      throw cause;
    }
  }

  /** Calls after the call before it with the same name has ended. @param {string | undefined} name @param {() => any} act */
  #inTurn(name, act) {
    const before = this.#queues.get(name);
    const turn = before ? before.then(act) : new Promise((resolve) => resolve(act()));
    if (name === undefined) return turn;
    const forget = () => this.#queues.get(name) === ended && this.#queues.delete(name);
    /** @type {Promise<unknown>} */
    const ended = turn.then(forget, forget);
    this.#queues.set(name, ended);
    return turn;
  }

  /** @param {PendingMutation} pending @param {string | undefined} position */
  #acknowledge(pending, position) {
    pending.acknowledge(position);
    if (pending.waits) this.#owner.settled(pending.view);
    this.reached(this.#position);
    this.#owner.changed();
  }

  // What the stream says.

  /** Messages that are in the confirmed state now. @param {readonly ConfirmedEvent[]} events */
  came(events) {
    for (const event of events) {
      if (event.mutationId !== undefined) this.#note(event.mutationId);
      // What an application's own rule throws is in the way of no message.
      call(() => this.#confirm(this.#owner.confirmed(this.#pending, event)));
    }
  }

  /** @param {string} id @param {unknown} reason */
  reject(id, reason) {
    const pending = this.#pending.find(({ mutationId }) => mutationId === id);
    if (pending) this.#rollBack(pending, "rejected", { reason });
  }

  /** The confirmed state contains everything up to a position. @param {string} position @returns whether that confirms any */
  reached(position) {
    this.#position = position;
    const is = (/** @type {PendingMutation} */ { position: at }) =>
      at !== undefined && at <= position;
    return this.#confirm(this.#pending.filter(is));
  }

  /** The confirmed state contains these writes. @param {readonly string[]} ids */
  contained(ids) {
    this.#confirm(this.#pending.filter(({ mutationId }) => ids.includes(mutationId)));
    for (const id of ids) this.#note(id);
  }

  /** Lays all over a confirmed state; what does not fit any more is rolled back alone. @param {T} state */
  over(state) {
    for (const pending of [...this.#pending]) {
      if (!pending.waits) continue;
      try {
        state = this.#owner.apply(state, pending.event);
      } catch (cause) {
        this.#fail(pending, "conflict", { cause });
      }
    }
    return state;
  }

  dispose() {
    for (const pending of [...this.#pending].reverse()) this.#fail(pending, "disposed");
    this.#seen.clear();
  }

  // Ends.

  /** @param {readonly PendingMutation[]} found @returns whether there are any */
  #confirm(found) {
    for (const pending of found) this.#settle(pending, "confirmed");
    return found.length > 0;
  }

  /**
   * A write that fails takes those of its `serial` with it that nobody has acknowledged: they were
   * made on top of it. One that is cancelled goes alone.
   * @param {PendingMutation} pending @param {"rejected" | "timeout" | "cancelled" | "conflict" | "disposed"} code @param {{ cause?: unknown, reason?: unknown }} [more]
   */
  #fail(pending, code, more) {
    if (!pending.waits) return;
    const later = this.#pending.slice(this.#pending.indexOf(pending) + 1);
    const cause = mutationError(code, pending.mutationId, more);
    this.#settle(pending, code, cause);
    if (pending.serial === undefined || code === "cancelled") return;
    for (const each of later) {
      if (each.serial === pending.serial && each.status === "pending") {
        this.#fail(each, "cancelled", { cause });
      }
    }
  }

  /** @param {PendingMutation} pending @param {"rejected" | "timeout" | "cancelled" | "conflict"} code @param {{ cause?: unknown, reason?: unknown }} [more] */
  #rollBack(pending, code, more) {
    this.#fail(pending, code, more);
    this.#owner.changed();
  }

  /** @param {PendingMutation} pending @param {MutationStatus} status @param {MutationError} [error] */
  #settle(pending, status, error) {
    this.#pending = this.#pending.filter((each) => each !== pending);
    pending.settle(status, error);
    this.#owner.settled(pending.view);
  }

  /**
   * Time is up. A write that was acknowledged is in the database: the state is fetched, and it is
   * in there too, unless its position says that it comes later.
   * @param {PendingMutation} pending @param {number} timeout
   */
  async #expire(pending, timeout) {
    if (pending.status === "pending") return this.#rollBack(pending, "timeout");
    const fetched = await this.#owner.unseen().then(
      () => true,
      () => false,
    );
    if (!pending.waits) return;
    if (!fetched || pending.position !== undefined) return pending.again(timeout, this.#running);
    this.#settle(pending, "confirmed");
    this.#owner.changed();
  }

  /** @param {string} id */
  #note(id) {
    this.#seen.delete(id);
    this.#seen.set(id, Date.now());
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > MOST_SEEN) this.#seen.delete(oldest);
  }

  /** @param {string} id */
  #wasSeen(id) {
    const at = this.#seen.get(id);
    return at !== undefined && Date.now() - at < SEEN_FOR;
  }
}

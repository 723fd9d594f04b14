// The writes that wait for the database: laid over the confirmed state, confirmed or rolled back.

import { invalid } from "./errors.js";
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
 *   matches: (pending: Pending, event: ConfirmedEvent) => boolean,
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
  /** @type {Map<string, Promise<unknown>>} */
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
    if (typeof id !== "string" || !id || id.length > 256) {
      throw invalid("mutationId: expected text of 1 to 256 characters");
    }
    if (this.ids.includes(id)) {
      throw invalid(`mutationId ${id} is in use`);
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
    // What does not fit has been rolled back by now, and is not sent.
    if (pending.status === "conflict") await pending.confirmed;
    return send && this.#send(pending, send, options);
  }

  /** @param {PendingMutation} pending @param {(context: any) => any} send @param {MutateOptions<any>} options */
  async #send(pending, send, { serial, position }) {
    const { mutationId, signal } = pending;
    try {
      const result = await this.#inTurn(serial, () => {
        if (signal.aborted) throw signal.reason;
        return send({ mutationId, signal });
      });
      checkAnswer(result);
      this.#acknowledge(pending, acknowledged(result, position));
      return result;
    } catch (cause) {
      this.#rollBack(pending, "rejected", { cause });
      throw cause;
    }
  }

  /** Calls after the call before it with the same name has ended. @param {string | undefined} name @param {() => any} act */
  #inTurn(name, act) {
    const before = this.#queues.get(/** @type {string} */ (name));
    const turn = before ? before.then(act) : new Promise((resolve) => resolve(act()));
    if (name === undefined) return turn;
    const ended = turn
      .catch(() => {})
      .then(() => {
        if (this.#queues.get(name) === ended) this.#queues.delete(name);
      });
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

  /** Messages that are in the confirmed state now, or reject. @param {readonly ConfirmedEvent[]} events */
  came(events) {
    for (const event of events) {
      if (event.mutationId && !event.rejected) this.#note(event.mutationId);
      const pending = this.#pending.find((each) => this.#owner.matches(each.view, event));
      if (!pending) continue;
      if (event.rejected) this.#fail(pending, "rejected", { reason: event.data });
      else this.#settle(pending, "confirmed");
    }
  }

  /** The confirmed state contains everything up to a position. @param {string} position */
  reached(position) {
    this.#position = position;
    for (const pending of [...this.#pending]) {
      // Of one without a position this says no.
      const at = /** @type {string} */ (pending.position);
      if (at <= position) this.#settle(pending, "confirmed");
    }
  }

  /** The confirmed state contains these writes. @param {readonly string[]} ids */
  contained(ids) {
    for (const pending of [...this.#pending]) {
      if (ids.includes(pending.mutationId)) this.#settle(pending, "confirmed");
    }
    for (const id of ids) this.#note(id);
  }

  /** Lays all over a confirmed state; what does not fit any more is rolled back alone. @param {T} state */
  over(state) {
    for (const pending of [...this.#pending]) {
      try {
        state = this.#owner.apply(state, pending.event);
      } catch (cause) {
        this.#fail(pending, "conflict", { cause });
      }
    }
    return state;
  }

  dispose() {
    for (const pending of [...this.#pending]) this.#fail(pending, "disposed");
    this.#seen.clear();
  }

  // Ends.

  /** @param {PendingMutation} pending @param {"rejected" | "timeout" | "cancelled" | "conflict" | "disposed"} code @param {{ cause?: unknown, reason?: unknown }} [more] */
  #fail(pending, code, more) {
    if (pending.waits) this.#settle(pending, code, mutationError(code, pending.mutationId, more));
  }

  /** @param {PendingMutation} pending @param {"rejected" | "timeout" | "cancelled" | "conflict"} code @param {{ cause?: unknown }} [more] */
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
    if (!fetched || pending.position) return pending.again(timeout);
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

// What an application reads of a model, and how it hears of changes.

import { positionOf } from "./cursor.js";
import { invalid } from "./errors.js";

/** @import { Emitter } from "./emitter.js" */
/** @import { Store } from "./store.js" */
/** @import { Cursor, ModelSnapshot, Timestamp } from "./types.js" */
/** @import { Waiters } from "./waiters.js" */

/**
 * What stands behind a reading: `start` begins to follow, where that has not begun, and throws
 * where it cannot; `alone` is told when the last subscriber has gone.
 * @template T
 * @typedef {{
 *   store: Store<T>,
 *   events: Emitter,
 *   waiters: Waiters,
 *   start: () => void,
 *   alone: (alone: boolean) => void,
 *   position: () => string,
 * }} Source
 */

/** @template T */
export class Reading {
  #source;

  /** @param {Source<T>} source */
  constructor(source) {
    this.#source = source;
    this.subscribe = this.subscribe.bind(this);
    this.getSnapshot = this.getSnapshot.bind(this);
  }

  /** The state with pending writes in it; undefined until it is fetched. @returns {T | undefined} */
  get data() {
    return this.getSnapshot().data;
  }

  /** The state as the database has it; undefined until it is fetched. @returns {T | undefined} */
  get confirmed() {
    return this.getSnapshot().confirmed;
  }

  get state() {
    return this.getSnapshot().state;
  }

  /** Whether the database may be further than the state. */
  get isStale() {
    return this.getSnapshot().isStale;
  }

  /** The writes that wait for confirmation, oldest first. */
  get pending() {
    return this.getSnapshot().pending;
  }

  /** What is wrong, if anything. */
  get error() {
    return this.getSnapshot().error;
  }

  /**
   * All of the above as one object, the same until something changes.
   * @returns {ModelSnapshot<T>}
   */
  getSnapshot() {
    return this.#source.store.snapshot;
  }

  /**
   * Tells a listener of changes, once for each batch of them. The first subscriber starts the model.
   * @param {(snapshot: ModelSnapshot<T>) => void} listener
   * @param {{ confirmed?: boolean, immediate?: boolean }} [options] `confirmed`: only where
   *   confirmed data has changed; `immediate`: also once with what there is now
   * @returns {() => void} ends it
   * @throws {BridgeError} `invalid_argument` or `disposed`
   */
  subscribe(listener, { confirmed = false, immediate = false } = {}) {
    const { store, start, alone } = this.#source;
    if (typeof listener !== "function") throw invalid("expected a function");
    start();
    alone(false);
    const end = store.subscribe(listener, confirmed, immediate);
    return () => {
      if (end() && !store.size) alone(true);
    };
  }

  /**
   * Listens to `state` (or the name of one state: `{ current, previous, reason }`), `resync` (its
   * reason) or `mutation` (a write whose status is another).
   * @param {string} type
   * @param {(event: any) => void} listener
   * @returns {() => void} ends it
   */
  on(type, listener) {
    return this.#source.events.on(type, listener);
  }

  /**
   * Waits until the confirmed state contains everything up to a position, until a condition on the
   * snapshot holds, or, without either, until the model is ready. A condition may wait for any state;
   * the others have no hope in a model that is errored.
   * @param {Cursor | Timestamp | ((snapshot: ModelSnapshot<T>) => boolean)} [target]
   * @param {{ signal?: AbortSignal, timeout?: number }} [options] milliseconds
   * @returns {Promise<void>}
   * @throws {BridgeError} `timeout`, `cancelled`, `disposed`, or the model's error where it is errored
   */
  waitFor(target, options) {
    const { start, position, waiters } = this.#source;
    start();
    if (typeof target === "function") {
      return waiters.wait(() => target(this.getSnapshot()), options);
    }
    const wanted = target && positionOf(target);
    return waiters.wait(() => {
      if (this.state === "errored") throw this.error;
      return wanted ? position() >= wanted : this.state === "ready";
    }, options);
  }
}

// What an application reads of a model.

/** @import { Store } from "./store.js" */
/** @import { ModelSnapshot } from "./types.js" */

/** @template T */
export class Reading {
  #store;

  /** @param {Store<T>} store */
  constructor(store) {
    this.#store = store;
    this.getSnapshot = this.getSnapshot.bind(this);
  }

  /** The state with pending writes in it; undefined until it is fetched. @returns {T | undefined} */
  get data() {
    return this.#store.snapshot.data;
  }

  /** The state as the database has it; undefined until it is fetched. @returns {T | undefined} */
  get confirmed() {
    return this.#store.snapshot.confirmed;
  }

  get state() {
    return this.#store.snapshot.state;
  }

  /** Whether the database may be further than the state. */
  get isStale() {
    return this.#store.snapshot.isStale;
  }

  /** The writes that wait for confirmation, oldest first. */
  get pending() {
    return this.#store.snapshot.pending;
  }

  /** What is wrong, if anything. */
  get error() {
    return this.#store.snapshot.error;
  }

  /**
   * All of the above as one object, the same until something changes.
   * @returns {ModelSnapshot<T>}
   */
  getSnapshot() {
    return this.#store.snapshot;
  }
}

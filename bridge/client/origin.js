// Where a model's state comes from: the application's own function, or the bridge.

import { backoff } from "./retry.js";
import { fetchState, stateOf } from "./state.js";

/** @import { BridgeError } from "./errors.js" */
/** @import { State } from "./state.js" */
/** @import { AutomaticMerge, ModelSpec, Snapshot, SyncContext, SyncReason, SyncResult } from "./types.js" */

/** Resyncs in a minute that may follow one another at once; each further one counts as a failure. */
const AT_ONCE = 5;
const MINUTE = 60_000;

/** @template T */
export class Origin {
  #spec;
  #snapshot;
  /** @type {number[]} */
  #resyncs = [];
  #initial;
  /** How often it was asked for since the model was ready. */
  attempts = 0;
  /** What `sync` is called with after its context. @type {any[]} */
  params = [];

  /**
   * @param {ModelSpec<T>} spec
   * @param {(channel: string, signal: AbortSignal) => Promise<Snapshot>} snapshot
   */
  constructor(spec, snapshot) {
    this.#spec = spec;
    this.#initial = spec.initial;
    this.#snapshot = snapshot;
  }

  /**
   * The state, asked for as often as it takes.
   * @param {SyncReason} reason
   * @param {AbortSignal} signal
   * @param {readonly string[]} pending
   * @param {(error: BridgeError) => void} failed
   * @returns {Promise<State<T>>}
   * @throws {BridgeError}
   */
  async fetch(reason, signal, pending, failed) {
    const initial = this.#initial;
    this.#initial = undefined;
    if (initial) return stateOf(initial);
    const { channel, sync = this.#ask, retry = backoff() } = this.#spec;
    this.attempts = reason === "manual" ? 0 : Math.max(this.attempts, this.#crowded());
    const snapshot = () => this.#snapshot(channel, signal);
    /** @param {number} attempt */
    const once = async (attempt) =>
      sync.call(this, { signal, reason, attempt, pending, snapshot }, ...this.params);
    return fetchState(once, retry, signal, failed, this);
  }

  /** @param {SyncContext} context @returns {Promise<SyncResult<T>>} */
  async #ask({ snapshot }) {
    const { documents, cursor } = await snapshot();
    const merge = /** @type {AutomaticMerge<T>} */ (this.#spec.merge);
    return { data: merge.state(documents), cursor };
  }

  /** How many resyncs too many there were in the last minute. */
  #crowded() {
    const now = Date.now();
    this.#resyncs = [...this.#resyncs.filter((at) => now - at < MINUTE), now];
    return this.#resyncs.length - AT_ONCE;
  }
}

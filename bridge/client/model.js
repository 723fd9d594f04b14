// A channel's state: fetched, kept up to date, and with the application's own writes laid over it.

import { confirmation } from "./confirmation.js";
import { positionOf } from "./cursor.js";
import { Emitter } from "./emitter.js";
import { BridgeError, invalid } from "./errors.js";
import { deepFreeze, fold } from "./fold.js";
import { Mutations } from "./mutations.js";
import { Origin } from "./origin.js";
import { Reading } from "./reading.js";
import { Run } from "./run.js";
import { Store } from "./store.js";
import { Waiters } from "./waiters.js";

/** @import { Owner } from "./bridge.js" */
/** @import { State } from "./state.js" */
/** @import { Subscription } from "./subscription.js" */
/** @import { Change, Message, ModelSpec, ModelState, MutateOptions, Mutation, SyncReason } from "./types.js" */

const TIMEOUT = 30_000;

/**
 * A model follows one channel. Make it with `bridge.model(spec)`.
 * @template T
 * @extends {Reading<T>}
 */
export class Model extends Reading {
  #bridge;
  #spec;
  /** @type {Store<T>} */
  #store;
  /** @type {Mutations<T>} */
  #mutations;
  #waiters;
  #events;
  /** @type {Origin<T>} */
  #origin;
  /** @type {Subscription | undefined} */
  #subscription;
  /** The fetching that goes on, until the model is ready. @type {Run | undefined} */
  #run;
  /** Up to where the confirmed state contains everything. @type {string | undefined} */
  #cursor;
  #position = "";
  #fetched = false;
  /** Whether nobody knows where the state stands. */
  #adrift = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #idle;

  /** @param {Owner} bridge @param {ModelSpec<T>} spec */
  constructor(bridge, spec) {
    /** @type {Store<T>} */
    const store = new Store(spec.batch ?? "microtask");
    const events = new Emitter();
    const waiters = new Waiters();
    super({
      store,
      events,
      waiters,
      start: () => this.#start(),
      alone: (alone) => this.#rest(alone),
      position: () => this.#position,
    });
    this.#store = store;
    this.#events = events;
    this.#waiters = waiters;
    this.#bridge = bridge;
    this.#spec = spec;
    this.#origin = new Origin(spec, bridge.snapshot);
    this.#mutations = new Mutations({
      apply: (/** @type {T} */ state, event) => this.#fold(state, [event]),
      confirmed: confirmation(spec),
      changed: () => this.#commit(),
      settled: (pending) => this.#events.emit("mutation", pending),
      unseen: () => this.#resync("timeout"),
      timeout: spec.timeout ?? TIMEOUT,
    });
    /** The model's channel. */
    this.channel = spec.channel;
  }

  /** Where the state stands, to be stored with it for `initial`; undefined before it is known. */
  get cursor() {
    return this.#cursor;
  }

  // What the application asks for.

  /**
   * Fetches the state anew; what is there stays visible until then.
   * @param {any[]} params for the spec's `sync`, now and in later resyncs
   * @returns {Promise<void>} once the model is ready
   * @throws {BridgeError} where it becomes errored, or is disposed
   */
  sync(...params) {
    this.#living();
    if (params.length) this.#origin.params = params;
    return this.#resync(this.state === "initialized" ? "initial" : "manual");
  }

  /**
   * Shows a write before the database has it, and sends it.
   * @template R
   * @param {Change} change
   * @param {(context: { mutationId: string, signal: AbortSignal }) => Promise<R> | R} [send] not
   *   called where the change does not fit; left out where the write is sent elsewhere
   * @param {MutateOptions<R>} [options] `timeout` in milliseconds; `position`
   *   finds the write's position in its answer; `serial`: writes of one name are sent one by one
   * @returns {Mutation<R>}
   * @throws {BridgeError} `invalid_argument` or `disposed`
   */
  mutate(change, send, options = {}) {
    this.#start();
    if (Object(change) !== change) throw invalid("expected a change");
    return this.#mutations.add(change, send, options);
  }

  /**
   * Rolls back a write that waits: it was refused. Events with `rejected` do that by themselves, on
   * whichever channel of the bridge they come; this is for what is heard elsewhere.
   * @param {string} mutationId nothing happens where no such write waits
   * @param {unknown} [reason] for the MutationError
   */
  reject(mutationId, reason) {
    this.#mutations.reject(mutationId, reason);
  }

  /** Lets the channel go; the state stays as it is until `resume`. */
  pause() {
    this.#living();
    if (this.state === "paused") return;
    this.#run?.end();
    this.#subscription?.flush();
    this.#letGo();
    this.#become("paused");
  }

  /**
   * Goes on where `pause` stopped.
   * @returns {Promise<void>} once the model is ready
   */
  resume() {
    this.#living();
    if (this.state !== "paused") return Promise.resolve();
    if (this.#cursor === undefined || this.#run) return this.#resync("manual");
    this.#follow(this.#cursor);
    this.#become("ready");
    const live = this.waitFor(({ isStale }) => !isStale || this.#adrift);
    live.catch(() => {});
    return live;
  }

  /** Ends it for good; writes that wait are rejected with `disposed`. */
  dispose() {
    if (this.state === "disposed") return;
    clearTimeout(this.#idle);
    const gone = disposed();
    this.#run?.fail(gone);
    this.#letGo();
    this.#become("disposed");
    this.#mutations.dispose();
    this.#waiters.fail(gone);
    this.#store.tell();
    this.#store.clear();
    this.#events.clear();
    this.#bridge.forget(/** @type {Model<any>} */ (this));
  }

  // Fetching.

  /** Follows the channel, where that has not begun. */
  #start() {
    this.#living();
    if (this.state === "initialized") this.#resync("initial");
  }

  /** @param {SyncReason} reason @param {BridgeError} [error] @returns {Promise<void>} */
  #resync(reason, error) {
    this.#living();
    this.#subscription?.hold();
    const before = this.#run;
    const run = (this.#run = new Run());
    before?.follow(run);
    this.#become("syncing", error);
    this.#mutations.clock(false);
    this.#store.set({ isStale: true });
    if (reason !== "initial") this.#events.emit("resync", reason);
    this.#perform(run, reason);
    return run.done;
  }

  /** @param {Run} run @param {SyncReason} reason */
  async #perform(run, reason) {
    try {
      const failed = (/** @type {BridgeError} */ error) => this.#store.set({ error });
      const state = await this.#origin.fetch(reason, run.signal, this.#mutations.ids, failed);
      if (!run.signal.aborted) this.#adopt(state);
    } catch (error) {
      if (!run.signal.aborted) this.#fail(/** @type {BridgeError} */ (error));
    }
  }

  /** @param {State<T>} state */
  #adopt({ data, cursor, mutationIds }) {
    if (this.#bridge.freeze) deepFreeze(data);
    this.#fetched = true;
    this.#adrift = cursor === undefined;
    this.#cursor = cursor;
    this.#position = cursor === undefined ? "" : positionOf(cursor);
    this.#store.replay(true);
    this.#mutations.contained(mutationIds);
    this.#mutations.reached(this.#position);
    this.#commit(data);
    this.#follow(cursor);
  }

  /** @param {string | undefined} cursor */
  #follow(cursor) {
    if (this.#subscription) return this.#subscription.seek(cursor);
    this.#subscription = this.#bridge.follow(this.#spec, cursor, {
      messages: (messages) => this.#apply(messages),
      moved: () => this.#moved(),
      live: () => this.#live(),
      stale: () => this.#stale(),
      resync: (reason) => this.#resync(reason),
      error: (error) => this.#fail(error),
    });
  }

  /** @param {BridgeError} error */
  #fail(error) {
    this.#run?.fail(error);
    this.#run = undefined;
    this.#letGo();
    this.#become("errored", error);
  }

  #letGo() {
    this.#subscription?.close();
    this.#subscription = undefined;
    this.#stale();
  }

  // What the stream says.

  /** @param {readonly Message[]} messages */
  #apply(messages) {
    const events = messages.map((message) => ({
      ...message,
      confirmed: /** @type {const} */ (true),
    }));
    const accepted = events.filter(({ rejected }) => !rejected);
    let state;
    try {
      state = this.#fold(/** @type {T} */ (this.confirmed), accepted);
    } catch (error) {
      const wrong = /** @type {BridgeError} */ (error);
      return void this.#resync(reasonOf(wrong), wrong);
    }
    this.#mutations.came(accepted);
    this.#commit(state);
    this.#moved();
  }

  #moved() {
    const at = this.#subscription;
    if (!at) return;
    this.#cursor = at.cursor;
    this.#position = at.position;
    if (this.#mutations.reached(this.#position)) this.#commit();
    this.#waiters.check();
  }

  #live() {
    const run = this.#run;
    this.#run = undefined;
    this.#origin.attempts = 0;
    this.#store.set({ isStale: this.#adrift });
    this.#mutations.clock(true);
    this.#become("ready");
    this.#store.replay(false);
    run?.finish();
    this.#waiters.check();
  }

  #stale() {
    this.#mutations.clock(false);
    this.#store.set({ isStale: true });
    if (this.#subscription) this.#store.replay(true);
  }

  // State.

  /** @param {T} state @param {readonly any[]} events */
  #fold(state, events) {
    return fold(this.#spec.merge, state, events, this.#bridge.freeze);
  }

  /** Takes a confirmed state, and lays the writes over it that wait. @param {T} [confirmed] */
  #commit(confirmed = this.confirmed) {
    const data = this.#fetched ? this.#mutations.over(/** @type {T} */ (confirmed)) : undefined;
    const { views } = this.#mutations;
    const { pending } = this.#store.snapshot;
    const same = views.length === pending.length && views.every((view, at) => view === pending[at]);
    this.#store.set({ confirmed, data, pending: same ? pending : views });
    this.#waiters.check();
  }

  /** @param {ModelState} current @param {BridgeError} [reason] */
  #become(current, reason) {
    const previous = this.state;
    const error = current === "ready" ? undefined : (reason ?? this.error);
    this.#store.set({ state: current, error });
    if (current === previous) return;
    const change = { current, previous, reason };
    this.#events.emit("state", change);
    this.#events.emit(current, change);
    this.#waiters.check();
  }

  /** @param {boolean} alone whether nobody listens any more */
  #rest(alone) {
    const { idle = Infinity } = this.#spec;
    clearTimeout(this.#idle);
    if (alone && Number.isFinite(idle)) this.#idle = setTimeout(() => this.dispose(), idle);
  }

  #living() {
    if (this.state === "disposed") throw disposed();
  }
}

/** @param {BridgeError} error */
const reasonOf = ({ code }) => (code === "history_lost" ? "gap" : code);

const disposed = () => new BridgeError("disposed", "disposed");

// A channel's state: fetched, kept up to date, and with the application's own writes laid over it.

import { positionOf } from "./cursor.js";
import { BridgeError, MergeError, PatchError } from "./errors.js";
import { deepFreeze, fold } from "./fold.js";
import { Mutations } from "./mutations.js";
import { call } from "./report.js";
import { backoff } from "./retry.js";
import { Run } from "./run.js";
import { stateOf } from "./state.js";
import { Store } from "./store.js";
import { Subscription } from "./subscription.js";
import { Waiters } from "./waiters.js";

const TIMEOUT = 30_000;

/**
 * A model follows one channel. Make it with `bridge.model(spec)`.
 * @template T
 */
export class Model {
  #bridge;
  #spec;
  /** @type {Store<T>} */
  #store;
  /** @type {Mutations<T>} */
  #mutations;
  #waiters = new Waiters();
  /** @type {Map<string, Set<(event: any) => void>>} */
  #listeners = new Map();
  /** @type {Subscription | undefined} */
  #subscription;
  /** The fetching that goes on, until the model is ready. @type {Run<T> | undefined} */
  #run;
  /** @type {any[]} */
  #params = [];
  /** What the confirmed state contains. */
  #position = "";
  #fetched = false;
  /** Whether nobody knows where the state stands. */
  #adrift = false;
  /** @type {import("./types.js").SyncResult<T> | undefined} */
  #initial;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #idle;
  /** When resyncs were, for those that come too fast. @type {number[]} */
  #resyncs = [];

  /** @param {import("./bridge.js").Owner} bridge @param {import("./types.js").ModelSpec<T>} spec */
  constructor(bridge, spec) {
    this.#bridge = bridge;
    this.#spec = spec;
    this.#initial = spec.initial;
    this.#store = new Store(spec.batch ?? "microtask");
    this.#mutations = new Mutations({
      apply: (/** @type {T} */ state, event) => this.#fold(state, [event]),
      matches: spec.confirm ?? (({ mutationId }, event) => mutationId === event.mutationId),
      changed: () => this.#commit(),
      settled: (pending) => this.#emit("mutation", pending),
      unseen: () => this.#resync("timeout"),
      timeout: spec.timeout ?? TIMEOUT,
    });
    /** The model's channel. */
    this.channel = spec.channel;
    this.subscribe = this.subscribe.bind(this);
    this.getSnapshot = this.getSnapshot.bind(this);
  }

  // What the application reads.

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

  get error() {
    return this.#store.snapshot.error;
  }

  /** Where the state stands, to be stored with it for `initial`; undefined before it is known. */
  get cursor() {
    return this.#subscription?.cursor ?? this.#pausedAt;
  }

  /** @type {string | undefined} */
  #pausedAt;

  /** All of the above as one object, the same until something changes. @returns {import("./types.js").ModelSnapshot<T>} */
  getSnapshot() {
    return this.#store.snapshot;
  }

  /**
   * Tells a listener of changes, once for each batch of them. The first subscriber starts the model.
   * @param {(snapshot: import("./types.js").ModelSnapshot<T>) => void} listener
   * @param {{ confirmed?: boolean, immediate?: boolean }} [options] `confirmed`: only where
   *   confirmed data has changed; `immediate`: also once with what there is now
   * @returns {() => void} ends it
   */
  subscribe(listener, { confirmed = false, immediate = false } = {}) {
    this.#living();
    if (typeof listener !== "function") throw invalid("subscribe: expected a function");
    clearTimeout(this.#idle);
    const end = this.#store.subscribe(listener, confirmed, immediate);
    if (this.state === "initialized") this.#resync("initial").catch(() => {});
    return () => {
      if (end() && !this.#store.size) this.#rest();
    };
  }

  /**
   * Listens to `state` (or the name of one state: `{ current, previous, reason }`), `resync` (its
   * reason) or `mutation` (a pending write whose status is another).
   * @param {string} type
   * @param {(event: any) => void} listener
   * @returns {() => void} ends it
   */
  on(type, listener) {
    if (typeof listener !== "function") throw invalid("on: expected a function");
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners.add(listener));
    return () => {
      listeners.delete(listener);
    };
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
    if (params.length) this.#params = params;
    return this.#resync(this.state === "initialized" ? "initial" : "manual");
  }

  /**
   * Waits until the confirmed state contains everything up to a position, until a condition on the
   * snapshot holds, or, without either, until the model is ready.
   * @param {import("./types.js").Cursor | import("./types.js").Timestamp | ((snapshot: import("./types.js").ModelSnapshot<T>) => boolean)} [target]
   * @param {{ signal?: AbortSignal, timeout?: number }} [options] milliseconds
   * @returns {Promise<void>}
   * @throws {BridgeError} `timeout`, `cancelled` or `disposed`
   */
  waitFor(target = ({ state }) => state === "ready", options) {
    this.#living();
    const test = typeof target === "function" ? target : undefined;
    const position = test ? "" : positionOf(target);
    const met = () => (test ? test(this.#store.snapshot) : this.#position >= position);
    if (this.state === "initialized") this.#resync("initial").catch(() => {});
    return this.#waiters.wait(met, options);
  }

  /**
   * Shows a write before the database has it, and sends it.
   * @template R
   * @param {import("./types.js").Change} change
   * @param {(context: { mutationId: string, signal: AbortSignal }) => Promise<R> | R} [send] not
   *   called where the change does not fit; left out where the write is sent elsewhere
   * @param {import("./types.js").MutateOptions<R>} [options] `timeout` in milliseconds; `position`
   *   finds the write's position in its answer; `serial`: writes of one name are sent one by one
   * @returns {import("./types.js").Mutation<R>}
   * @throws {BridgeError} `invalid_argument` or `disposed`
   */
  mutate(change, send, options = {}) {
    this.#living();
    if (typeof change !== "object" || change === null) throw invalid("mutate: expected a change");
    if (this.state === "initialized") this.#resync("initial").catch(() => {});
    return this.#mutations.add(change, send, options, (event) => {
      if (this.#fetched) this.#fold(/** @type {T} */ (this.data), [event]);
    });
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
    if (!this.#fetched || this.#pausedAt === undefined || this.#run) return this.#resync("manual");
    this.#follow(this.#pausedAt);
    this.#become("ready");
    const live = this.waitFor(({ isStale }) => !isStale);
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
    this.#listeners.clear();
    this.#bridge.forget(/** @type {Model<any>} */ (this));
  }

  // Fetching.

  /** @param {import("./types.js").SyncReason} reason @param {BridgeError} [error] @returns {Promise<void>} */
  #resync(reason, error) {
    this.#living();
    this.#subscription?.hold();
    const before = this.#run;
    /** @type {Run<T>} */
    const run = (this.#run = new Run());
    before?.follow(run);
    this.#become("syncing", error);
    this.#mutations.clock(false);
    this.#store.set({ isStale: true });
    if (reason !== "initial") this.#emit("resync", reason);
    this.#perform(run, reason);
    return run.done;
  }

  /** @param {Run<T>} run @param {import("./types.js").SyncReason} reason */
  async #perform(run, reason) {
    try {
      const state = this.#initial ? stateOf(this.#initial) : await this.#fetch(run, reason);
      this.#initial = undefined;
      if (run === this.#run && !run.signal.aborted) this.#adopt(state);
    } catch (error) {
      if (run === this.#run && !run.signal.aborted) this.#fail(/** @type {BridgeError} */ (error));
    }
  }

  /** @param {Run<T>} run @param {import("./types.js").SyncReason} reason */
  #fetch(run, reason) {
    const { channel, sync, merge, retry = backoff() } = this.#spec;
    const snapshot = () => this.#bridge.snapshot(channel, run.signal);
    const automatic = /** @type {import("./types.js").AutomaticMerge<T>} */ (merge);
    /** @param {number} attempt @returns {Promise<any>} */
    const once = async (attempt) => {
      if (!sync) {
        const { documents, cursor } = await snapshot();
        return { data: automatic.state(documents), cursor };
      }
      const pending = this.#mutations.ids;
      return sync({ signal: run.signal, reason, attempt, pending, snapshot }, ...this.#params);
    };
    return run.fetch(once, {
      retry,
      crowded: reason !== "manual" && this.#crowded(),
      failed: (error) => this.#store.set({ error }),
    });
  }

  /** How many resyncs too many there were in the last minute. */
  #crowded() {
    const now = Date.now();
    this.#resyncs = [...this.#resyncs.filter((at) => now - at < 60_000), now];
    return Math.max(0, this.#resyncs.length - 5);
  }

  /** @param {import("./state.js").State<T>} state */
  #adopt({ data, cursor, mutationIds }) {
    if (this.#bridge.freeze) deepFreeze(data);
    this.#fetched = true;
    this.#adrift = cursor === undefined;
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
      resync: (reason) => this.#lost(reason),
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
    this.#pausedAt = this.cursor;
    this.#subscription?.close();
    this.#subscription = undefined;
    this.#stale();
  }

  // What the stream says.

  /** @param {readonly import("./types.js").Message[]} messages */
  #apply(messages) {
    const events = messages.map((message) => ({ ...message, confirmed: /** @type {const} */ (true) }));
    const accepted = events.filter(({ rejected }) => !rejected);
    let state;
    try {
      state = this.#fold(/** @type {T} */ (this.confirmed), accepted);
    } catch (error) {
      const wrong = error instanceof BridgeError ? error : new BridgeError("merge", "a message does not fit", { cause: error });
      return void this.#resync(reasonOf(wrong), wrong).catch(() => {});
    }
    this.#mutations.came(events);
    this.#commit(state);
    this.#moved();
  }

  #moved() {
    this.#position = this.#subscription?.position ?? this.#position;
    const before = this.#mutations.ids.length;
    this.#mutations.reached(this.#position);
    if (this.#mutations.ids.length !== before) this.#commit();
    this.#waiters.check();
  }

  #live() {
    const run = this.#run;
    this.#run = undefined;
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

  /** @param {import("./types.js").SyncReason} reason */
  #lost(reason) {
    this.#resync(reason).catch(() => {});
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

  /** @param {import("./types.js").ModelState} current @param {BridgeError} [reason] */
  #become(current, reason) {
    const previous = this.state;
    const error = current === "errored" ? reason : current === "ready" ? undefined : (reason ?? this.error);
    this.#store.set({ state: current, error });
    if (current === previous) return;
    const change = { current, previous, reason };
    this.#emit("state", change);
    this.#emit(current, change);
    this.#waiters.check();
  }

  /** @param {string} type @param {any} event */
  #emit(type, event) {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) call(() => listener(event));
  }

  /** Nobody listens any more. */
  #rest() {
    const { idle = Infinity } = this.#spec;
    if (Number.isFinite(idle)) this.#idle = setTimeout(() => this.dispose(), idle);
  }

  #living() {
    if (this.state === "disposed") throw disposed();
  }
}

/** @param {BridgeError} error */
function reasonOf(error) {
  if (error instanceof PatchError) return "patch";
  return error instanceof MergeError || error.code === "merge" ? "merge" : "gap";
}

/** @param {string} text */
const invalid = (text) => new BridgeError("invalid_argument", text);

const disposed = () => new BridgeError("disposed", "the model was disposed; make another one");

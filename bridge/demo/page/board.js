// One board: what is on it, what happens there, and writes that show before they are saved.

import { collection } from "../../client/index.js";
import { newKey } from "./tasks.js";

/** @typedef {import("./tasks.js").Task} Task */
/** @typedef {import("./tasks.js").Spot} Spot */
/** @typedef {import("./backend.js").Backend} Backend */
/** @typedef {import("../../client/index.js").Bridge} Bridge */
/** @typedef {import("../../client/index.js").MutationError} MutationError */
/** @typedef {import("../../client/index.js").Message} Message */
/** @typedef {{ name: string, data: any }} Happening */
/** @typedef {{ why: string, late: boolean }} Reason `late`: somebody else was first */

/**
 * @typedef {{
 *   messages: (messages: readonly Message[], replay: boolean) => void,
 *   live: () => void,
 *   moved: (cursor: string) => void,
 *   undone: (task: Task, reason: Reason) => void,
 * }} Told
 */

const SHOWN = 30;

export class Board {
  #backend;
  #me;
  #told;
  #changes;
  #events;
  /** @type {Set<string>} */
  #writes = new Set();

  /**
   * @param {string} name
   * @param {{ bridge: Bridge, backend: Backend, me: string, told: Told }} options
   */
  constructor(name, { bridge, backend, me, told }) {
    this.name = name;
    this.#backend = backend;
    this.#me = me;
    this.#told = told;
    /** What is on the board: the bridge's snapshot, and then every change. */
    this.tasks = bridge.model({
      channel: `board:${name}`,
      merge: /** @type {import("../../client/index.js").Merge<readonly Task[]>} */ (collection()),
    });
    /** What happened last, newest first: the back end's own state, and then every event. */
    this.activity = bridge.model({
      channel: `activity:${name}`,
      sync: async ({ signal }) => {
        const { events, position } = await backend.activity(name, signal);
        return { data: /** @type {readonly Happening[]} */ (events), cursor: position };
      },
      merge: (events, { name: what = "", data }) =>
        [{ name: what, data }, ...events].slice(0, SHOWN),
    });
    this.#changes = bridge.subscribe(`board:${name}`, {
      messages: (messages, { replay }) => told.messages(messages, replay),
      live: () => told.live(),
      moved: () => told.moved(this.#changes.cursor ?? ""),
    });
    this.#events = bridge.subscribe(`activity:${name}`, {
      messages: (messages, { replay }) => told.messages(messages, replay),
    });
  }

  /**
   * @param {string} title
   * @param {Spot} spot
   */
  add(title, spot) {
    const task = { _id: newKey(), board: this.name, title, ...spot, by: this.#me, version: 1 };
    const change = { op: /** @type {const} */ ("insert"), key: task._id, document: task };
    this.#write(task, change, (mutationId) => this.#backend.add(task, mutationId));
  }

  /**
   * @param {Task} task as it is seen
   * @param {Partial<Task>} changes
   */
  change(task, changes) {
    const update = (/** @type {Task} */ now) => {
      if (now.version !== task.version) throw new Error(`${now.by || "Somebody"} was first`);
      return { ...now, ...changes, by: this.#me, version: now.version + 1 };
    };
    this.#write(task, { key: task._id, update }, (id) => this.#backend.change(task, changes, id));
  }

  /** @param {Task} task as it is seen */
  remove(task) {
    const change = { op: /** @type {const} */ ("delete"), key: task._id };
    this.#write(task, change, (mutationId) => this.#backend.remove(task, mutationId));
  }

  /** Whether a write with this id is this window's and on its way. @param {string} [id] */
  wrote(id) {
    return id !== undefined && this.#writes.has(id);
  }

  close() {
    this.#changes.close();
    this.#events.close();
    this.tasks.dispose();
    this.activity.dispose();
  }

  /**
   * @param {Task} task
   * @param {import("../../client/index.js").Change} change
   * @param {(mutationId: string) => Promise<{ position?: string }>} send
   */
  #write(task, change, send) {
    const mutation = this.tasks.mutate(change, ({ mutationId }) => send(mutationId), {
      serial: task._id,
      position: ({ position }) => position,
    });
    const id = mutation.mutationId;
    this.#writes.add(id);
    mutation.confirmed
      .catch((/** @type {MutationError} */ error) => {
        // What was built on a write that failed goes with it, and needs no word of its own.
        if (error.code === "disposed" || error.code === "cancelled") return;
        this.#told.undone(task, reasonOf(error));
      })
      .finally(() => this.#writes.delete(id));
  }
}

/**
 * What the back end, its event or the change itself said.
 * @param {MutationError} error
 * @returns {Reason}
 */
function reasonOf({ code, message, reason }) {
  const {
    why = message,
    message: said = why,
    late = code === "conflict",
  } = /** @type {any} */ (reason) ?? {};
  return { why: said, late };
}

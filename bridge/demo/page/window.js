// One window: a client of its own, and everything that its visitor sees and can do.

import { connect } from "../../client/index.js";
import { showActivity } from "./activity.js";
import { Backend } from "./backend.js";
import { Board } from "./board.js";
import { Cable } from "./cable.js";
import { Columns } from "./columns.js";
import { Drag } from "./drag.js";
import { element, find, fromTemplate } from "./element.js";
import { Feed } from "./feed.js";
import { BOARDS, COLUMNS, inColumn, spot, step } from "./tasks.js";
import { Toasts } from "./toasts.js";

/** @typedef {import("./tasks.js").Task} Task */
/** @typedef {import("./card.js").Action} Action */
/** @typedef {import("./board.js").Reason} Reason */
/** @typedef {import("../../client/index.js").Message} Message */

const STATES = { live: "Live", replaying: "Catching up", connecting: "Connecting", cut: "Cut off" };

export class BoardWindow {
  node = fromTemplate("window");
  #name;
  #cable = new Cable();
  #bridge = connect({ url: new URL("./", location.href), fetch: this.#cable.fetch });
  #backend;
  #trouble = /** @type {HTMLFormElement} */ (find(this.node, ".trouble"));
  #columns;
  #feed = new Feed(find(this.node, ".rows"));
  #toasts = new Toasts(find(this.node, ".toasts"));
  #counts = { pending: 0, messages: 0, replayed: 0 };
  #missed = 0;
  /** @type {readonly Task[]} */
  #shown = [];

  /**
   * @param {string} name whose window it is
   * @param {string} board
   */
  constructor(name, board) {
    this.#name = name;
    const trouble = () => this.#headers();
    this.#backend = new Backend(name, { fetch: this.#cable.fetch, trouble });
    this.#columns = new Columns(find(this.node, ".columns"), {
      act: (key, action) => this.#act(key, action),
      rename: (key, title) => this.#with(key, (task) => this.board.change(task, { title })),
      add: (title, column) => this.board.add(title, spot(this.#shown, column, Infinity)),
    });
    new Drag(find(this.node, ".columns"), (key, column, index) => this.#put(key, column, index));
    this.#dress();
    this.#bridge.onStatus(() => this.#showState());
    this.board = this.#open(board);
    this.#follow();
  }

  /** @param {string} name */
  #open(name) {
    return new Board(name, {
      bridge: this.#bridge,
      backend: this.#backend,
      me: this.#name,
      told: {
        messages: (messages, replay) => this.#log(messages, replay),
        live: () => this.#live(),
        moved: (cursor) => this.#showCursor(cursor),
        undone: (task, reason) => this.#undone(task, reason),
      },
    });
  }

  /** Shows the board that is open, and whatever happens on it. */
  #follow() {
    const { name, tasks, activity } = this.board;
    const events = find(this.node, ".events");
    tasks.subscribe(() => this.#show(), { immediate: true });
    activity.subscribe(({ data }) => showActivity(events, data ?? []), { immediate: true });
    for (const tab of find(this.node, ".boards").children) {
      tab.setAttribute("aria-pressed", String(tab.getAttribute("data-board") === name));
    }
  }

  /** @param {string} name */
  #turn(name) {
    if (name === this.board.name) return;
    this.board.close();
    this.#feed.clear();
    this.board = this.#open(name);
    this.#follow();
  }

  #dress() {
    const title = find(this.node, "h2");
    title.dataset.name = this.node.dataset.window = this.#name;
    find(title, ".face").textContent = this.#name.slice(0, 1);
    find(title, "[data-text=name]").textContent = this.#name;
    this.node.setAttribute("aria-label", `${this.#name}'s window`);
    for (const [name, label] of Object.entries(BOARDS)) {
      const tab = element("button", "", label);
      tab.type = "button";
      tab.dataset.board = name;
      tab.addEventListener("click", () => this.#turn(name));
      find(this.node, ".boards").append(tab);
    }
    this.#trouble.addEventListener("change", () => this.#meddle());
  }

  /** Does what the switches for trouble say. */
  #meddle() {
    for (const select of this.#trouble.querySelectorAll("select")) {
      select.toggleAttribute("data-on", select.selectedIndex > 0);
    }
    const cut = new FormData(this.#trouble).has("cut");
    if (cut === this.#cable.pulled) return;
    if (cut) {
      this.#cable.pull();
      this.#feed.notice("The connection is cut", "bad");
    } else {
      this.#cable.plug();
      this.#bridge.resume();
    }
    this.#showState();
  }

  #headers() {
    const asked = new FormData(this.#trouble);
    const headers = { "Demo-Latency": String(asked.get("latency") ?? 0) };
    return asked.get("refuse")
      ? { ...headers, "Demo-Refuse": String(asked.get("refuse")) }
      : headers;
  }

  #show() {
    const { data = [], pending } = this.board.tasks.getSnapshot();
    this.#shown = data;
    this.#columns.show(data, new Set(pending.map(({ event }) => event.key)));
    this.#counts.pending = pending.length;
    this.#showCounts();
    this.#showState();
  }

  #showCounts() {
    for (const [name, count] of Object.entries(this.#counts)) {
      find(this.node, `[data-count=${name}]`).textContent = String(count);
    }
  }

  /** @param {string} cursor */
  #showCursor(cursor) {
    find(this.node, "[data-text=cursor]").textContent = cursor;
  }

  #showState() {
    const state = this.#state();
    this.node.dataset.state = state;
    find(this.node, "[data-text=state]").textContent = STATES[state];
  }

  #state() {
    if (this.#cable.pulled) return "cut";
    if (this.#bridge.status.state !== "open") return "connecting";
    return this.board?.tasks.isStale ? "replaying" : "live";
  }

  /**
   * @param {readonly Message[]} messages
   * @param {boolean} replay
   */
  #log(messages, replay) {
    this.#counts.messages += messages.length;
    if (replay) this.#counts.replayed += messages.length;
    for (const message of messages) if (message.type === "change") this.#logChange(message, replay);
    this.#showCounts();
  }

  /**
   * @param {Message} message
   * @param {boolean} replay
   */
  #logChange(message, replay) {
    const known = this.#shown.find(({ _id }) => _id === message.key);
    const badges = [];
    if (this.board.wrote(message.mutationId)) badges.push("mine");
    if (replay) badges.push("replayed");
    if (replay) this.#missed += 1;
    this.#feed.message(message, { label: message.document?.title ?? known?.title ?? "", badges });
  }

  #live() {
    if (this.#missed) this.#feed.notice(`${this.#missed} missed changes replayed`, "good");
    this.#missed = 0;
    this.#showState();
  }

  /**
   * @param {Task} task
   * @param {Reason} reason
   */
  #undone(task, { why, late }) {
    this.#toasts.say(`“${task.title}” was not saved. ${why}.`, late ? "late" : "bad");
    requestAnimationFrame(() => this.#columns.card(task._id)?.shake());
  }

  /**
   * @param {string} key
   * @param {(task: Task) => void} act
   */
  #with(key, act) {
    const task = this.#shown.find(({ _id }) => _id === key);
    if (task) act(task);
  }

  /**
   * @param {string} key
   * @param {Action} action
   */
  #act(key, action) {
    this.#with(key, (task) => {
      if (action === "remove") return this.board.remove(task);
      const to = step(this.#shown, task, action);
      if (!to) return;
      this.board.change(task, to);
      find(this.node, ".said").textContent =
        `${task.title}: ${COLUMNS[to.column]}, moved ${action}`;
    });
  }

  /**
   * @param {string} key
   * @param {string} column
   * @param {number} index
   */
  #put(key, column, index) {
    this.#with(key, (task) => {
      const there = inColumn(this.#shown, column).findIndex(({ _id }) => _id === key);
      if (there !== index) this.board.change(task, spot(this.#shown, column, index, key));
    });
  }
}

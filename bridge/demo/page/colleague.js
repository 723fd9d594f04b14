// Somebody else at work on a board, so that there is something to follow.

import { Refused } from "./backend.js";
import { step } from "./tasks.js";

/** @typedef {import("./board.js").Board} Board */
/** @typedef {import("./backend.js").Backend} Backend */

const FIRST = 1200;
const PAUSE = 3500;
const MOVES = 60;
/** Milliseconds for which the colleague leaves a visitor alone who is doing something. */
const TACT = 6000;

export class Colleague {
  #board;
  #backend;
  #gone;
  #timer = 0;
  #moves = 0;
  #disturbed = -TACT;

  /**
   * @param {{ board: () => Board, backend: Backend, gone: () => void }} options `board`: at which
   *   they look; `gone`: called when they have done enough
   */
  constructor({ board, backend, gone }) {
    this.#board = board;
    this.#backend = backend;
    this.#gone = gone;
    for (const kind of ["pointerdown", "keydown"]) {
      addEventListener(kind, () => (this.#disturbed = performance.now()));
    }
  }

  start() {
    this.#moves = 0;
    this.#next(FIRST);
  }

  stop() {
    clearTimeout(this.#timer);
  }

  /** @param {number} wait milliseconds */
  #next(wait) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#work(), wait);
  }

  async #work() {
    const away = document.hidden || performance.now() - this.#disturbed < TACT;
    if (!away && (this.#moves += 1) > MOVES) return this.#gone();
    this.#next(PAUSE);
    if (!away) await this.#move();
  }

  async #move() {
    const tasks = this.#board().tasks.confirmed ?? [];
    const task = tasks[Math.floor(Math.random() * tasks.length)];
    if (!task) return;
    const back = task.column === "done" || Math.random() < 0.2;
    const spot = step(tasks, task, back ? "left" : "right") ?? step(tasks, task, "right");
    try {
      if (spot) await this.#backend.change(task, spot, crypto.randomUUID());
    } catch (error) {
      // Somebody was faster, or nobody answers: there will be another task.
      if (!(error instanceof Refused || error instanceof TypeError)) throw error;
    }
  }
}

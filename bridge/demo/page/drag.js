// Cards in the hand: mouse, pen and finger alike.

import { element, find } from "./element.js";

const SLACK = 5;

/** @typedef {{ column: HTMLElement, index: number }} Target */

/** Lets cards below an element be dragged into its columns. */
export class Drag {
  #root;
  #drop;
  #gap = element("li", "gap");
  /** @type {{ card: HTMLElement, x: number, y: number, id: number } | undefined} */
  #start;
  /** @type {HTMLElement | undefined} */
  #ghost;
  /** @type {Target | undefined} */
  #target;

  /**
   * @param {HTMLElement} root
   * @param {(key: string, column: string, index: number) => void} drop `index`: among the column's
   *   other cards
   */
  constructor(root, drop) {
    this.#root = root;
    this.#drop = drop;
    root.addEventListener("pointerdown", (event) => this.#press(event));
    root.addEventListener("pointermove", (event) => this.#move(event));
    root.addEventListener("pointerup", () => this.#end(true));
    root.addEventListener("pointercancel", () => this.#end(false));
    root.addEventListener("dragstart", (event) => event.preventDefault());
    addEventListener("keydown", ({ key }) => key === "Escape" && this.#end(false));
  }

  /** @param {PointerEvent} event */
  #press(event) {
    const at = /** @type {Element} */ (event.target);
    const card = /** @type {HTMLElement | null} */ (at.closest(".card"));
    if (!card || event.button !== 0 || at.closest(".tools, input")) return;
    this.#start = { card, x: event.clientX, y: event.clientY, id: event.pointerId };
  }

  /** @param {PointerEvent} event */
  #move(event) {
    if (!this.#start || event.pointerId !== this.#start.id) return;
    const x = event.clientX - this.#start.x;
    const y = event.clientY - this.#start.y;
    if (!this.#ghost) {
      if (Math.hypot(x, y) < SLACK) return;
      this.#lift(this.#start.card);
    }
    if (this.#ghost) this.#ghost.style.translate = `${x}px ${y}px`;
    this.#aim(event.clientX, event.clientY);
  }

  /** @param {HTMLElement} card */
  #lift(card) {
    const { left, top, width, height } = card.getBoundingClientRect();
    this.#ghost = /** @type {HTMLElement} */ (card.cloneNode(true));
    this.#ghost.classList.add("ghost");
    this.#ghost.inert = true;
    const place = {
      left: `${left}px`,
      top: `${top}px`,
      width: `${width}px`,
      height: `${height}px`,
    };
    Object.assign(this.#ghost.style, place);
    document.body.append(this.#ghost);
    card.dataset.held = "";
    // What the pointer does belongs to the columns now, wherever it goes; no click follows.
    this.#root.setPointerCapture(/** @type {any} */ (this.#start).id);
  }

  /**
   * @param {number} x
   * @param {number} y
   */
  #aim(x, y) {
    const columns = /** @type {HTMLElement[]} */ ([...this.#root.children]);
    const column = columns.find((one) => {
      const { left, right } = one.getBoundingClientRect();
      return left <= x && x < right;
    });
    for (const one of columns) one.toggleAttribute("data-over", one === column);
    this.#gap.remove();
    this.#target = undefined;
    if (!column) return;
    const cards = [...column.querySelectorAll(".card:not([data-held])")];
    const middle = (/** @type {Element} */ card) => {
      const { top, height } = card.getBoundingClientRect();
      return top + height / 2;
    };
    const index = cards.filter((card) => middle(card) < y).length;
    this.#target = { column, index };
    find(column, ".cards").insertBefore(this.#gap, cards[index] ?? null);
  }

  /** @param {boolean} dropped */
  #end(dropped) {
    const [start, target] = [this.#start, this.#target];
    this.#start = this.#target = undefined;
    if (!start || !this.#ghost) return;
    this.#ghost.remove();
    this.#ghost = undefined;
    this.#gap.remove();
    delete start.card.dataset.held;
    for (const column of this.#root.children) column.removeAttribute("data-over");
    const key = start.card.dataset.key;
    if (dropped && target && key) this.#drop(key, target.column.dataset.column ?? "", target.index);
  }
}

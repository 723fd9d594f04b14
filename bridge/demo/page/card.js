// One task as a card.

import { find, fromTemplate, still } from "./element.js";
import { COLUMNS } from "./tasks.js";

/** @typedef {import("./tasks.js").Task} Task */
/** @typedef {"left" | "right" | "up" | "down" | "remove"} Action */
/** @typedef {{ act: (key: string, action: Action) => void, rename: (key: string, title: string) => void }} Wishes */

/** @type {Record<string, Action>} */
const KEYS = {
  ArrowLeft: "left",
  ArrowRight: "right",
  ArrowUp: "up",
  ArrowDown: "down",
  Delete: "remove",
};
const TONES = ["blue", "green", "amber", "violet", "pink", "grey"];
const names = Object.keys(COLUMNS);

export class Card {
  node = fromTemplate("card");
  #title = find(this.node, ".title");
  #key;
  #wishes;
  #version = 0;

  /**
   * @param {string} key
   * @param {Wishes} wishes
   */
  constructor(key, wishes) {
    this.#key = key;
    this.#wishes = wishes;
    this.node.dataset.key = key;
    this.#title.addEventListener("keydown", (event) => this.#press(event));
    this.#title.addEventListener("dblclick", () => this.#edit());
    for (const button of this.node.querySelectorAll("button")) {
      const action = /** @type {Action | undefined} */ (button.dataset.do);
      if (action) button.addEventListener("click", () => wishes.act(key, action));
    }
  }

  /**
   * @param {Task} task
   * @param {boolean} pending whether a write of this window is on its way
   */
  show({ title, tag = "", note = "", by, column, version }, pending) {
    this.node.toggleAttribute("data-pending", pending);
    this.#title.textContent = title;
    find(this.node, ".note").textContent = note;
    const chip = find(this.node, ".tag");
    chip.textContent = tag;
    chip.dataset.tone = toneOf(tag);
    const face = find(this.node, ".face");
    face.dataset.name = by;
    face.textContent = by.slice(0, 1);
    face.title = pending ? "on its way to the database" : by && `last changed by ${by}`;
    face.hidden = !by && !pending;
    if (this.#version && version !== this.#version && !pending) this.#mark(face);
    this.#version = version;
    find(this.node, "[data-do=left]").toggleAttribute("disabled", column === names[0]);
    find(this.node, "[data-do=right]").toggleAttribute("disabled", column === names.at(-1));
  }

  focus() {
    this.#title.focus();
  }

  /** Says with a shake that a write was not taken. */
  shake() {
    if (still.matches) return;
    const to = (/** @type {number} */ x) => ({ transform: `translateX(${x}px)` });
    this.node.animate([0, -7, 6, -4, 3, 0].map(to), { duration: 420, easing: "ease-out" });
  }

  /** Lights up in the colour of whoever has changed it. @param {HTMLElement} face */
  #mark(face) {
    if (still.matches) return;
    const ring = (/** @type {string} */ color) => ({ boxShadow: `0 0 0 3px ${color}` });
    const { color } = getComputedStyle(face);
    this.node.animate([ring(color), ring(color), ring("transparent")], { duration: 1400 });
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const action = KEYS[event.key];
    if (action) this.#wishes.act(this.#key, action);
    else if (event.key === "Enter" || event.key === "F2") this.#edit();
    else return;
    event.preventDefault();
  }

  #edit() {
    const input = document.createElement("input");
    input.value = this.#title.textContent ?? "";
    input.maxLength = 60;
    input.setAttribute("aria-label", "Title");
    const before = input.value;
    let done = false;
    const end = (/** @type {string} */ title) => {
      if (done) return;
      done = true;
      const focused = document.activeElement === input;
      input.replaceWith(this.#title);
      if (focused) this.focus();
      if (title && title !== before) this.#wishes.rename(this.#key, title);
    };
    input.addEventListener("keydown", ({ key }) => {
      if (key === "Enter") end(input.value.trim());
      if (key === "Escape") end(before);
    });
    input.addEventListener("blur", () => end(input.value.trim()));
    this.#title.replaceWith(input);
    input.select();
  }
}

/** @param {string} tag */
function toneOf(tag) {
  const sum = [...tag].reduce((total, letter) => total + letter.charCodeAt(0), 0);
  return TONES[sum % TONES.length];
}

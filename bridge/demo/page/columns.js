// The columns of a board: every task has its card, and each card travels to where it belongs.

import { Card } from "./card.js";
import { find, fromTemplate, still } from "./element.js";
import { COLUMNS, inColumn } from "./tasks.js";

/** @typedef {import("./tasks.js").Task} Task */
/** @typedef {import("./card.js").Wishes & { add: (title: string, column: string) => void }} Wishes */

export class Columns {
  /** @type {Map<string, Card>} */
  #cards = new Map();
  /** @type {Map<string, HTMLElement>} */
  #columns = new Map();
  #wishes;

  /**
   * @param {HTMLElement} root
   * @param {Wishes} wishes
   */
  constructor(root, wishes) {
    this.#wishes = wishes;
    for (const [name, title] of Object.entries(COLUMNS)) {
      const column = columnOf(name, title, wishes);
      this.#columns.set(name, column);
      root.append(column);
    }
  }

  /**
   * Shows these tasks and no others.
   * @param {readonly Task[]} tasks
   * @param {ReadonlySet<string>} pending keys of those whose writes are on their way
   */
  show(tasks, pending) {
    const focused = document.activeElement;
    const before = this.#places();
    const keys = new Set(tasks.map((task) => task._id));
    for (const [key, card] of this.#cards) if (!keys.has(key)) this.#drop(key, card);
    for (const [name, column] of this.#columns) {
      const here = inColumn(tasks, name);
      find(column, ".count").textContent = String(here.length);
      arrange(
        find(column, ".cards"),
        here.map((task) => this.#cardOf(task, pending.has(task._id))),
      );
    }
    if (focused instanceof HTMLElement && focused !== document.activeElement) focused.focus();
    this.#glide(before);
  }

  /** @param {string} key */
  card(key) {
    return this.#cards.get(key);
  }

  /**
   * @param {Task} task
   * @param {boolean} pending
   */
  #cardOf(task, pending) {
    const card = this.#cards.get(task._id) ?? new Card(task._id, this.#wishes);
    this.#cards.set(task._id, card);
    card.show(task, pending);
    return card.node;
  }

  /**
   * @param {string} key
   * @param {Card} card
   */
  #drop(key, card) {
    card.node.remove();
    this.#cards.delete(key);
  }

  #places() {
    const cards = still.matches ? [] : [...this.#cards];
    return new Map(cards.map(([key, { node }]) => [key, node.getBoundingClientRect()]));
  }

  /** @param {Map<string, DOMRect>} before */
  #glide(before) {
    if (still.matches) return;
    for (const [key, { node }] of this.#cards) {
      const from = before.get(key);
      if (from) travel(node, from, node.getBoundingClientRect());
      else node.animate([{ opacity: 0, transform: "scale(.96)" }, {}], { duration: 260 });
    }
  }
}

/**
 * @param {string} name
 * @param {string} title
 * @param {Wishes} wishes
 */
function columnOf(name, title, wishes) {
  const column = fromTemplate("column");
  column.dataset.column = name;
  find(column, "[data-text=title]").textContent = title;
  const form = find(column, ".add");
  /** @type {HTMLInputElement} */
  const input = find(form, "input");
  input.setAttribute("aria-label", `Add a task to ${title}`);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value.trim()) wishes.add(input.value.trim(), name);
    input.value = "";
  });
  return column;
}

/**
 * Puts cards into a list in this order, and touches none that is where it should be.
 * @param {HTMLElement} list
 * @param {HTMLElement[]} cards
 */
function arrange(list, cards) {
  cards.forEach((card, index) => {
    const there = list.children[index];
    if (there !== card) list.insertBefore(card, there ?? null);
  });
}

/**
 * @param {HTMLElement} node
 * @param {DOMRect} from
 * @param {DOMRect} to
 */
function travel(node, from, to) {
  const x = from.left - to.left;
  const y = from.top - to.top;
  if (!x && !y) return;
  const options = { duration: x ? 480 : 280, easing: "cubic-bezier(.2, .8, .2, 1)" };
  const start = { transform: `translate(${x}px, ${y}px)`, zIndex: 3 };
  node.animate([start, { transform: "none", zIndex: 3 }], options);
}

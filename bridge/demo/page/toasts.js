// What a window has to say, for a moment.

import { element } from "./element.js";

const SHOWN = 5000;
const MOST = 3;

export class Toasts {
  #root;

  /** @param {HTMLElement} root a live region */
  constructor(root) {
    this.#root = root;
  }

  /**
   * @param {string} text
   * @param {"bad" | "late"} tone
   */
  say(text, tone) {
    const toast = element("p", "toast", text);
    toast.dataset.tone = tone;
    this.#root.append(toast);
    while (this.#root.children.length > MOST) this.#root.firstElementChild?.remove();
    setTimeout(() => toast.remove(), SHOWN);
  }
}

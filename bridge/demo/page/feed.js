// The messages as they came, newest first, and between them what became of the connection.

import { element } from "./element.js";

/** @typedef {import("../../client/index.js").Message} Message */
/** @typedef {import("../../client/types.js").Operation} Operation */

const ROWS = 60;

const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

export class Feed {
  #rows;

  /** @param {HTMLElement} root */
  constructor(root) {
    this.#rows = root;
  }

  clear() {
    this.#rows.replaceChildren();
  }

  /**
   * @param {Message} message
   * @param {{ label: string, badges: string[] }} about its document's name; what else to say of it
   */
  message(message, { label, badges }) {
    const { id, op = "", time } = message;
    const head = element("header", "", element("b", "op", op), element("span", "label", label));
    for (const badge of badges) {
      const node = element("span", "badge", badge);
      node.dataset.badge = badge;
      head.append(node);
    }
    if (time) head.append(element("time", "", clock.format(new Date(time))));
    const row = element("li", "row", head, ...body(message));
    Object.assign(row.dataset, { op, message: id });
    row.toggleAttribute("data-replayed", badges.includes("replayed"));
    this.#add(row);
  }

  /**
   * @param {string} text
   * @param {"good" | "bad"} tone
   */
  notice(text, tone) {
    const row = element("li", "notice", text);
    row.dataset.tone = tone;
    this.#add(row);
  }

  /** @param {HTMLElement} row */
  #add(row) {
    this.#rows.prepend(row);
    while (this.#rows.children.length > ROWS) this.#rows.lastElementChild?.remove();
  }
}

/** @param {Message} message */
function body({ mode, patch, document }) {
  if (mode === "patch" && patch) return [element("ul", "patch", ...patch.map(operation))];
  if (mode !== "full") return [];
  const { column, title } = document;
  const whole = [
    { op: "add", path: "/title", value: title },
    { op: "add", path: "/column", value: column },
  ];
  return [element("ul", "patch", ...whole.map(operation), element("li", "", "the whole document"))];
}

/** @param {Operation} one */
function operation({ op, path, from, value }) {
  const line = element("li", "", element("b", "", op), element("code", "path", path));
  line.dataset.patch = op;
  const more = from ?? (value === undefined ? "" : JSON.stringify(value));
  if (more) line.append(element("code", "value", more));
  return line;
}

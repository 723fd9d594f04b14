// What happened on a board, in words.

import { element } from "./element.js";
import { COLUMNS } from "./tasks.js";

/** @typedef {import("./board.js").Happening} Happening */

/**
 * @param {HTMLElement} root
 * @param {readonly Happening[]} happenings newest first
 */
export function showActivity(root, happenings) {
  root.replaceChildren(...happenings.map(sentence));
}

/** @param {Happening} happening */
function sentence({ name, data: { by, title, column } }) {
  const what = name.replace("task.", "");
  const who = element("b", "", by);
  who.dataset.name = by;
  const where = what === "moved" ? ` to ${COLUMNS[column]}` : "";
  return element("li", "event", who, ` ${what} `, element("i", "", title), where);
}

// Where a client stands: positions, and cursors of one or more watchers.

import { invalid } from "./errors.js";

/**
 * Positions by tag; a bare position has the tag "".
 * @typedef {Map<string, string>} Parts
 */

const POSITION = /^(?:[0-9a-f]{16}|[0-9a-f]{22})$/;
const TAGGED = /^[0-9a-f]{8}-/;
const END_OF_INSTANT = "ffffff";

/** Before the first message that there can be. */
const EARLIEST = "0".repeat(16);

/** The parts of a cursor. @param {string} cursor @returns {Parts} @throws {BridgeError} */
export function parse(cursor) {
  /** @type {Parts} */
  const parts = new Map();
  for (const part of cursor.split(".")) {
    const tagged = TAGGED.test(part);
    const position = tagged ? part.slice(9) : part;
    if (!POSITION.test(position)) throw notACursor(cursor);
    parts.set(tagged ? part.slice(0, 8) : "", position.padEnd(22, END_OF_INSTANT));
  }
  return parts;
}

/** The text of a cursor. @param {Parts} parts */
export function format(parts) {
  return [...parts].map(([tag, position]) => (tag ? `${tag}-${position}` : position)).join(".");
}

/**
 * A cursor from what people have: one, a cluster time as text or `{ t, i }`, 0 for the beginning.
 * @param {unknown} value
 * @returns {string}
 * @throws {BridgeError} `invalid_argument`
 */
export function cursorOf(value) {
  if (value === 0 || value === "0") return EARLIEST;
  if (typeof value === "string") return format(parse(value));
  const { t, i } = /** @type {any} */ (value ?? {});
  if (Number.isInteger(t) && Number.isInteger(i)) return cursorOf(hex(t) + hex(i));
  throw notACursor(value);
}

/** @param {number} number */
const hex = (number) => number.toString(16).padStart(8, "0");

/** The position alone, of a cursor with one part. @param {unknown} value @returns {string} */
export function positionOf(value) {
  return least(parse(cursorOf(value)));
}

/** The lowest position of a cursor's parts: all up to it is known, whatever the tag. @param {Parts} parts */
export function least(parts) {
  let lowest;
  for (const position of parts.values()) {
    if (lowest === undefined || position < lowest) lowest = position;
  }
  return lowest ?? "";
}

/**
 * One cursor from which nothing is missing for any of several: the lowest position of each tag,
 * or of all where a bare one is among them, which stands for every watcher.
 * @param {readonly Parts[]} cursors
 * @returns {string | undefined}
 */
export function compose(cursors) {
  /** @type {Parts} */
  const lowest = new Map();
  for (const parts of cursors) {
    for (const [tag, position] of parts) {
      const known = lowest.get(tag);
      if (known === undefined || position < known) lowest.set(tag, position);
    }
  }
  if (lowest.has("")) return least(lowest);
  return lowest.size ? format(lowest) : undefined;
}

/** @param {unknown} value */
function notACursor(value) {
  return invalid(`${JSON.stringify(value)} is no cursor and no cluster time`);
}

// How long to wait after failures in a row.

/** @import { Retry } from "./types.js" */

/**
 * Waits that grow, each at random between 0 and its bound ("full jitter"), so that clients that
 * lost the same server do not come back at once.
 * @param {{ initial?: number, max?: number, factor?: number, attempts?: number }} [options] in
 *   milliseconds: the first bound, 500; the largest, 30,000. `attempts` in all, without end
 * @returns {Retry}
 */
export function backoff({ initial = 500, max = 30_000, factor = 2, attempts = Infinity } = {}) {
  return (attempt) =>
    attempt >= attempts ? null : Math.random() * Math.min(max, initial * factor ** (attempt - 1));
}

/**
 * The same wait each time.
 * @param {number} wait milliseconds
 * @param {number} [attempts] in all, without end
 * @returns {Retry}
 */
export function fixed(wait, attempts = Infinity) {
  return (attempt) => (attempt >= attempts ? null : wait);
}

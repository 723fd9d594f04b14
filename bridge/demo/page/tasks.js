// Tasks and where they stand: pure functions.

/**
 * @typedef {{ _id: string, board: string, column: string, rank: number, title: string, tag?: string,
 *   note?: string, by: string, version: number }} Task
 */

/** @typedef {{ column: string, rank: number }} Spot */

export const BOARDS = { launch: "Launch", garden: "Garden", trip: "Trip" };

/** @type {Record<string, string>} */
export const COLUMNS = { todo: "To do", doing: "Doing", done: "Done" };

const names = Object.keys(COLUMNS);

/**
 * The tasks of a column, the upper ones first.
 * @param {readonly Task[]} tasks
 * @param {string} column
 */
export function inColumn(tasks, column) {
  const found = tasks.filter((task) => task.column === column);
  return found.sort((one, other) => one.rank - other.rank || (one._id < other._id ? -1 : 1));
}

/**
 * The spot before the task that is `index`th in a column now; beyond the last one: its end.
 * @param {readonly Task[]} tasks the one that moves may be among them; it is not counted
 * @param {string} column
 * @param {number} index
 * @param {string} [key] of the task that moves
 * @returns {Spot}
 */
export function spot(tasks, column, index, key) {
  const others = inColumn(tasks, column).filter((task) => task._id !== key);
  const before = others[Math.min(index, others.length) - 1]?.rank;
  const after = others[index]?.rank;
  if (before === undefined) return { column, rank: after === undefined ? 1 : after - 1 };
  return { column, rank: after === undefined ? before + 1 : (before + after) / 2 };
}

/**
 * Where one step takes a task; nothing where it is at the edge.
 * @param {readonly Task[]} tasks
 * @param {Task} task
 * @param {"left" | "right" | "up" | "down"} way
 * @returns {Spot | undefined}
 */
export function step(tasks, task, way) {
  const index = inColumn(tasks, task.column).findIndex(({ _id }) => _id === task._id);
  if (way === "up") return index > 0 ? spot(tasks, task.column, index - 1, task._id) : undefined;
  if (way === "down") {
    const last = inColumn(tasks, task.column).length - 1;
    return index < last ? spot(tasks, task.column, index + 1, task._id) : undefined;
  }
  const column = names[names.indexOf(task.column) + (way === "left" ? -1 : 1)];
  return column ? spot(tasks, column, Infinity, task._id) : undefined;
}

/** An id as MongoDB makes them: seconds, then what nobody else has. */
export function newKey() {
  const seconds = Math.floor(Date.now() / 1000)
    .toString(16)
    .padStart(8, "0");
  const random = crypto.getRandomValues(new Uint8Array(8));
  return seconds + Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

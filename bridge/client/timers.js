// Timers by name: at most one of each.

export class Timers {
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #running = new Map();

  /** @param {string} name */
  has(name) {
    return this.#running.has(name);
  }

  /** Acts after a wait, unless it is stopped or set anew before. @param {string} name @param {number} wait milliseconds @param {() => void} act */
  after(name, wait, act) {
    this.stop(name);
    const due = () => {
      this.#running.delete(name);
      act();
    };
    this.#running.set(name, setTimeout(due, wait));
  }

  /** @param {string[]} names */
  stop(...names) {
    for (const name of names) {
      clearTimeout(this.#running.get(name));
      this.#running.delete(name);
    }
  }
}

// What the page asks of the application's own back end.

/** @typedef {import("./tasks.js").Task} Task */

/** A write that was refused; the message is the back end's own. */
export class Refused extends Error {
  /**
   * @param {string} message
   * @param {boolean} late whether another version is there now than the one that was seen
   */
  constructor(message, late) {
    super(message);
    this.name = "Refused";
    this.late = late;
  }
}

/** The boards' back end, as one person sees it. */
export class Backend {
  #fetch;
  #headers;

  /**
   * @param {string} name whose writes these are
   * @param {{ fetch: typeof fetch, trouble: () => Record<string, string> }} options `trouble`:
   *   headers that ask for it
   */
  constructor(name, { fetch, trouble }) {
    this.#fetch = fetch;
    this.#headers = () => ({ "Demo-Name": name, ...trouble() });
  }

  /**
   * @param {Task} task
   * @param {string} mutationId
   */
  add({ _id, board, title, column, rank }, mutationId) {
    return this.#write("PUT", `${board}/tasks/${_id}`, {
      mutationId,
      body: { title, column, rank },
    });
  }

  /**
   * @param {Task} task as it was seen
   * @param {Partial<Task>} body what changes
   * @param {string} mutationId
   */
  change({ _id, board, version }, body, mutationId) {
    return this.#write("PATCH", `${board}/tasks/${_id}`, { mutationId, version, body });
  }

  /**
   * @param {Task} task as it was seen
   * @param {string} mutationId
   */
  remove({ _id, board, version }, mutationId) {
    return this.#write("DELETE", `${board}/tasks/${_id}`, { mutationId, version });
  }

  /**
   * What happened last on a board, newest first, and the position at which that is so.
   * @param {string} board
   * @param {AbortSignal} signal
   * @returns {Promise<{ events: { name: string, data: any }[], position: string }>}
   */
  async activity(board, signal) {
    const answer = await this.#fetch(`api/boards/${board}/activity`, { signal });
    if (!answer.ok) throw new Error(`the back end answered ${answer.status}`);
    return answer.json();
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {{ mutationId: string, version?: number, body?: object }} what
   * @returns {Promise<{ position?: string }>}
   * @throws {Refused}
   */
  async #write(method, path, { mutationId, version, body }) {
    /** @type {Record<string, string>} */
    const headers = { ...this.#headers(), "Mutation-Id": mutationId };
    if (version) headers["If-Match"] = `"${version}"`;
    if (body) headers["Content-Type"] = "application/json";
    const init = { method, headers, body: body && JSON.stringify(body) };
    const answer = await this.#fetch(`api/boards/${path}`, init);
    const result = await answer.json();
    if (!answer.ok) throw new Refused(result.detail, answer.status === 412);
    return result;
  }
}

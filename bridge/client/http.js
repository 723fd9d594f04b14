// Requests to the bridge: the token that goes with them, and what refusals mean.

import { AuthError, HttpError, invalid, passing } from "./errors.js";

/** @import { ConnectOptions, StreamRequest } from "./types.js" */

export class Http {
  /** @type {Promise<string | undefined> | undefined} */
  #asked;

  /** @param {ConnectOptions} options @throws {BridgeError} `invalid_argument` */
  constructor({ url, token, fetch = (...request) => globalThis.fetch(...request), credentials }) {
    this.url = base(url);
    this.source = token;
    this.fetch = fetch;
    this.credentials = credentials;
  }

  /** Whether asking again can give another token. */
  get renews() {
    return typeof this.source === "function";
  }

  /**
   * The token; those who ask while the callback runs share its answer.
   * @returns {Promise<string | undefined>}
   * @throws {BridgeError} `auth`, where the callback throws
   */
  token() {
    this.#asked ??= this.#ask().finally(() => {
      this.#asked = undefined;
    });
    return this.#asked;
  }

  async #ask() {
    if (typeof this.source !== "function") return this.source;
    try {
      return (await this.source()) ?? undefined;
    } catch (cause) {
      throw passing("auth", "the token callback failed", cause);
    }
  }

  /**
   * A JSON document of the bridge; asks for another token once where this one is refused.
   * @param {string} path
   * @param {AbortSignal} signal
   * @returns {Promise<any>}
   * @throws {BridgeError}
   */
  async get(path, signal) {
    for (let again = this.renews; ; again = false) {
      const token = await this.token();
      const response = await this.answer(path, { signal, headers: bearer(token) });
      if (response.ok) return response.json();
      const error = await failure(response);
      if (!again || !(error instanceof AuthError)) throw error;
    }
  }

  /** @param {string} path @param {RequestInit} init @returns {Promise<Response>} */
  async answer(path, init) {
    try {
      const { credentials } = this;
      return await this.fetch(this.url + path, { cache: "no-store", credentials, ...init });
    } catch (cause) {
      throw unreachable(cause);
    }
  }
}

/** @param {unknown} [cause] */
export const unreachable = (cause) =>
  passing("connection", "the bridge cannot be reached, or not by this origin", cause);

/** @param {string | undefined} token @returns {Record<string, string>} */
export const bearer = (token) => (token ? { Authorization: `Bearer ${token}` } : {});

/** The address without a slash at its end. @param {string | URL} url @returns {string} */
function base(url) {
  try {
    return new URL(url, globalThis.location?.href).href.replace(/[?#].*$/, "").replace(/\/+$/, "");
  } catch (cause) {
    throw invalid(`url: ${url} is no address of a bridge`, cause);
  }
}

/** What an answer without success says. @param {Response} response @returns {Promise<HttpError>} */
export async function failure(response) {
  const { status } = response;
  const problem = await response.json().catch(() => undefined);
  const message = problem?.detail ?? `the bridge answered ${status}`;
  if (status === 401 || status === 403) return new AuthError(status, message, { problem });
  const seconds = Number(response.headers.get("Retry-After") ?? NaN);
  const retryAfter = Number.isFinite(seconds) ? seconds * 1000 : undefined;
  return new HttpError(status, message, { problem, retryAfter });
}

/**
 * The query of a stream. @param {StreamRequest} request
 * @param {Record<string, string | undefined>} more
 */
export function streamQuery({ channels }, more) {
  const query = new URLSearchParams(channels.map(({ channel }) => ["channel", channel]));
  for (const [name, value] of Object.entries(more)) if (value) query.set(name, value);
  return query;
}

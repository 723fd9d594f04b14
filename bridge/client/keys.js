// Which document a message is about.

import { BridgeError } from "./errors.js";

/**
 * A key as text, the same for the same document: keys may be objects, and the same key may stand in
 * several collections.
 * @param {{ key?: any, ns?: { db: string, coll: string } }} event
 * @returns {string}
 */
export function keyText({ key, ns }) {
  const text = typeof key === "string" ? key : JSON.stringify(key);
  return ns ? `${ns.db}.${ns.coll} ${text}` : text;
}

/** What a message is about is not here: the state has to be fetched. @param {string} name */
export const gap = (name) => new BridgeError("history_lost", `unknown: ${name}`);

/** Whether a `ref` asks for the state: what is too large would be missing there too. @param {any} event */
export const mustSync = (event) => event.reason !== "too_large";

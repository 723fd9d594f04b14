// An array of documents that is being changed, each known by the text of its key.

import { applyMessage, needsDocument } from "./apply.js";
import { invalid } from "./errors.js";
import { gap, mustSync } from "./keys.js";

/**
 * `names`: the key of each document of an array. `hidden`: documents that the filter keeps out;
 * undefined for one that the bridge could not send.
 * @typedef {{ names: readonly string[], hidden: ReadonlyMap<string, any> }} Aside
 */

/** @template T */
export class Rows {
  #state;
  #aside;
  #options;
  /** @type {(T | undefined)[]} */
  #rows;
  /** @type {(string | undefined)[]} */
  #names;
  /** A copy of what is hidden, once it is changed. @type {Map<string, any> | undefined} */
  #own;
  #index;
  #changed = false;
  #holes = false;

  /**
   * @param {readonly T[]} state
   * @param {Aside} aside
   * @param {{ filter?: (document: T) => boolean, sort?: (one: T, other: T) => number, placeholder?: (key: any, reason: string) => T }} options
   * @param {boolean} many whether an index is worth its making
   */
  constructor(state, aside, options, many) {
    this.#state = state;
    this.#aside = aside;
    this.#options = options;
    this.#rows = state.slice();
    this.#names = aside.names.slice();
    this.#index = many ? new Map(aside.names.map((name, at) => [name, at])) : undefined;
  }

  get #hidden() {
    return this.#own ?? this.#aside.hidden;
  }

  /** @param {string} name @param {T | undefined} document */
  #hide(name, document) {
    (this.#own ??= new Map(this.#aside.hidden)).set(name, document);
  }

  /** @param {string} name */
  #unhide(name) {
    if (this.#hidden.has(name)) (this.#own ??= new Map(this.#aside.hidden)).delete(name);
  }

  /** Where a document stands, or -1. @param {string} name */
  #find(name) {
    return this.#index ? (this.#index.get(name) ?? -1) : this.#names.indexOf(name);
  }

  /** Applies what is known about a document. @param {string} name @param {any} event */
  take(name, event) {
    if (event.mode === "ref" || (event.document === undefined && event.reason)) {
      return this.#miss(name, event);
    }
    if (!needsDocument(event)) return this.#put(name, event.document);
    const at = this.#find(name);
    const hidden = this.#hidden.get(name);
    if (this.#hidden.has(name) && hidden === undefined) return;
    const before = at < 0 ? hidden : this.#rows[at];
    if (before === undefined) throw gap(name);
    this.#put(name, applyMessage(before, event));
  }

  /** The document exists, but did not come. @param {string} name @param {any} event */
  #miss(name, event) {
    if (mustSync(event) && event.mode) throw gap(name);
    const { placeholder } = this.#options;
    if (placeholder) this.#place(name, placeholder(event.key, event.reason));
    else this.drop(name);
    this.#hide(name, undefined);
  }

  /** @param {string} name @param {T} document */
  #put(name, document) {
    if (document === undefined) throw invalid("expected a document");
    const { filter } = this.#options;
    if (filter && !filter(document)) {
      this.drop(name);
      this.#hide(name, document);
    } else {
      this.#unhide(name);
      this.#place(name, document);
    }
  }

  /** @param {string} name @param {T} document */
  #place(name, document) {
    const at = this.#find(name);
    if (at >= 0 && this.#rows[at] === document) return;
    this.#changed = true;
    if (at >= 0) {
      this.#rows[at] = document;
      return;
    }
    this.#index?.set(name, this.#rows.length);
    this.#names.push(name);
    this.#rows.push(document);
  }

  /** @param {string} name */
  drop(name) {
    this.#unhide(name);
    const at = this.#find(name);
    if (at < 0) return;
    this.#changed = true;
    this.#holes = true;
    this.#index?.delete(name);
    this.#names[at] = this.#rows[at] = undefined;
  }

  /** The array after the changes, or the one before where nothing has changed. @returns {[readonly T[], Aside]} */
  done() {
    const hidden = this.#hidden;
    if (!this.#changed && !this.#own) return [this.#state, this.#aside];
    if (this.#changed) this.#order();
    const rows = /** @type {readonly T[]} */ (this.#rows);
    return [rows, { names: /** @type {string[]} */ (this.#names), hidden }];
  }

  /** Closes the holes, and restores the order where there is one. */
  #order() {
    const names = this.#names;
    const rows = /** @type {T[]} */ (this.#rows);
    const sort = /** @type {(one: any, other: any) => number} */ (this.#options.sort);
    const inOrder = () => rows.every((row, at) => !at || sort(rows[at - 1], row) <= 0);
    if (!this.#holes && (!sort || inOrder())) return;
    const places = [...names.keys()].filter((at) => names[at] !== undefined);
    if (sort) places.sort((one, other) => sort(rows[one], rows[other]));
    this.#rows = places.map((at) => rows[at]);
    this.#names = places.map((at) => names[at]);
  }
}

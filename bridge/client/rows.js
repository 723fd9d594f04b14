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
  /**
   * @param {readonly T[]} state
   * @param {Aside} aside
   * @param {{ filter?: (document: T) => boolean, sort?: (one: T, other: T) => number, placeholder?: (key: any, reason: string) => T }} options
   * @param {boolean} many whether an index is worth its making
   */
  constructor(state, aside, options, many) {
    this.state = state;
    this.aside = aside;
    this.options = options;
    /** @type {(T | undefined)[]} */
    this.rows = state.slice();
    /** @type {(string | undefined)[]} */
    this.names = aside.names.slice();
    /** @type {Map<string, any> | undefined} a copy, once it is changed */
    this.own = undefined;
    this.index = many ? new Map(aside.names.map((name, at) => [name, at])) : undefined;
    this.changed = false;
    this.holes = false;
  }

  get hidden() {
    return this.own ?? this.aside.hidden;
  }

  /** @param {string} name @param {T | undefined} document */
  hide(name, document) {
    (this.own ??= new Map(this.aside.hidden)).set(name, document);
  }

  /** @param {string} name */
  unhide(name) {
    if (this.hidden.has(name)) (this.own ??= new Map(this.aside.hidden)).delete(name);
  }

  /** Where a document stands, or -1. @param {string} name */
  find(name) {
    return this.index ? (this.index.get(name) ?? -1) : this.names.indexOf(name);
  }

  /** Applies what is known about a document. @param {string} name @param {any} event */
  take(name, event) {
    if (!event.document && event.reason) return this.miss(name, event);
    if (!needsDocument(event)) return this.put(name, event.document);
    const at = this.find(name);
    const hidden = this.hidden.get(name);
    if (this.hidden.has(name) && hidden === undefined) return;
    const before = at < 0 ? hidden : this.rows[at];
    if (before === undefined) throw gap(name);
    this.put(name, applyMessage(before, event));
  }

  /** The document exists, but did not come. @param {string} name @param {any} event */
  miss(name, event) {
    if (mustSync(event) && event.mode) throw gap(name);
    const { placeholder } = this.options;
    if (placeholder) this.place(name, placeholder(event.key, event.reason));
    else this.drop(name);
    this.hide(name, undefined);
  }

  /** @param {string} name @param {T} document */
  put(name, document) {
    if (document === undefined) throw invalid("expected a document");
    const { filter } = this.options;
    if (filter && !filter(document)) {
      this.drop(name);
      this.hide(name, document);
    } else {
      this.unhide(name);
      this.place(name, document);
    }
  }

  /** @param {string} name @param {T} document */
  place(name, document) {
    let at = this.find(name);
    if (at >= 0 && this.rows[at] === document) return;
    this.changed = true;
    if (at < 0) {
      at = this.rows.length;
      this.index?.set(name, at);
      this.names[at] = name;
    }
    this.rows[at] = document;
  }

  /** @param {string} name */
  drop(name) {
    this.unhide(name);
    const at = this.find(name);
    if (at < 0) return;
    this.changed = true;
    this.holes = true;
    this.index?.delete(name);
    this.names[at] = this.rows[at] = undefined;
  }

  /** The array after the changes, or the one before where nothing has changed. @returns {[readonly T[], Aside]} */
  done() {
    const { hidden } = this;
    if (!this.changed && !this.own) return [this.state, this.aside];
    if (this.changed) this.order();
    const rows = /** @type {readonly T[]} */ (this.rows);
    return [rows, { names: /** @type {string[]} */ (this.names), hidden }];
  }

  /** Closes the holes, and restores the order where there is one. */
  order() {
    const { names, rows, options } = this;
    const sort = /** @type {(one: any, other: any) => number} */ (options.sort);
    const inOrder = () => rows.every((row, at) => !at || sort(rows[at - 1], row) <= 0);
    if (!this.holes && (!sort || inOrder())) return;
    const places = [...names.keys()].filter((at) => names[at] !== undefined);
    if (sort) places.sort((one, other) => sort(rows[one], rows[other]));
    this.rows = places.map((at) => rows[at]);
    this.names = places.map((at) => names[at]);
  }
}

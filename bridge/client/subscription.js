// One channel followed: where it stands, what has come, and who is told.

import { cursorOf, format, least, parse } from "./cursor.js";
import { call } from "./report.js";

/** @import { Connection } from "./connection.js" */
/** @import { Parts } from "./cursor.js" */
/** @import { BridgeError } from "./errors.js" */
/** @import { BufferFactory, Listener, Message } from "./types.js" */

/** Messages kept while the state is fetched; beyond that they are asked for again. */
const MOST_HELD = 10_000;
/** Losses with a place among the messages: two streams tell of the same one. */
const PLACED = /^(dropped|unrouted|too_large|history_lost)$/;

export class Subscription {
  /** @type {Parts | undefined} what has come; undefined: nothing before `live` counts */
  #parts;
  /** @type {Parts | undefined} what had come before the queue */
  #told;
  /** @type {Parts} */
  #begun = new Map();
  /** @type {Message[]} */
  #queue = [];
  #scheduled = false;
  /** @type {Parts | undefined} where holding began */
  #heldFrom;
  #holding = false;
  #overflown = false;
  #replay = true;
  #buffer;
  #connection;
  /** @type {Listener} */
  #listener;

  /**
   * @param {Connection} connection
   * @param {string} channel
   * @param {Listener} listener
   * @param {unknown} [since]
   * @param {BufferFactory} [buffer] for a source that is not in order
   */
  constructor(connection, channel, listener, since, buffer) {
    this.channel = channel;
    this.#connection = connection;
    this.#listener = listener;
    this.#parts = since === undefined ? undefined : parse(cursorOf(since));
    this.#begin(this.#parts);
    this.#buffer = buffer?.(
      (messages) => {
        for (const message of messages) this.#accept(message);
        this.#schedule();
      },
      () => this.lost("gap"),
    );
    /** The first stream whose frames count. */
    this.serial = 0;
    connection.add(this);
  }

  /** What to give back to go on after what was told; undefined before anything is known. */
  get cursor() {
    const parts = this.#queue.length ? this.#told : this.#parts;
    return parts && format(parts);
  }

  /** @returns {Parts | undefined} */
  get parts() {
    return this.#parts;
  }

  /** The position up to which everything has come; empty before anything is known. */
  get position() {
    return this.#parts ? least(this.#parts) : "";
  }

  /** Ends it; nothing is told any more, and its cursor stays where that stopped. */
  close() {
    this.#buffer?.clear();
    if (this.#queue.length) this.#parts = this.#told;
    this.#queue = [];
    this.#listener = {};
    this.#connection.remove(this);
  }

  // What the connection says.

  /** A message, or a batch of them. @param {any} frame */
  take(frame) {
    for (const message of frame.messages ?? [frame]) this.#one(message);
    if (this.#queue.length) this.#schedule();
  }

  /** @param {Message} message */
  #one(message) {
    const parts = this.#parts;
    if (!parts) return;
    const tag = message.id.slice(0, 8);
    const position = message.id.slice(9);
    const mark = parts.get(tag) ?? parts.get("");
    if (mark === undefined) return this.#stranger(message.id);
    if (this.#buffer) {
      if (isAfter(message.id, this.#begun)) this.#buffer.push(message);
    } else if (position > mark) this.#accept(message);
  }

  /** @param {Message} message */
  #accept(message) {
    const tag = message.id.slice(0, 8);
    const position = message.id.slice(9);
    const parts = this.#parts;
    if (!this.#queue.length) this.#told = new Map(parts);
    if (parts?.size === 1 && parts.has(tag)) parts.set(tag, max(position, parts.get(tag) ?? ""));
    else this.#parts = new Map([[tag, position]]);
    if (message.rejected) this.#connection.rejected(message);
    this.#queue.push(message);
    if (this.#holding && this.#queue.length > MOST_HELD) {
      this.#queue = [];
      this.#overflown = true;
    }
  }

  /** A message of another history than the one that was followed. @param {string} id */
  #stranger(id) {
    if (this.#holding) this.#overflown = true;
    else this.lost("unknown_cursor", id);
  }

  /** Everything up to a cursor has come. @param {string} cursor */
  moved(cursor) {
    if (!this.#parts) return;
    this.#buffer?.flush();
    this.#parts = advanced(this.#parts, parse(cursor));
    this.flush();
    if (!this.#holding) this.#tell("moved");
  }

  /**
   * What was missed has come.
   * @param {string} cursor
   * @param {boolean} shared whether the stream was asked for with one cursor for all its channels:
   *   the bridge then ignores a part that is of none of its watchers, and cannot say so
   */
  live(cursor, shared) {
    const places = parse(cursor);
    this.#parts ??= places;
    const follows = [...this.#parts.keys()].some((tag) => !tag || places.has(tag));
    if (shared && !follows) this.lost("unknown_cursor", cursor);
    this.moved(cursor);
    this.#replay = false;
    if (!this.#holding) this.#tell("live");
  }

  /** No stream is live any more. */
  stale() {
    this.flush();
    if (this.#replay) return;
    this.#replay = true;
    this.#tell("stale");
  }

  /** Messages are missing. @param {string} reason @param {string} [cursor] after which they go on */
  lost(reason, cursor) {
    const known = this.#parts;
    const places = cursor === undefined ? undefined : parse(cursor);
    // Another stream has told of it already, and what follows it has come since.
    if (places && PLACED.test(reason) && isPast(known, places)) return;
    this.flush();
    if (places) {
      const own = known?.size === 1 && [...known.keys()].find((tag) => places.has(tag));
      this.#parts = own ? new Map([[own, /** @type {string} */ (places.get(own))]]) : places;
    }
    if (this.#holding) this.#keepFrom(this.#parts);
    if (known) this.#tell("resync", reason);
  }

  /** @param {BridgeError} error why it cannot be followed */
  failed(error) {
    this.#tell("error", error);
  }

  /** The cursor is not one; begin from now. @returns {void} */
  forget() {
    this.#parts = undefined;
    this.#tell("resync", "unknown_cursor");
  }

  // What the owner says.

  /** Keeps what comes from now on, until `seek`. */
  hold() {
    if (this.#holding) return;
    this.flush();
    this.#holding = true;
    this.#keepFrom(this.#parts);
  }

  /** @param {Parts | undefined} parts what came before is not kept */
  #keepFrom(parts) {
    this.#queue = [];
    this.#overflown = false;
    this.#heldFrom = parts && new Map(parts);
  }

  /**
   * Goes on from a cursor: with what has been kept where that is enough, or with a new stream.
   * `live` is told again once everything since then has come.
   * @param {string | undefined} cursor undefined: from now
   */
  seek(cursor) {
    const to = cursor === undefined ? undefined : parse(cursor);
    this.#buffer?.flush();
    this.#begin(to);
    const kept = this.#holding && !this.#overflown && reaches(this.#heldFrom, to);
    this.#holding = false;
    if (kept && to) {
      this.#queue = this.#queue.filter(({ id }) => isAfter(id, to));
      this.#raise(to);
      this.flush();
      if (!this.#replay) this.#tell("live");
      return;
    }
    this.#queue = [];
    this.#parts = to;
    this.#replay = true;
    this.#connection.reopen(this);
  }

  /** What is ordered before it never counts, in whichever order it comes. @param {Parts | undefined} from */
  #begin(from) {
    this.#begun = new Map(from);
    this.#buffer?.clear();
  }

  /** Nothing up to a cursor counts any more. @param {Parts} to */
  #raise(to) {
    for (const [tag, mark] of this.#parts ?? []) {
      this.#parts?.set(tag, max(mark, to.get(tag) ?? to.get("") ?? mark));
    }
  }

  // Telling.

  /**
   * What came in one task is told together. A transaction may come in several tasks: as long as
   * each brings more of it, it is waited for.
   */
  #schedule() {
    if (this.#scheduled || this.#holding) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      const last = this.#queue.at(-1);
      if (last?.txn) this.#complete(last);
      else this.flush();
    });
  }

  /** @param {Message} last of a transaction, that has come so far */
  #complete(last) {
    setTimeout(() => {
      const now = this.#queue.at(-1);
      if (now && now !== last && now.txn?.id === last.txn?.id) this.#complete(now);
      else this.flush();
    }, 1);
  }

  /** @param {keyof Listener} what @param {any[]} told */
  #tell(what, ...told) {
    call(() => /** @type {any} */ (this.#listener[what])?.apply(this.#listener, told));
  }

  /** Tells what has come so far. */
  flush() {
    if (this.#holding) return;
    this.#scheduled = false;
    const messages = this.#queue;
    if (!messages.length) return;
    this.#queue = [];
    this.#tell("messages", messages, { replay: this.#replay });
  }
}

/** @param {string} one @param {string} other */
const max = (one, other) => (one > other ? one : other);

/** Where a channel stands that stood somewhere, once all up to some places has come. @param {Parts} parts @param {Parts} places */
function advanced(parts, places) {
  const bare = parts.get("");
  if (bare !== undefined) {
    return new Map([...places].map(([tag, place]) => [tag, max(bare, place)]));
  }
  return new Map([...parts].map(([tag, mark]) => [tag, max(mark, places.get(tag) ?? mark)]));
}

/** Whether more has come than up to some places. @param {Parts | undefined} parts @param {Parts} places */
const isPast = (parts, places) =>
  parts && [...parts].every(([tag, mark]) => mark > (places.get(tag) ?? mark));

/** @param {string} id @param {Parts} to */
function isAfter(id, to) {
  const mark = to.get(id.slice(0, 8)) ?? to.get("");
  return mark === undefined || id.slice(9) > mark;
}

/** Whether what came after one cursor holds all that came after another. @param {Parts | undefined} from @param {Parts | undefined} to */
function reaches(from, to) {
  if (!from || !to) return false;
  return [...to].every(([tag, position]) => {
    const start = from.get(tag) ?? (tag === "" ? least(from) && greatest(from) : from.get(""));
    return start !== undefined && start <= position;
  });
}

/** @param {Parts} parts */
const greatest = (parts) => [...parts.values()].reduce(max);

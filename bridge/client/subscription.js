// One channel followed: where it stands, what has come, and who is told.

import { cursorOf, format, least, parse } from "./cursor.js";
import { guarded } from "./report.js";

/** Messages kept while the state is fetched; beyond that they are asked for again. */
const MOST_HELD = 10_000;

export class Subscription {
  /** @type {import("./cursor.js").Parts | undefined} what has come; undefined: nothing before `live` counts */
  #parts;
  /** @type {import("./cursor.js").Parts} */
  #begun = new Map();
  /** @type {import("./types.js").Message[]} */
  #queue = [];
  #scheduled = false;
  /** @type {import("./cursor.js").Parts | undefined} where holding began */
  #heldFrom;
  #holding = false;
  #overflown = false;
  #replay = true;
  #buffer;
  #connection;
  #listener;

  /**
   * @param {import("./connection.js").Connection} connection
   * @param {string} channel
   * @param {import("./types.js").Listener} listener
   * @param {unknown} [since]
   * @param {import("./types.js").BufferFactory} [buffer] for a source that is not in order
   */
  constructor(connection, channel, listener, since, buffer) {
    this.channel = channel;
    this.#connection = connection;
    this.#listener = guarded(listener);
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

  /** What to give back to go on here later; undefined before anything is known. */
  get cursor() {
    return this.#parts && format(this.#parts);
  }

  /** @returns {import("./cursor.js").Parts | undefined} */
  get parts() {
    return this.#parts;
  }

  /** The position up to which everything has come; empty before anything is known. */
  get position() {
    return this.#parts ? least(this.#parts) : "";
  }

  /** Ends it; nothing is told any more. */
  close() {
    this.#buffer?.clear();
    this.#queue = [];
    this.#connection.remove(this);
  }

  // What the connection says.

  /** A message, or a batch of them. @param {any} frame */
  take(frame) {
    for (const message of frame.messages ?? [frame]) this.#one(message);
    if (this.#queue.length) this.#schedule();
  }

  /** @param {import("./types.js").Message} message */
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

  /** @param {import("./types.js").Message} message */
  #accept(message) {
    const tag = message.id.slice(0, 8);
    const position = message.id.slice(9);
    const parts = this.#parts;
    if (parts?.size === 1 && parts.has(tag)) parts.set(tag, max(position, parts.get(tag) ?? ""));
    else this.#parts = new Map([[tag, position]]);
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
    this.#buffer?.flush();
    this.#advance(parse(cursor));
    this.flush();
    this.#listener.moved?.();
  }

  /** @param {import("./cursor.js").Parts} places */
  #advance(places) {
    const bare = this.#parts?.get("");
    if (!this.#parts || bare !== undefined) {
      this.#parts = new Map([...places].map(([tag, place]) => [tag, max(bare ?? place, place)]));
      return;
    }
    for (const [tag, position] of this.#parts) {
      this.#parts.set(tag, max(position, places.get(tag) ?? position));
    }
  }

  /** What was missed has come. @param {string} cursor */
  live(cursor) {
    this.moved(cursor);
    this.#replay = false;
    if (!this.#holding) this.#listener.live?.();
  }

  /** No stream is live any more. */
  stale() {
    this.flush();
    if (this.#replay) return;
    this.#replay = true;
    this.#listener.stale?.();
  }

  /** Messages are missing. @param {string} reason @param {string} [cursor] after which they go on */
  lost(reason, cursor) {
    const known = this.#parts;
    this.flush();
    if (cursor !== undefined) {
      const places = parse(cursor);
      const own = known?.size === 1 && [...known.keys()].find((tag) => places.has(tag));
      this.#parts = own ? new Map([[own, /** @type {string} */ (places.get(own))]]) : places;
    }
    if (known) this.#listener.resync?.(reason);
  }

  /** @param {import("./errors.js").BridgeError} error why it cannot be followed */
  failed(error) {
    this.#listener.error?.(error);
  }

  /** The cursor is not one; begin from now. @returns {void} */
  forget() {
    this.#parts = undefined;
    this.#listener.resync?.("unknown_cursor");
  }

  // What the owner says.

  /** Keeps what comes from now on, until `seek`. */
  hold() {
    if (this.#holding) return;
    this.flush();
    this.#holding = true;
    this.#overflown = false;
    this.#heldFrom = this.#parts && new Map(this.#parts);
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
      if (!this.#replay) this.#listener.live?.();
      return;
    }
    this.#queue = [];
    this.#parts = to;
    this.#replay = true;
    this.#connection.reopen(this);
  }

  /** What is ordered before it never counts, in whichever order it comes. @param {import("./cursor.js").Parts | undefined} from */
  #begin(from) {
    this.#begun = new Map(from);
    this.#buffer?.clear();
  }

  /** Nothing up to a cursor counts any more. @param {import("./cursor.js").Parts} to */
  #raise(to) {
    for (const [tag, mark] of this.#parts ?? []) {
      this.#parts?.set(tag, max(mark, to.get(tag) ?? to.get("") ?? mark));
    }
  }

  // Telling.

  /**
   * What came in one task is told together. A transaction may come in several tasks: it gets one
   * more to be complete in, and is closed by what follows it.
   */
  #schedule() {
    if (this.#scheduled || this.#holding) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      if (this.#queue[this.#queue.length - 1]?.txn) setTimeout(() => this.flush(), 0);
      else this.flush();
    });
  }

  /** Tells what has come so far. */
  flush() {
    if (this.#holding) return;
    this.#scheduled = false;
    const messages = this.#queue;
    if (!messages.length) return;
    this.#queue = [];
    this.#listener.messages?.(messages, { replay: this.#replay });
  }
}

/** @param {string} one @param {string} other */
const max = (one, other) => (one > other ? one : other);

/** @param {string} id @param {import("./cursor.js").Parts} to */
function isAfter(id, to) {
  const mark = to.get(id.slice(0, 8)) ?? to.get("");
  return mark === undefined || id.slice(9) > mark;
}

/** Whether what came after one cursor holds all that came after another. @param {import("./cursor.js").Parts | undefined} from @param {import("./cursor.js").Parts | undefined} to */
function reaches(from, to) {
  if (!from || !to) return false;
  return [...to].every(([tag, position]) => {
    const start = from.get(tag) ?? (tag === "" ? least(from) && greatest(from) : from.get(""));
    return start !== undefined && start <= position;
  });
}

/** @param {import("./cursor.js").Parts} parts */
const greatest = (parts) => [...parts.values()].reduce(max);

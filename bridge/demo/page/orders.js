// The orders as the messages say they are: pure state, no page, no network.

import { PatchError, applyPatch } from "./patch.js";

/** Every document that is in one of the channels, and how well the messages fitted together. */
export class Orders {
  constructor() {
    this.clear();
  }

  /** Forgets everything, the counters too. */
  clear() {
    this.documents = new Map(); // key -> { channel, document }
    this.positions = new Map(); // channel -> position of its last message
    this.counts = { messages: 0, replayed: 0, duplicates: 0, gaps: 0 };
  }

  /**
   * Takes one message in and says what became of it: "applied"; "duplicate", when it was here
   * before; or "gap", when it does not fit what we have, so something before it is missing.
   */
  take(message, { replayed }) {
    this.counts.messages += 1;
    if (replayed) this.counts.replayed += 1;
    const position = message.id.slice(message.id.indexOf("-") + 1);
    if (position <= (this.positions.get(message.channel) ?? "")) {
      this.counts.duplicates += 1;
      return "duplicate";
    }
    this.positions.set(message.channel, position);
    if (this.#fit(message)) return "applied";
    this.counts.gaps += 1;
    this.documents.delete(message.key);
    return "gap";
  }

  #fit(message) {
    const { key, channel, op, mode } = message;
    const known = this.documents.get(key);
    const here = known?.channel === channel;
    if (op === "delete" || op === "leave") return here && this.documents.delete(key);
    if ((op === "insert" || op === "enter") && known) return false;
    if (mode === "full") return this.#set(key, channel, message.document);
    if (mode !== "patch" || !here) return false;
    try {
      return this.#set(key, channel, applyPatch(known.document, message.patch));
    } catch (error) {
      if (error instanceof PatchError) return false;
      throw error;
    }
  }

  #set(key, channel, document) {
    this.documents.set(key, { channel, document });
    return true;
  }
}

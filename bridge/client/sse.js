// Server-sent events: text in pieces to events (the HTML standard, 9.2.6).

const LINE_END = /\r\n?|\n/g;

export class SseParser {
  /**
   * @param {{ event: (type: string, data: string) => void, retry: (milliseconds: number) => void }} to
   */
  constructor(to) {
    this.to = to;
    this.rest = "";
    this.afterReturn = false;
    this.type = "";
    /** @type {string[]} */
    this.data = [];
  }

  /** @param {string} text the next piece; may end anywhere */
  feed(text) {
    if (!text) return;
    if (this.afterReturn && text[0] === "\n") text = text.slice(1);
    const all = this.rest + text;
    let start = 0;
    LINE_END.lastIndex = this.rest.length;
    for (let end = LINE_END.exec(all); end; end = LINE_END.exec(all)) {
      const next = LINE_END.lastIndex;
      this.line(all.slice(start, end.index));
      start = LINE_END.lastIndex = next;
    }
    this.rest = all.slice(start);
    this.afterReturn = all.endsWith("\r");
  }

  /** @param {string} line */
  line(line) {
    if (!line) return this.dispatch();
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") this.data.push(value);
    else if (field === "event") this.type = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.to.retry(Number(value));
  }

  dispatch() {
    const { type, data } = this;
    this.type = "";
    this.data = [];
    if (data.length) this.to.event(type || "message", data.join("\n"));
  }
}

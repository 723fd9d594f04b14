// The messages as they came, newest first, and between them what happened to the connection.

import { element } from "./element.js";

const ROWS = 300;

const time = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

export class Feed {
  #rows;
  #waiting = []; // not shown yet, newest last

  constructor(root) {
    this.#rows = root;
  }

  /** Adds a message; `label` names its document for people. */
  message(message, { replayed, label, outcome }) {
    this.#add(() => messageRow(message, replayed, label, outcome));
  }

  /** Adds a line about the connection; `tone` is good, bad or plain. */
  notice(text, tone = "plain") {
    this.#add(() => noticeRow(text, tone));
  }

  /** Shows what was added since the last time. */
  show() {
    if (this.#waiting.length === 0) return;
    const rows = this.#waiting.reverse().map((make) => make());
    this.#waiting = [];
    this.#rows.prepend(...rows);
    while (this.#rows.children.length > ROWS) this.#rows.lastElementChild.remove();
  }

  #add(make) {
    this.#waiting.push(make);
    if (this.#waiting.length > ROWS) this.#waiting.shift();
  }
}

function noticeRow(text, tone) {
  const row = element("li", "notice", element("span", "", text));
  row.dataset.notice = tone;
  return row;
}

function messageRow(message, replayed, label, outcome) {
  const row = element("li", "row", head(message, replayed, label, outcome), body(message));
  Object.assign(row.dataset, {
    message: message.id,
    op: message.op,
    mode: message.mode ?? "key",
    channel: message.channel,
    replayed,
    outcome,
  });
  return row;
}

function head({ op, channel, time: when }, replayed, label, outcome) {
  const node = element("header", "", element("b", "op", op), element("span", "label", label));
  node.append(element("span", "channel", channel));
  if (outcome !== "applied") node.append(element("span", "tag bad", outcome));
  if (replayed) node.append(element("span", "tag", "replayed"));
  node.append(element("time", "", time.format(new Date(when))));
  return node;
}

function body(message) {
  if (message.mode === "patch") return element("ul", "patch", ...message.patch.map(operation));
  if (message.mode === "full") return wholeDocument(message.document);
  if (message.op === "delete") return element("p", "say", "The document was deleted.");
  if (message.op === "leave") return element("p", "say", "The document belongs to another channel now.");
  return element("p", "say", `The key only: ${message.reason ?? "as configured"}.`);
}

function operation({ op, path, from, value }) {
  const line = element("li", "", element("b", "", op), element("code", "path", path));
  line.dataset.patch = op;
  const more = from ?? (value === undefined ? "" : JSON.stringify(value));
  if (more) line.append(element("code", "value", more));
  return line;
}

function wholeDocument(document) {
  const size = new TextEncoder().encode(JSON.stringify(document)).length;
  const details = element("details", "", element("summary", "", `whole document, ${size} bytes`));
  const show = () => details.append(element("pre", "", JSON.stringify(document, null, 2)));
  details.addEventListener("toggle", show, { once: true });
  return details;
}

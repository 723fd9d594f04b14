// The page: messages go through the link into the orders, and once per frame onto the screen.

import { Board } from "./board.js";
import { Feed } from "./feed.js";
import { Link } from "./link.js";
import { Orders } from "./orders.js";

const SHOPS = [
  ["orders:north", "North"],
  ["orders:south", "South"],
  ["orders:harbour", "Harbour"],
];
const RETRY = 2000;

const find = (selector) => document.querySelector(selector);
const state = find("[data-text=state]");
const note = find("[data-text=note]");
const connection = find("[data-action=connection]");
const drop = find("[data-action=drop]");

const orders = new Orders();
const board = new Board(find(".board"), SHOPS);
const feed = new Feed(find(".rows"));

let rebuilding = true; // reading from the first order on: what comes is history, not missed
let retry = 0;
let clock = 0;
let frame = 0;

const link = new Link(
  SHOPS.map(([channel]) => channel),
  { state: showState, message: take, live, resync, bye, cursor: showSoon },
);

/** Forgets all orders and reads them again from the first one on. */
async function start() {
  rebuilding = true;
  link.forget();
  orders.clear();
  showSoon();
  try {
    const answer = await fetch("demo/start");
    if (!answer.ok) throw new TypeError(`demo/start answered ${answer.status}`);
    const { since } = await answer.json();
    if (link.state !== "offline") link.open(since);
  } catch {
    note.textContent = "The bridge does not answer; trying again";
    retry = setTimeout(start, RETRY);
  }
}

function take(message, { replayed, missed }) {
  const label = nameOf(message);
  const again = replayed && !rebuilding;
  const outcome = orders.take(message, { replayed: again });
  feed.message(message, { replayed: again, label, outcome });
  if (replayed) state.textContent = rebuilding ? `Reading ${missed} messages` : `Replaying ${many(missed)}`;
  showSoon();
}

function nameOf({ key, document }) {
  const number = document?.number ?? orders.documents.get(key)?.document.number;
  return number === undefined ? String(key) : `#${number}`;
}

const many = (count) => `${count} missed message${count === 1 ? "" : "s"}`;

function live({ missed, milliseconds }) {
  const took = `${Math.max(1, Math.round(milliseconds))} ms`;
  const text = rebuilding ? `All orders from ${missed} messages in ${took}` : `${many(missed)} replayed in ${took}`;
  rebuilding = false;
  note.textContent = text;
  feed.notice(text, "good");
  showSoon();
}

function resync({ reason }) {
  feed.notice(`Resync: ${reason}`, "bad");
  if (!rebuilding) {
    start();
  } else if (reason === "dropped") {
    orders.documents.clear(); // what is written after the drop comes next
  }
  showSoon();
}

function bye({ code, reconnect }) {
  feed.notice(`The bridge says goodbye: ${code}`, "bad");
  if (!reconnect) note.textContent = `Refused: ${code}`;
  showSoon();
}

const TITLES = { connecting: "Connecting", replaying: "Replaying", live: "Live", offline: "Offline" };

function showState(name) {
  const before = document.body.dataset.state;
  document.body.dataset.state = name;
  state.textContent = TITLES[name];
  connection.textContent = name === "offline" ? "Reconnect" : "Disconnect";
  drop.disabled = name !== "live";
  if (name === "connecting" && before === "offline") note.textContent = "";
  if (name === "connecting" && before === "live" && !rebuilding) {
    note.textContent = "Connection lost; reconnecting by itself";
    feed.notice("Connection lost", "bad");
  }
  showSoon();
}

function disconnect() {
  clearTimeout(retry);
  clearTimeout(clock);
  link.close();
  feed.notice("Disconnected by hand");
  showOffline(Date.now());
}

function showOffline(since) {
  if (link.state !== "offline") return;
  note.textContent = `for ${Math.round((Date.now() - since) / 1000)} s; the shops go on`;
  clock = setTimeout(showOffline, 1000, since);
}

function showSoon() {
  frame ||= requestAnimationFrame(show);
}

function show() {
  frame = 0;
  board.show(orders.documents);
  feed.show();
  for (const [name, count] of Object.entries(orders.counts)) {
    find(`[data-count=${name}]`).textContent = String(count);
  }
  const cursor = find("[data-cursor]");
  cursor.textContent = link.cursor;
  cursor.title = link.cursor;
}

connection.addEventListener("click", () => {
  if (link.state !== "offline") disconnect();
  else if (link.cursor) link.open();
  else start();
});

drop.addEventListener("click", async () => {
  const session = encodeURIComponent(link.session);
  const answer = await fetch(`demo/drop?session=${session}`, { method: "POST" });
  if (answer.ok) return;
  feed.notice(`The socket was not dropped: ${answer.status}`, "bad");
  showSoon();
});

for (const button of document.querySelectorAll("[data-show]")) {
  button.addEventListener("click", () => {
    document.body.dataset.view = button.dataset.show;
    for (const other of document.querySelectorAll("[data-show]")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
  });
}

start();

// The orders as columns of cards: one per shop, in it one group per state.

import { Card, STATES, euros } from "./card.js";
import { element } from "./element.js";

const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Board {
  #cards = new Map(); // key -> Card
  #columns = new Map(); // channel -> column

  constructor(root, shops) {
    for (const [channel, title] of shops) this.#columns.set(channel, column(channel, title));
    root.append(...[...this.#columns.values()].map(({ node }) => node));
  }

  /** Shows these documents (key → { channel, document }) and no others. */
  show(documents) {
    const before = this.#places();
    for (const [key, card] of this.#cards) {
      if (documents.has(key)) continue;
      card.node.remove();
      this.#cards.delete(key);
    }
    for (const [key, { channel, document }] of documents) this.#put(key, channel, document);
    for (const one of this.#columns.values()) sum(one, documents);
    this.#glide(before);
  }

  #put(key, channel, document) {
    if (!this.#cards.has(key)) this.#cards.set(key, new Card(key));
    const card = this.#cards.get(key);
    card.show(channel, document);
    const group = this.#columns.get(channel)?.groups.get(document.state);
    if (group && card.node.parentNode !== group.cards) group.cards.append(card.node);
  }

  #places() {
    if (still.matches) return new Map();
    return new Map([...this.#cards].map(([key, { node }]) => [key, node.getBoundingClientRect()]));
  }

  /** Lets every card travel from where it was, and new ones appear. */
  #glide(before) {
    if (still.matches) return;
    for (const [key, { node }] of this.#cards) {
      const from = before.get(key);
      if (from) travel(node, from, node.getBoundingClientRect());
      else node.animate([{ opacity: 0, transform: "translateY(6px)" }, {}], { duration: 300, easing: "ease-out" });
    }
  }
}

function travel(node, from, to) {
  const x = from.left - to.left;
  const y = from.top - to.top;
  if (!x && !y) return;
  const options = { duration: x ? 520 : 320, easing: "cubic-bezier(.2, .8, .2, 1)" };
  node.animate([{ transform: `translate(${x}px, ${y}px)`, zIndex: 1 }, { transform: "none", zIndex: 1 }], options);
}

function column(channel, title) {
  const count = element("span", "count");
  const worth = element("span", "worth");
  const groups = new Map(STATES.map((state) => [state, group(state)]));
  const node = element(
    "section",
    "shop",
    element("h2", "", title, count, worth),
    ...[...groups.values()].map((one) => one.node),
    element("p", "empty", "No orders here right now."),
  );
  node.dataset.shop = channel;
  return { channel, node, groups, count, worth };
}

function group(state) {
  const count = element("span", "count");
  const cards = element("div", "cards");
  const name = state[0].toUpperCase() + state.slice(1);
  const node = element("div", "group", element("h3", "", element("i", "dot"), name, count), cards);
  node.dataset.state = state;
  node.hidden = true;
  return { node, cards, count };
}

function sum({ channel, node, groups, count, worth }, documents) {
  const here = [...documents.values()].filter((one) => one.channel === channel);
  count.textContent = here.length;
  worth.textContent = euros(here.reduce((cents, { document }) => cents + document.total, 0));
  node.classList.toggle("none", here.length === 0);
  for (const one of groups.values()) {
    one.count.textContent = one.cards.children.length;
    one.node.hidden = one.cards.children.length === 0;
  }
}

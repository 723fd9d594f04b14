// One order as a card. What changes is marked for a moment, so that the eye finds it.

import { element } from "./element.js";

export const STATES = ["placed", "packing", "ready", "on the way", "delivered"];

const money = new Intl.NumberFormat("en-GB", { style: "currency", currency: "EUR" });

/** Cents as euros. */
export const euros = (cents) => money.format(cents / 100);

export class Card {
  constructor(key) {
    this.node = element("article", "card");
    this.node.dataset.order = key;
    this.number = element("span", "number");
    this.customer = element("span", "customer");
    this.total = element("span", "total");
    this.items = element("ul", "items");
    this.people = element("p", "people");
    this.note = element("p", "note");
    this.progress = element("div", "progress", ...STATES.map(() => element("i")));
    this.node.append(
      element("header", "", this.number, this.customer, this.total),
      this.items,
      this.people,
      this.note,
      this.progress,
    );
    this.fresh = true;
  }

  /** Shows a document. */
  show(channel, document) {
    const { state, customer, items = [], total, note } = document;
    this.node.dataset.channel = channel;
    this.node.dataset.document = JSON.stringify(document);
    this.node.dataset.state = state;
    this.#write(this.number, `#${document.number}`);
    this.#write(this.customer, customer?.name ?? "");
    this.customer.title = customer ? `${customer.address.street} ${customer.address.door}` : "";
    this.#write(this.total, euros(total));
    this.#showItems(items);
    this.#write(this.people, people(document));
    this.#write(this.note, note ? `“${note}”` : "");
    const reached = STATES.indexOf(state);
    [...this.progress.children].forEach((step, index) => {
      step.classList.toggle("done", index <= reached);
    });
    this.fresh = false;
  }

  #showItems(items) {
    const rows = this.items.children;
    while (rows.length > items.length) rows[rows.length - 1].remove();
    items.forEach((item, index) => {
      if (!rows[index]) this.items.append(itemRow());
      const [quantity, name, picked] = rows[index].children;
      this.#write(quantity, `${item.quantity}×`);
      this.#write(name, item.name);
      this.#write(picked, item.picked ? "✓" : "");
    });
  }

  #write(node, text) {
    if (node.textContent === text) return;
    node.textContent = text;
    if (!this.fresh && text) flash(node);
  }
}

const itemRow = () =>
  element("li", "", element("span", "quantity"), element("span", "name"), element("span", "picked"));

function people({ packer, courier }) {
  if (courier?.rating) return `${courier.name} ${"★".repeat(courier.rating)}`;
  if (courier) return `${courier.name}, ${courier.vehicle}`;
  return packer ? `${packer} packs` : "";
}

function flash(node) {
  const marked = { backgroundColor: "var(--mark)", boxShadow: "0 0 0 3px var(--mark)" };
  node.animate([marked, marked, { backgroundColor: "transparent", boxShadow: "0 0 0 3px transparent" }], {
    duration: 1600,
    easing: "ease-out",
  });
}

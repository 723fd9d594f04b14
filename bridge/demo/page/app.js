// The page: two windows beside each other, or one that goes by a name of its own.

import { Backend } from "./backend.js";
import { Colleague } from "./colleague.js";
import { find } from "./element.js";
import { BoardWindow } from "./window.js";

const asked = new URLSearchParams(location.search);
const alone = asked
  .get("as")
  ?.replaceAll(/[^\w ]/g, "")
  .slice(0, 20);
const names = alone ? [alone] : ["Ann", "Ben"];
const windows = names.map((name) => new BoardWindow(name, "launch"));
const roomy = matchMedia("(min-width: 701px) and (min-height: 600px)").matches;

if (alone) {
  find(document, ".top p").textContent = "What happens here shows in every other window.";
  find(document, ".top a").hidden = true;
}
for (const { node } of windows) {
  find(node, "details").toggleAttribute("open", roomy);
  find(document, "main").append(node);
}

/** @type {HTMLInputElement} */
const joins = find(document, "[data-switch=colleague]");
const colleague = new Colleague({
  board: () => windows[0].board,
  backend: new Backend("Cleo", { fetch: (...args) => fetch(...args), trouble: () => ({}) }),
  gone: () => (joins.checked = false),
});
joins.checked = !alone && asked.get("colleague") !== "off";
joins.addEventListener("change", () => (joins.checked ? colleague.start() : colleague.stop()));
if (joins.checked) colleague.start();

// Applies patches with the client and with fast-json-patch, in turns; prints JSON.
//
// node patches.js SECONDS-PER-MEASUREMENT

import { createRequire } from "node:module";

import { applyPatch } from "../bridge/client/patch.js";

const require = createRequire(new URL("../tests/client/", import.meta.url));
const { applyPatch: other } = require("fast-json-patch");

const BATCH = 200;
const ROUNDS = 7;
const budget = (Number(process.argv[2] ?? 2) * 1e9) / ROUNDS;

const todo = { _id: "65f0c0ffee00000000000001", text: "Milk", done: false, tags: ["a", "b", "c"] };
const order = {
  _id: 1,
  customer: { name: "Ann", address: { street: "Long Road", town: "York", zip: "YO1" } },
  lines: Array.from({ length: 20 }, (_, n) => ({ sku: `sku-${n}`, count: n, price: { net: n, tax: 1 } })),
  status: "open",
  total: 100,
};
const wide = Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`field_${n}`, n]));

const CASES = {
  "one field of a small document": [todo, [{ op: "replace", path: "/done", value: true }]],
  "append to an array": [todo, [{ op: "add", path: "/tags/-", value: "d" }]],
  "a nested field of a larger document": [
    order,
    [{ op: "replace", path: "/lines/7/price/net", value: 9 }],
  ],
  "five places of a larger document": [
    order,
    [
      { op: "replace", path: "/status", value: "paid" },
      { op: "add", path: "/paid", value: true },
      { op: "replace", path: "/lines/3/count", value: 4 },
      { op: "remove", path: "/customer/address/zip" },
      { op: "replace", path: "/total", value: 101 },
    ],
  ],
  "one of 200 fields": [wide, [{ op: "replace", path: "/field_99", value: -1 }]],
};

/** Nanoseconds for each call, of the best round. */
function measure(call) {
  let best = Infinity;
  const end = process.hrtime.bigint() + BigInt(Math.round(budget));
  while (process.hrtime.bigint() < end) {
    const start = process.hrtime.bigint();
    for (let n = 0; n < BATCH; n++) call();
    best = Math.min(best, Number(process.hrtime.bigint() - start) / BATCH);
  }
  return best;
}

const results = Object.entries(CASES).map(([name, [document, patch]]) => {
  const calls = {
    ours: () => applyPatch(document, patch),
    // The document before has to stay as it is: a state may still be shown, or rolled back to.
    other: () => other(document, patch, true, false).newDocument,
  };
  if (JSON.stringify(calls.ours()) !== JSON.stringify(calls.other())) throw new Error(name);
  // Only what can be done again and again to the same document.
  const inPlace = structuredClone(document);
  if (patch.every(({ op }) => op === "replace")) calls.inPlace = () => other(inPlace, patch);
  const best = Object.fromEntries(Object.keys(calls).map((who) => [who, Infinity]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [who, call] of Object.entries(calls)) best[who] = Math.min(best[who], measure(call));
  }
  return { name, ...best };
});
console.log(JSON.stringify(results));

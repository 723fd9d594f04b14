// The stream parser, cursors, and retry: pure and small.

import assert from "node:assert/strict";
import { test } from "node:test";

import { compose, cursorOf, format, parse, positionOf } from "../../bridge/client/cursor.js";
import { BridgeError, backoff, fixed } from "../../bridge/client/index.js";
import { SseParser } from "../../bridge/client/sse.js";

function events(...pieces) {
  const got = [];
  const parser = new SseParser({
    event: (type, data) => got.push([type, data]),
    retry: (ms) => got.push(["retry", ms]),
  });
  for (const piece of pieces) parser.feed(piece);
  return got;
}

const TEXT =
  'retry: 2143\n\nevent: ready\ndata: {"a":1}\n\n: comment\n\nid: x\ndata: one\ndata: two\n\ndata:x\n\nevent: empty\n\n';
const EXPECTED = [
  ["retry", 2143],
  ["ready", '{"a":1}'],
  ["message", "one\ntwo"],
  ["message", "x"],
];

test("events, comments, retry, several lines of data", () => {
  assert.deepEqual(events(TEXT), EXPECTED);
});

test("wherever the pieces end, and whatever ends the lines", () => {
  for (const end of ["\n", "\r", "\r\n"]) {
    const text = TEXT.replaceAll("\n", end);
    for (let size = 1; size < 9; size++) {
      const pieces = text.match(new RegExp(`[^]{1,${size}}`, "g"));
      assert.deepEqual(events(...pieces), EXPECTED, `${JSON.stringify(end)} in pieces of ${size}`);
    }
  }
});

test("what the end cuts off is no event; a bad retry is ignored", () => {
  assert.deepEqual(events("data: 1\n\ndata: 2\n"), [["message", "1"]]);
  assert.deepEqual(events("retry: soon\n\nretry: -1\n\n"), []);
  assert.deepEqual(events("data\n\n"), [["message", ""]]);
});

test("cursors: tagged, of several watchers, bare, cluster times, the beginning", () => {
  const two = "1f3a9c02-6b0427d500000009000010.77777777-6b0427d500000008000010";
  assert.equal(format(parse(two)), two);
  assert.equal(cursorOf("6b0427d500000009"), "6b0427d500000009ffffff");
  assert.equal(cursorOf({ t: 0x6b0427d5, i: 9 }), "6b0427d500000009ffffff");
  assert.equal(positionOf("1f3a9c02-6b0427d500000009000010"), "6b0427d500000009000010");
  assert.equal(cursorOf(0), cursorOf("0"));
  for (const bad of ["", "x", "6B0427D500000009", 7, null, {}, "1f3a9c02-", "6b0427d500000009."]) {
    assert.throws(() => cursorOf(bad), BridgeError, String(bad));
  }
});

test("one cursor for several channels is the lowest of each watcher; a bare one the lowest of all", () => {
  const a = "1f3a9c02-6b0427d500000009000010";
  const b = "1f3a9c02-6b0427d500000007000010";
  const c = "77777777-6b0427d500000008000010";
  assert.equal(compose([a, b, c].map(parse)), `${b}.${c}`);
  assert.equal(compose([a, "6b0427d500000008"].map(parse)), "6b0427d500000008ffffff");
  assert.equal(compose([]), undefined);
});

test("backoff waits at random below a bound that grows; fixed waits the same; both can end", () => {
  const wait = backoff({ initial: 100, max: 1000 });
  for (const [attempt, bound] of [
    [1, 100],
    [2, 200],
    [4, 800],
    [5, 1000],
    [50, 1000],
  ]) {
    const waits = Array.from({ length: 200 }, () => wait(attempt));
    assert.ok(
      waits.every((ms) => ms >= 0 && ms <= bound),
      `attempt ${attempt}`,
    );
    assert.ok(Math.max(...waits) > bound / 2 && Math.min(...waits) < bound / 2);
  }
  assert.deepEqual([1, 2, 3].map(fixed(7, 3)), [7, 7, null]);
  assert.equal(backoff({ attempts: 2 })(2), null);
});

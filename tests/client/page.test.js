// The page around the client: hidden, seen, offline, frozen.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { Rig, fakeTime, id, pass, realTime, settle } from "./rig.js";

let window;

beforeEach(() => {
  fakeTime();
  window = new EventTarget();
  globalThis.addEventListener = window.addEventListener.bind(window);
  globalThis.removeEventListener = window.removeEventListener.bind(window);
  globalThis.document = Object.assign(new EventTarget(), { visibilityState: "visible" });
});
afterEach(() => {
  realTime();
  for (const name of ["addEventListener", "removeEventListener", "document"])
    delete globalThis[name];
});

const say = (type) => window.dispatchEvent(new Event(type));
function show(visibilityState) {
  document.visibilityState = visibilityState;
  document.dispatchEvent(new Event("visibilitychange"));
}

async function followed(options) {
  const rig = new Rig({ retry: () => 1_000_000, ...options });
  rig.bridge.subscribe("a", {}, { since: id(1) });
  await rig.connected();
  return rig;
}

test("a hidden tab keeps its connection for a minute; a tab that is seen again goes on from there", async () => {
  const rig = await followed();
  show("hidden");
  for (let n = 0; n < 2; n++) {
    await pass(29_500, 500);
    rig.stream.sink.alive();
  }
  assert.equal(rig.open.length, 1);
  await pass(2_000, 1000);
  assert.deepEqual([rig.open.length, rig.bridge.status.state], [0, "paused"]);
  await pass(600_000, 100_000);
  assert.equal(rig.streams.length, 1);
  show("visible");
  await settle();
  assert.deepEqual([rig.streams.length, rig.stream.request.since], [2, id(1)]);
});

test("a tab that is seen again in time keeps it; so does background: Infinity", async () => {
  const rig = await followed({ background: 10_000 });
  show("hidden");
  await pass(9_000, 1000);
  show("visible");
  await pass(9_000, 1000);
  assert.equal(rig.open.length, 1);
  const kept = await followed({ background: Infinity });
  show("hidden");
  for (let n = 0; n < 20; n++) {
    await pass(10_000, 1000);
    kept.stream.sink.alive();
  }
  assert.equal(kept.streams.length, 1);
});

test("a network that comes back ends the wait", async () => {
  const rig = await followed();
  await rig.stream.cut();
  await pass(5_000, 1000);
  assert.equal(rig.streams.length, 1);
  say("online");
  await settle();
  assert.equal(rig.streams.length, 2);
});

test("a machine that slept finds its stream dead at once", async () => {
  const rig = await followed();
  const { now } = Date;
  Date.now = () => now() + 3_600_000; // timers have stood still
  document.dispatchEvent(new Event("resume"));
  await settle();
  Date.now = now;
  assert.deepEqual([rig.streams[0].closed, rig.streams.length], [true, 2]);
});

test("a page that is left lets its stream go, and opens another one when it comes back", async () => {
  const rig = await followed();
  say("pagehide");
  assert.equal(rig.open.length, 0);
  say("pageshow");
  await settle();
  assert.equal(rig.open.length, 1);
});

test("what was paused or closed by the application is not woken", async () => {
  const rig = await followed();
  rig.bridge.pause();
  for (const type of ["online", "pageshow"]) say(type);
  show("visible");
  await settle();
  assert.equal(rig.open.length, 0);
  rig.bridge.close();
  say("online");
  await settle();
  assert.equal(rig.streams.length, 1);
});

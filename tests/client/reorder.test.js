// Messages that come in disorder, where somebody asks for order.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { reorder } from "../../bridge/client/reorder.js";
import { Rig, fakeTime, id, letter, letters, pass, realTime, settle } from "./rig.js";

beforeEach(fakeTime);
afterEach(realTime);

async function ready(options) {
  const rig = new Rig();
  let syncs = 0;
  const model = rig.model({
    ...letters,
    sync: () => {
      syncs += 1;
      return letters.sync();
    },
    buffer: reorder(options),
  });
  model.sync();
  await rig.connected();
  const come = (...numbers) => numbers.forEach((n) => rig.stream.frame(letter(n, String(n))));
  return { rig, model, come, syncs: () => syncs };
}

test("without a window each message passes at once, and only once", async () => {
  const { model, come } = await ready({ window: 0 });
  come(2, 4, 4);
  await settle();
  assert.equal(model.data, "024");
});

test("within the window messages are put in order; what is ordered before one that is due leaves with it", async () => {
  const { model, come } = await ready({ window: 100 });
  come(4);
  await pass(60);
  come(3, 5);
  await settle();
  assert.equal(model.data, "0");
  await pass(50);
  assert.equal(model.data, "034");
  await pass(60);
  assert.equal(model.data, "0345");
});

test("the same message again is dropped, in the window and after it", async () => {
  const { model, come } = await ready({ window: 50 });
  come(3, 3);
  await pass(70);
  come(3);
  await pass(70);
  assert.equal(model.data, "03");
});

test("too late for its place: dropped, applied, or a reason to fetch the state", async () => {
  for (const [late, data, syncs] of [
    ["drop", "05", 1],
    ["apply", "053", 1],
    ["resync", "0", 2],
  ]) {
    const { model, come, ...counted } = await ready({ window: 20, late });
    come(5);
    await pass(40);
    come(3);
    await pass(40);
    assert.deepEqual([model.data, counted.syncs()], [data, syncs], late);
  }
});

test("what the state contains never counts; an order of one's own decides", async () => {
  const { model, come } = await ready({
    window: 20,
    compare: (one, other) => other.data - one.data,
  });
  come(1, 3, 5, 4);
  await pass(40);
  assert.equal(model.data, "0543");
});

test("live and heartbeats say that nothing earlier is to come", async () => {
  const { rig, model, come } = await ready({ window: 1000 });
  come(3, 2);
  rig.stream.frame({ type: "heartbeat", cursor: id(9) });
  assert.equal(model.data, "023");
});

test("bad options are refused", () => {
  for (const options of [{}, { window: -1 }, { window: "x" }, { window: 1, late: "never" }]) {
    assert.throws(() => reorder(options), { code: "invalid_argument" });
  }
});

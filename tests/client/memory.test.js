// A hundred thousand messages leave nothing behind. Run with --expose-gc.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Rig, TAG, settle } from "./rig.js";

const DOCUMENTS = 100;
const MESSAGES = 100_000;
const TASK = 100;
/** Bytes: what a heap differs by when nothing has changed. */
const NOISE = 400_000;

const cursor = (n) => `${TAG}-${n.toString(16).padStart(8, "0")}00000001000010`;

/** Bytes in use once everything that can go has gone. */
async function used() {
  for (let turn = 0; turn < 4; turn++) {
    globalThis.gc();
    await settle();
  }
  return process.memoryUsage().heapUsed;
}

test("100,000 messages and 10,000 writes through a model leave no growth", async () => {
  assert.ok(globalThis.gc, "node --expose-gc");
  const rig = new Rig();
  const model = rig.model();
  let told = 0;
  model.subscribe(() => {
    told += 1;
  });
  const until = async (condition) => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  await until(() => rig.stream);
  await rig.stream.live(cursor(1));
  let n = 1;
  const round = async (messages) => {
    for (const end = n + messages; n < end;) {
      for (let of = 0; of < TASK; of++) {
        n += 1;
        const key = n % DOCUMENTS;
        const mutationId = n % 10 ? undefined : `m${n}`;
        if (mutationId) model.mutate({ key, document: { _id: key, n }, mutationId }, () => "ok");
        const patch = [{ op: "replace", path: "/n", value: n }];
        const fields =
          n <= DOCUMENTS + 1 || n % 7 === 0
            ? { op: "replace", mode: "full", document: { _id: key, n, text: `text ${n}` } }
            : { op: "update", mode: "patch", patch };
        rig.stream.frame({
          type: "change",
          id: cursor(n),
          channel: "todos:acme",
          key,
          mutationId,
          ...fields,
        });
      }
      await settle();
    }
  };
  await round(20_000);
  const before = await used();
  await round(MESSAGES);
  const after = await used();
  assert.ok(told >= MESSAGES / TASK);
  assert.deepEqual([model.data.length, model.pending.length, model.state], [DOCUMENTS, 0, "ready"]);
  assert.ok(after - before < NOISE, `${after - before} bytes more after ${MESSAGES} messages`);
  rig.bridge.close();
});

// The hooks under the real React, drawn into memory.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { createElement } from "react";
import { act, create } from "react-test-renderer";

import { useModel, useMutation } from "livesync-bridge-client/react";
import { Rig, fakeTime, realTime, settle } from "./rig.js";

beforeEach(() => {
  globalThis.IS_REACT_ACT_ENVIRONMENT = true;
  fakeTime();
});
afterEach(realTime);

async function drawn(component) {
  let root;
  await act(async () => {
    root = create(createElement(component));
    await settle();
  });
  return root;
}

test("useModel starts the model, and renders with each change", async () => {
  const rig = new Rig();
  rig.snapshot = {
    cursor: "1f3a9c02-0000000100000001000010",
    documents: [{ key: 1, document: { _id: 1 } }],
  };
  const model = rig.model();
  const root = await drawn(function Count() {
    const { data, state } = useModel(model);
    return `${state} ${data?.length}`;
  });
  assert.equal(root.toJSON(), "syncing undefined");
  await act(() => rig.connected());
  assert.equal(root.toJSON(), "ready 1");
  await act(async () => {
    rig.stream.insert(5, 2);
    await settle();
  });
  assert.equal(root.toJSON(), "ready 2");
  await act(() => root.unmount());
});

test("a selection renders only when it changes, also where it is made anew each time", async () => {
  const rig = new Rig();
  const { model } = await rig.ready([{ _id: 1, done: false }]);
  let renders = 0;
  const open = ({ data }) => data.filter(({ done }) => !done).map(({ _id }) => _id);
  const root = await drawn(function Open() {
    renders += 1;
    return useModel(model, open, (one, other) => one.join() === other.join()).join();
  });
  const before = renders;
  await act(async () => {
    rig.stream.insert(5, 2, { done: true });
    await settle();
  });
  assert.equal(renders, before);
  await act(async () => {
    rig.stream.insert(6, 3);
    await settle();
  });
  assert.equal(root.toJSON(), "1,3");
  await act(() => root.unmount());
});

test("useMutation runs a write, counts what waits, and shows the last error", async () => {
  const rig = new Rig();
  const { model } = await rig.ready([{ _id: 1, n: 1 }]);
  let write;
  const root = await drawn(function Button() {
    const { run, pending, error } = useMutation((n, send) =>
      model.mutate({ key: 1, update: (one) => ({ ...one, n }) }, send),
    );
    write = run;
    return `${useModel(model).data[0].n} ${pending} ${error?.code}`;
  });
  await act(async () => {
    write(2, () => "ok");
    await settle();
  });
  assert.equal(root.toJSON(), "2 1 undefined");
  const { mutationId } = model.pending[0];
  await act(async () => {
    rig.stream.tell(5, {
      op: "update",
      key: 1,
      mutationId,
      mode: "patch",
      patch: [{ op: "replace", path: "/n", value: 2 }],
    });
    await settle();
  });
  assert.equal(root.toJSON(), "2 0 undefined");
  await act(async () => {
    write(3, () => {
      throw new Error("no");
    });
    await settle();
  });
  assert.equal(root.toJSON(), "2 0 rejected");
  await act(() => root.unmount());
});

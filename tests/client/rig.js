// A bridge on a transport and a fetch that do what the test says.

import assert from "node:assert/strict";
import { mock } from "node:test";

import { collection, connect } from "../../bridge/client/index.js";

export const TAG = "1f3a9c02";
export const OTHER = "77777777";

/** The position of the nth instant. */
export const at = (n) => `${n.toString(16).padStart(8, "0")}00000001000010`;
export const id = (n, tag = TAG) => `${tag}-${at(n)}`;

/** Lets everything that waits for nothing but its turn happen. */
export async function settle() {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Lets so many milliseconds pass, step by step. */
export async function pass(milliseconds, step = 10) {
  for (let gone = 0; gone < milliseconds; gone += step) {
    await settle();
    mock.timers.tick(Math.min(step, milliseconds - gone));
  }
  await settle();
}

export function fakeTime() {
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_700_000_000_000 });
}

export const realTime = () => mock.timers.reset();

/** One stream that the client has opened. */
export class FakeStream {
  constructor(request, sink) {
    this.request = request;
    this.sink = sink;
    this.closed = false;
  }

  close() {
    this.closed = true;
  }

  get channels() {
    return this.request.channels.map(({ channel }) => channel);
  }

  /** Says ready, and live at a cursor. */
  async live(cursor = id(1)) {
    this.ready();
    this.frame({ type: "live", cursor });
    await settle();
  }

  ready(heartbeat = 15) {
    this.frame({ type: "ready", session: "s", heartbeat, channels: this.channels });
  }

  frame(frame) {
    this.sink.alive();
    this.sink.frame(frame);
  }

  /** A change on a channel, at an instant. */
  tell(n, fields, channel = "todos:acme", tag = TAG) {
    this.frame({ type: "change", id: id(n, tag), channel, ...fields });
  }

  insert(n, key, fields = {}, more = {}) {
    this.tell(n, { op: "insert", key, mode: "full", document: { _id: key, ...fields }, ...more });
  }

  /** Ends it, as a network does. */
  async cut(error) {
    this.closed = true;
    this.sink.close(error);
    await settle();
  }
}

/** A bridge with one fake of everything around it. */
export class Rig {
  constructor(options = {}) {
    this.streams = [];
    this.asked = [];
    /** What the snapshot endpoint answers: a value, an Error, or a Response. */
    this.snapshots = [];
    this.snapshot = { cursor: id(1), documents: [] };
    this.bridge = connect({
      url: "https://bridge.test/",
      retry: () => 100,
      transport: (request, sink) => {
        const stream = new FakeStream(request, sink);
        this.streams.push(stream);
        return stream;
      },
      fetch: async (url, init) => {
        this.asked.push({ url, ...init });
        const answer = this.snapshots.length ? this.snapshots.shift() : this.snapshot;
        const given = typeof answer === "function" ? await answer(init) : answer;
        if (given instanceof Error) throw given;
        return given instanceof Response
          ? given
          : Response.json({ channel: "todos:acme", ...given });
      },
      ...options,
    });
  }

  /** The newest stream. */
  get stream() {
    return this.streams[this.streams.length - 1];
  }

  get open() {
    return this.streams.filter(({ closed }) => !closed);
  }

  model(spec = {}) {
    return this.bridge.model({ channel: "todos:acme", merge: collection(), ...spec });
  }

  /** A model that is ready, with these documents. */
  async ready(documents = [], spec = {}) {
    this.snapshot = {
      cursor: id(1),
      documents: documents.map((document) => ({ key: document._id, document })),
    };
    const model = this.model(spec);
    const seen = [];
    model.subscribe((snapshot) => seen.push(snapshot));
    await this.connected();
    assert.equal(model.state, "ready");
    seen.length = 0;
    return { model, seen };
  }

  /** Lets a stream open, and says that it is live. */
  async connected(cursor = id(1)) {
    await pass(30);
    await this.stream.live(cursor);
    await settle();
  }
}

/** A problem as the bridge answers it. */
export const problem = (status, code, more = {}) =>
  Response.json({ status, code, detail: code, ...more }, { status });

/** Events applied as a string, to see their order. */
export const letters = {
  merge: (state, event) => state + event.data,
  sync: () => ({ data: "0", cursor: id(1) }),
};

/** An outbox event whose data is a letter. */
export const letter = (n, data, more = {}) => ({
  type: "event",
  id: id(n),
  channel: "todos:acme",
  name: "letter",
  data,
  ...more,
});

/** A model whose state is text, ready, with "0" in it. */
export async function text(spec = {}, options = {}) {
  const rig = new Rig(options);
  const model = rig.model({ ...letters, ...spec });
  const told = [];
  model.subscribe(({ data }) => told.push(data));
  await rig.connected();
  told.length = 0;
  return { rig, model, told };
}

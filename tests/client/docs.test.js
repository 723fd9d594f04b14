// Every example of docs/client.md runs, against a bridge that is a fake.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, test } from "node:test";

import * as client from "../../bridge/client/index.js";
import { Rig, fakeTime, id, pass, realTime } from "./rig.js";

beforeEach(fakeTime);
afterEach(realTime);

const PAGE = readFileSync(new URL("../../docs/client.md", import.meta.url), "utf8");
const README = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
const examples = (page) => [...page.matchAll(/```js\n([^]*?)```/g)].map(([, code]) => code);
const CODE = examples(PAGE);
const AsyncFunction = (async () => {}).constructor;

/** What stands around the examples: an application, and the client that they import. */
function surroundings() {
  const seen = { rendered: [], posted: [], toasts: [] };
  const rig = new Rig();
  rig.snapshot = {
    cursor: id(1),
    documents: [{ key: "65f0…", document: { _id: "65f0…", done: false, rank: 1 } }],
  };
  const scope = {
    ...client,
    connect: ({ url }) => (new URL(url), rig.bridge),
    bridge: rig.bridge,
    todos: rig.model(),
    render: (data) => seen.rendered.push(data),
    post: async (path, body) => void seen.posted.push([path, body]),
    toast: (text) => seen.toasts.push(text),
    banner: () => {},
    list: () => {},
    fetch: async () => Response.json({ rows: [{ number: 1 }], operationTime: { t: 1, i: 1 } }),
    console: { log: () => {} },
    useModel: () => ({}),
    useMutation: () => ({}),
  };
  return { rig, seen, scope };
}

/** Runs an example; its imports are what the scope has. */
function run(code, scope) {
  const body = code.replaceAll(/^import [^;]*;\n/gm, "");
  const declared = [...body.matchAll(/^(?:const|let|function|class) (\w+)/gm)].map(
    ([, name]) => name,
  );
  const given = Object.keys(scope).filter((name) => !declared.includes(name));
  const result = new AsyncFunction(...given, `${body}; return { ${declared} };`);
  return result(...given.map((name) => scope[name]));
}

/** The same, while streams open and say that they are live. */
async function running(code, { rig, scope }) {
  let done = false;
  const result = run(code, scope).finally(() => {
    done = true;
  });
  for (let turn = 0; turn < 10 && !done; turn++) {
    await pass(30);
    await rig.stream?.live();
  }
  assert.ok(done, `it does not come to its end:\n${code}`);
  return result;
}

test("the page has examples, and each of them runs", async () => {
  assert.ok(CODE.length >= 8);
  for (const code of CODE) await running(code, surroundings());
});

test("every name that an example imports is exported", async () => {
  for (const code of [...CODE, ...examples(README)]) {
    for (const [, names, from] of code.matchAll(/^import \{([^}]*)\} from "([^"]*)"/gm)) {
      const module = await import(from.replace(/^https?:.*\/client\//, "../../bridge/client/"));
      for (const name of names.split(",")) assert.ok(name.trim() in module, `${name} of ${from}`);
    }
  }
});

test("the first example renders the channel's documents, and again when they change", async () => {
  const around = surroundings();
  await running(CODE[0], around);
  await around.rig.connected();
  around.rig.stream.insert(5, "more");
  await pass(10);
  assert.deepEqual(
    around.seen.rendered.at(-1).map(({ _id }) => _id),
    ["65f0…", "more"],
  );
});

test("the second shows a write at once and sends it with its id", async () => {
  const around = surroundings();
  const { todos } = around.scope;
  todos.sync();
  await around.rig.connected();
  await running(CODE[1], around);
  assert.equal(todos.data[0].done, true);
  const [[path, body]] = around.seen.posted;
  assert.deepEqual([path, body.mutationId], ["/todos/65f0…/done", todos.pending[0].mutationId]);
});

test("every option, member and code that the sources have stands on the page", () => {
  const source = (name) =>
    readFileSync(new URL(`../../bridge/client/${name}.js`, import.meta.url), "utf8");
  const block = (text, start) =>
    text.slice(text.indexOf(start)).split("*/")[0].split("@typedef {{")[0];
  const types = source("types");
  const members = (name) => {
    const end = types.indexOf(`}} ${name}`);
    return [
      ...types
        .slice(types.lastIndexOf("@typedef {{", end), end)
        .matchAll(/^ \* {3}(?:readonly )?(\w+)\??:/gm),
    ].map(([, member]) => member);
  };
  const named = [
    "ConnectOptions",
    "ModelSpec",
    "ModelSnapshot",
    "Status",
    "SyncContext",
    "StreamRequest",
  ].flatMap(members);
  const exported = [...source("index").matchAll(/^ {2}(\w+),$|^export \{ (\w+) \}/gm)].map(
    ([, one, other]) => one ?? other,
  );
  const codes = block(source("errors"), '"connection"')
    .match(/"(\w+)"/g)
    .map((code) => code.slice(1, -1));
  assert.ok(named.length > 30 && exported.length > 9 && codes.length > 10);
  for (const name of [...named, ...exported, ...codes]) {
    assert.match(PAGE, new RegExp(`\\b${name}\\b`), name);
  }
});

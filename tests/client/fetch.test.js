// The fetch transport against a real HTTP server, in this Node.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, beforeEach, test } from "node:test";

import { AuthError, HttpError, connect } from "../../bridge/client/index.js";

const TAG = "1f3a9c02";
const id = (n) => `${TAG}-${String(n).padStart(8, "0")}00000001000010`;

let server;
let url;
let requests;
let answer;

before(async () => {
  server = createServer((request, response) => {
    requests.push(request);
    answer(request, response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${server.address().port}/base/`;
});
after(() => server.close());
beforeEach(() => {
  requests = [];
});

function stream(response, ...frames) {
  response.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8" });
  response.write("retry: 1\n\n");
  for (const frame of frames) response.write(framed(frame));
}

const framed = (frame) =>
  `event: ${frame.type === "change" ? "message" : frame.type}\ndata: ${JSON.stringify(frame)}\n\n`;
const READY = { type: "ready", session: "s", heartbeat: 15, channels: ["a"] };
const live = (n) => ({ type: "live", cursor: id(n) });
const change = (n, text = "") => ({
  type: "change",
  id: id(n),
  channel: "a",
  op: "delete",
  key: text,
});

/** Follows channel "a" until a condition on what was told holds. */
function follow(options, until, since) {
  const bridge = connect({ url, retry: () => 1, ...options });
  const told = [];
  return new Promise((resolve) => {
    const note = (what) => {
      told.push(what);
      if (until(told)) {
        bridge.close();
        resolve(told);
      }
    };
    bridge.subscribe(
      "a",
      {
        messages: (messages) => messages.forEach(note),
        live: () => note("live"),
        error: note,
      },
      { since },
    );
  });
}

test("characters that are cut in pieces by the network stay whole", async () => {
  answer = (_request, response) => {
    stream(response, READY, live(1));
    const bytes = Buffer.from(framed(change(2, "grüße 日本 😀")));
    let at = 0;
    const drip = setInterval(() => {
      response.write(bytes.subarray(at, at + 1));
      if (++at >= bytes.length) clearInterval(drip);
    }, 0);
  };
  const told = await follow({}, (all) => all.length === 2);
  assert.equal(told[1].key, "grüße 日本 😀");
});

test("without a token the cursor is in the URL, and nothing needs a preflight", async () => {
  answer = (_request, response) => stream(response, READY, live(9));
  await follow({}, (all) => all.length, id(5));
  const [{ url: path, headers }] = requests;
  assert.equal(path, `/base/sse?channel=a&since=${id(5)}`);
  assert.equal(headers.authorization ?? headers["last-event-id"], undefined);
});

test("with a token the URL stays the same, and the cursor is in a header", async () => {
  let connections = 0;
  answer = (_request, response) => {
    stream(response, READY, live(++connections));
    if (connections < 3) response.end();
  };
  await follow({ token: "T" }, (all) => all.length === 3, id(1));
  assert.deepEqual(
    requests.map((each) => each.url),
    Array(3).fill("/base/sse?channel=a"),
  );
  assert.deepEqual(
    requests.map(({ headers }) => [headers.authorization, headers["last-event-id"]]),
    [
      ["Bearer T", id(1)],
      ["Bearer T", id(1)],
      ["Bearer T", id(2)],
    ],
  );
});

test("a cut, an end, a page that is no stream, and 503: it comes back each time", async () => {
  const turns = [
    (response) => {
      stream(response, READY);
      response.destroy();
    },
    (response) => response.end("<html>captive portal"),
    (response) => {
      response.writeHead(503, { "Retry-After": "0" });
      response.end();
    },
    (response) => {
      stream(response);
      response.end("data: {broken\n\n");
    },
    (response) => stream(response, READY, live(1)),
  ];
  answer = (_request, response) => turns.shift()(response);
  assert.deepEqual(await follow({}, (all) => all.length), ["live"]);
  assert.equal(requests.length, 5);
});

test("a refusal is told with its status, detail and problem", async () => {
  answer = (_request, response) => {
    response.writeHead(404, { "Content-Type": "application/problem+json" });
    response.end(
      JSON.stringify({
        code: "unknown_channel",
        channel: "a",
        detail: "no watcher can produce a channel 'a'",
      }),
    );
  };
  const [error] = await follow({}, (all) => all.length);
  assert.ok(error instanceof HttpError && !(error instanceof AuthError));
  assert.deepEqual(
    [error.status, error.message, error.problem.code],
    [404, "no watcher can produce a channel 'a'", "unknown_channel"],
  );
});

test("closing ends the request", async () => {
  let closed;
  const gone = new Promise((resolve) => {
    closed = resolve;
  });
  answer = (request, response) => {
    request.on("close", closed);
    response.on("close", closed);
    stream(response, READY, live(1));
  };
  await follow({}, (all) => all.length);
  await gone;
});

test("where the answer cannot be read as a stream, EventSource takes over", async () => {
  const opened = [];
  globalThis.EventSource = class extends EventTarget {
    constructor(address) {
      super();
      opened.push(address);
      setTimeout(() => {
        for (const frame of [READY, live(4)]) {
          this.dispatchEvent(Object.assign(new Event(frame.type), { data: JSON.stringify(frame) }));
        }
      });
    }
    close() {}
  };
  const fetch = async () => ({
    ok: true,
    headers: new Headers({ "Content-Type": "text/event-stream" }),
    body: null,
  });
  assert.deepEqual(await follow({ fetch }, (all) => all.length, id(3)), ["live"]);
  assert.deepEqual(opened, [`${url}sse?channel=a&since=${id(3)}`]);
  delete globalThis.EventSource;
});

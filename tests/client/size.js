// What the client weighs, and that it weighs no more than it may.
//
// The core is what a models library is: models with fetching, merges, patches and optimistic writes,
// for whichever connection. The transport is the connection that the bridge needs: streams,
// reconnection, the event stream over fetch. The whole is what a page loads that imports index.js.
// Other transports are loaded when they are chosen. Each is bundled and minified by esbuild, and
// compressed by gzip -9; a kB is 1,000 bytes.

import { gzipSync } from "node:zlib";

import { build } from "esbuild";

const CLIENT = new URL("../../bridge/client/", import.meta.url).pathname;
const CORE = ["model", "collection", "document", "apply", "patch", "retry"];
const TRANSPORT = ["connection", "subscription", "http"];

const all = (names) => names.map((name) => `export * from "./${name}.js";`).join("");

const PARTS = {
  core: { contents: all(CORE), limit: 8.0 },
  transport: { contents: all(TRANSPORT), limit: 6.2 },
  whole: { contents: all(["index"]), limit: 13.5 },
  "by choice: websocket": { contents: all(["websocket"]), limit: 2.0 },
  "by choice: eventsource": { contents: all(["eventsource"]), limit: 2.0 },
};

async function weigh(contents) {
  const stdin = { contents, resolveDir: CLIENT, loader: "js" };
  const external = ["./eventsource.js", "./websocket.js"].filter(
    (name) => !contents.includes(name),
  );
  const { outputFiles } = await build({
    stdin,
    external,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
  });
  const minified = outputFiles[0].contents;
  return [minified.length, gzipSync(minified, { level: 9 }).length].map((bytes) => bytes / 1000);
}

for (const [name, { contents, limit }] of Object.entries(PARTS)) {
  const [minified, gzipped] = await weigh(contents);
  const fits = gzipped <= limit;
  const says = `${minified.toFixed(1)} kB minified, ${gzipped.toFixed(2)} kB gzipped`;
  console.log(`${name}: ${says}, of at most ${limit.toFixed(1)}${fits ? "" : ": TOO MUCH"}`);
  if (!fits) process.exitCode = 1;
}

// What the client weighs, and that it weighs no more than it may.
//
// Counted is what a page loads: all modules that index.js imports statically, in one file, minified
// by esbuild and compressed by gzip -9. `core` is that for a page that imports `connect` alone, and
// no merge functions. Transports that are loaded when they are chosen, and hooks, stand apart.

import { gzipSync } from "node:zlib";

import { build } from "esbuild";

const CLIENT = new URL("../../bridge/client/", import.meta.url).pathname;
const LATER = ["./eventsource.js", "./websocket.js", "react"];
const LIMITS = { core: 8.0, whole: 10.5 };

async function weigh(contents, external = LATER) {
  const stdin = { contents, resolveDir: CLIENT, loader: "js" };
  const options = { bundle: true, minify: true, format: "esm", target: "es2022", write: false };
  const { outputFiles } = await build({ stdin, external, ...options });
  const [{ contents: minified }] = outputFiles;
  return { minified: minified.length / 1000, gzip: gzipSync(minified, { level: 9 }).length / 1000 };
}

const parts = {
  core: await weigh('export { connect } from "./index.js"'),
  "with collection()": await weigh('export { connect, collection } from "./index.js"'),
  whole: await weigh('export * from "./index.js"'),
  "whole, with every transport": await weigh('export * from "./index.js"; export * from "./websocket.js"; export * from "./eventsource.js"', ["react"]),
};
for (const [name, { minified, gzip }] of Object.entries(parts)) {
  const limit = LIMITS[name] ? ` of at most ${LIMITS[name].toFixed(1)}` : "";
  console.log(`${name}: ${minified.toFixed(1)} kB minified, ${gzip.toFixed(1)} kB gzipped${limit}`);
}
const heavy = Object.entries(LIMITS).filter(([name, limit]) => parts[name].gzip > limit);
if (heavy.length) {
  console.error(`too large: ${heavy.map(([name]) => name)}`);
  process.exitCode = 1;
}

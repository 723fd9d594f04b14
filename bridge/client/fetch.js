// Server-sent events over a fetch that streams: with headers, and with the reason of a refusal.

import { BridgeError, passing } from "./errors.js";
import { bearer, failure, streamQuery, unreachable } from "./http.js";
import { SseParser } from "./sse.js";

/** @import { Stream, StreamRequest, StreamSink, Transport } from "./types.js" */

/** @type {Transport} */
export function fetchStream(request, sink) {
  const controller = new AbortController();
  let close = () => controller.abort();
  read(request, sink, controller.signal, (inner) => {
    close = inner.close;
  }).then(
    () => sink.close(),
    (error) => sink.close(error instanceof BridgeError ? error : unreachable(error)),
  );
  return { close: () => close() };
}

/**
 * @param {StreamRequest} request
 * @param {StreamSink} sink
 * @param {AbortSignal} signal
 * @param {(stream: Stream) => void} instead
 */
async function read(request, sink, signal, instead) {
  const response = await request.fetch(...call(request, signal));
  if (!response.ok) throw await failure(response);
  if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
    throw passing("protocol", "the answer is no event stream");
  }
  if (!response.body?.getReader) {
    const { eventSource } = await import("./eventsource.js");
    await new Promise((resolve, reject) => {
      const close = (/** @type {any} */ error) => (error ? reject(error) : resolve(undefined));
      instead(eventSource()(request, { ...sink, close }));
    });
    return;
  }
  await pump(response.body.getReader(), sink);
}

/**
 * With a token the cursor goes into a header too: the URL stays the same from one reconnection to
 * the next, and so does what the browser's preflight allowed for it.
 * @param {StreamRequest} request
 * @param {AbortSignal} signal
 * @returns {[string, RequestInit]}
 */
function call(request, signal) {
  const { url, since, token, credentials } = request;
  /** @type {Record<string, string>} */
  const headers = { Accept: "text/event-stream", ...bearer(token) };
  if (token && since) headers["Last-Event-ID"] = since;
  const query = streamQuery(request, { since: token ? undefined : since });
  return [`${url}/sse?${query}`, { headers, signal, credentials, cache: "no-store" }];
}

/**
 * @param {ReadableStreamDefaultReader<Uint8Array>} reader
 * @param {StreamSink} sink
 */
async function pump(reader, sink) {
  const decoder = new TextDecoder();
  const parser = new SseParser({
    event: (_type, data) => sink.frame(parsed(data)),
    retry: sink.retry,
  });
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    sink.alive();
    parser.feed(decoder.decode(value, { stream: true }));
  }
}

/** A frame from its text. @param {string} data @returns {any} @throws {BridgeError} `protocol` */
export function parsed(data) {
  try {
    return JSON.parse(data);
  } catch (cause) {
    throw passing("protocol", "a frame is no JSON", cause);
  }
}

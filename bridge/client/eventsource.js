// Server-sent events through the platform's EventSource, where fetch cannot stream.

import { invalid } from "./errors.js";
import { parsed } from "./fetch.js";
import { bearer, failure, streamQuery, unreachable } from "./http.js";

/** @import { StreamRequest, StreamSink, Transport } from "./types.js" */

const NAMES = ["message", "ready", "live", "resync", "heartbeat", "bye"];

/**
 * A transport. EventSource sends no headers, so a token is changed for a ticket first. It is closed
 * at its first error and opened anew, with the cursor in the URL: what it does by itself forgets
 * the cursor when it gives up, and does not tell why.
 * @param {typeof EventSource} [Source] the global one
 * @returns {Transport}
 * @throws {BridgeError} `invalid_argument`
 */
export function eventSource(Source = globalThis.EventSource) {
  if (!Source) throw invalid("there is no EventSource here: give one to eventSource()");
  return (request, sink) => {
    /** @type {EventSource | undefined} */
    let source;
    const controller = new AbortController();
    address(request, controller.signal)
      .then((url) => {
        if (controller.signal.aborted) return;
        source = new Source(url, { withCredentials: request.credentials === "include" });
        listen(source, sink, () => whyClosed(request, url, controller.signal));
      })
      .catch(sink.close);
    return {
      close() {
        controller.abort();
        source?.close();
      },
    };
  };
}

/** @param {EventSource} source @param {StreamSink} sink @param {() => Promise<any>} why */
function listen(source, sink, why) {
  for (const name of NAMES) {
    source.addEventListener(name, ({ data }) => {
      sink.alive();
      try {
        sink.frame(parsed(data));
      } catch (/** @type {any} */ error) {
        source.close();
        sink.close(error);
      }
    });
  }
  let opened = false;
  source.onopen = () => {
    opened = true;
  };
  source.onerror = () => {
    source.close();
    if (opened) sink.close();
    else why().then(sink.close, sink.close);
  };
}

/** @param {StreamRequest} request @param {AbortSignal} signal */
async function address(request, signal) {
  const token = request.token && (await ticket(request, request.token, signal));
  return `${request.url}/sse?${streamQuery(request, { since: request.since, access_token: token })}`;
}

/**
 * A token for the URL: a ticket, or the token itself where the bridge signs none (404).
 * @param {StreamRequest} request @param {string} token @param {AbortSignal} signal
 */
async function ticket({ url, fetch, credentials }, token, signal) {
  const response = await reach(() =>
    fetch(`${url}/tickets`, { method: "POST", headers: bearer(token), credentials, signal }),
  );
  if (response.status === 404) return token;
  if (!response.ok) throw await failure(response);
  return (await response.json()).ticket;
}

/** EventSource hides the status of a refusal: the same request shows it. @param {StreamRequest} request @param {string} url @param {AbortSignal} signal */
async function whyClosed({ fetch, credentials }, url, signal) {
  const ended = new AbortController();
  signal.addEventListener("abort", () => ended.abort());
  const response = await reach(() =>
    fetch(url, { credentials, signal: ended.signal, cache: "no-store" }),
  );
  if (!response.ok) throw await failure(response);
  ended.abort();
  return unreachable();
}

/** @param {() => Promise<Response>} ask */
async function reach(ask) {
  try {
    return await ask();
  } catch (cause) {
    throw unreachable(cause);
  }
}

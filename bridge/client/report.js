// Exceptions of the application's own listeners: reported, never in the way of others.

/** Shows an exception as the platform shows those that nobody catches. @param {unknown} error */
export function report(error) {
  if (typeof globalThis.reportError === "function") globalThis.reportError(error);
  else console.error(error);
}

/**
 * The same listeners, whose exceptions are reported.
 * @template {object} L
 * @param {L} listeners
 * @returns {L}
 */
export function guarded(listeners) {
  return /** @type {L} */ (
    Object.fromEntries(
      Object.entries(listeners).map(([name, listener]) => [
        name,
        (/** @type {any[]} */ ...told) => call(() => listener.apply(listeners, told)),
      ]),
    )
  );
}

/** @param {() => void} listener */
export function call(listener) {
  try {
    listener();
  } catch (error) {
    report(error);
  }
}

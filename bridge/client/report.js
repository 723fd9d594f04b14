// Exceptions of the application's own listeners: reported, never in the way of others.

/** Shows an exception as the platform shows those that nobody catches. @param {unknown} error */
export function report(error) {
  if (typeof globalThis.reportError === "function") globalThis.reportError(error);
  else console.error(error);
}

/** @param {() => void} listener */
export function call(listener) {
  try {
    listener();
  } catch (error) {
    report(error);
  }
}

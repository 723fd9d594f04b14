// The page around the client: seen or hidden, with or without a network, kept or frozen.

/**
 * Watches the page, where there is one. `wake`: something may have changed for the better. `leave`:
 * the page goes, perhaps to come back from the back/forward cache. `hidden`: whether it is seen.
 * @param {{ wake: () => void, leave: () => void, hidden: (hidden: boolean) => void }} to
 * @returns {() => void} ends it
 */
export function watchPage({ wake, leave, hidden }) {
  const page = globalThis.document;
  if (!page || !globalThis.addEventListener) return () => {};
  const seen = () => {
    hidden(page.visibilityState === "hidden");
    if (page.visibilityState !== "hidden") wake();
  };
  /** @type {[EventTarget, string, () => void][]} */
  const watched = [
    [globalThis, "online", wake],
    [globalThis, "pageshow", wake],
    [globalThis, "pagehide", leave],
    [page, "visibilitychange", seen],
    [page, "resume", wake],
  ];
  for (const [target, type, listener] of watched) target.addEventListener(type, listener);
  return () => {
    for (const [target, type, listener] of watched) target.removeEventListener(type, listener);
  };
}

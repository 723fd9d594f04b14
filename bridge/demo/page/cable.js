// A network cable that can be pulled: a fetch whose streams break, as they do in a tunnel.

export class Cable {
  #cut = new AbortController();

  /**
   * Like the global one, but it fails while the cable is pulled, and so do answers under way.
   * @type {typeof fetch}
   */
  fetch = async (input, init = {}) => {
    const signals = init.signal ? [init.signal, this.#cut.signal] : [this.#cut.signal];
    return fetch(input, { ...init, signal: AbortSignal.any(signals) });
  };

  get pulled() {
    return this.#cut.signal.aborted;
  }

  pull() {
    this.#cut.abort(new TypeError("The network cable is pulled"));
  }

  plug() {
    if (this.pulled) this.#cut = new AbortController();
  }
}

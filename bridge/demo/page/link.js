// One EventSource that is closed and opened again, and always goes on where it stopped.

const RETRY = 2000;

/**
 * Follows channels. `on` is told what happens:
 *   state(name)        connecting | replaying | live | offline
 *   message(message, { replayed, missed })   missed: how many were replayed so far
 *   live({ missed, milliseconds })
 *   resync(event), cursor(text), bye(event)
 */
export class Link {
  #channels;
  #on;
  #source = null;
  #timer = 0;
  #missed = 0;
  #opened = 0;

  constructor(channels, on) {
    this.#channels = channels;
    this.#on = on;
    this.cursor = "";
    this.session = "";
    this.state = "offline";
  }

  /** Opens a connection that goes on after the cursor. */
  open(cursor = this.cursor) {
    this.close("connecting");
    this.cursor = cursor;
    const query = new URLSearchParams(this.#channels.map((name) => ["channel", name]));
    query.append("since", cursor);
    this.#source = new EventSource(`sse?${query}`);
    this.#listen(this.#source);
  }

  /** Closes the connection for good, until `open`. */
  close(state = "offline") {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
    this.session = "";
    this.#become(state);
  }

  /** Closes the connection and forgets the cursor: the next `open` has to bring one. */
  forget() {
    this.close("connecting");
    this.cursor = "";
  }

  #listen(source) {
    const handlers = {
      ready: (data) => this.#ready(data),
      live: () => this.#live(),
      resync: (data) => this.#on.resync(data),
      bye: (data) => this.#bye(data),
      heartbeat: () => {},
      message: (data) => this.#message(data),
    };
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => {
        if (source !== this.#source) return;
        this.#moveOn(event.lastEventId);
        handle(JSON.parse(event.data));
      });
    }
    source.addEventListener("error", () => {
      if (source === this.#source) this.#lost();
    });
  }

  // EventSource comes back by itself with Last-Event-ID, except after an answer other than 200.
  #lost() {
    this.session = "";
    if (this.#source.readyState === EventSource.CLOSED) {
      this.#timer = setTimeout(() => this.open(), RETRY);
    }
    this.#become("connecting");
  }

  #ready(data) {
    this.session = data.session;
    this.#missed = 0;
    this.#opened = performance.now();
    this.#become("replaying");
  }

  #message(message) {
    const replayed = this.state === "replaying";
    if (replayed) this.#missed += 1;
    this.#on.message(message, { replayed, missed: this.#missed });
  }

  #live() {
    this.#become("live");
    this.#on.live({ missed: this.#missed, milliseconds: performance.now() - this.#opened });
  }

  #bye(data) {
    this.#on.bye(data);
    if (!data.reconnect) this.close();
  }

  #moveOn(cursor) {
    if (!cursor || cursor === this.cursor) return;
    this.cursor = cursor;
    this.#on.cursor(cursor);
  }

  #become(state) {
    if (state === this.state) return;
    this.state = state;
    this.#on.state(state);
  }
}

// A bridge: its connection, and one model for each channel.

import { Connection } from "./connection.js";
import { BridgeError, invalid } from "./errors.js";
import { Http } from "./http.js";
import { Model } from "./model.js";
import { Subscription } from "./subscription.js";

/** @import { ConnectOptions, Cursor, Listener, ModelSpec, Snapshot, Status, Timestamp } from "./types.js" */

/**
 * What a model needs of its bridge.
 * @typedef {{
 *   freeze: boolean,
 *   follow: (spec: ModelSpec<any>, since: string | undefined, listener: Listener) => Subscription,
 *   snapshot: (channel: string, signal: AbortSignal) => Promise<Snapshot>,
 *   forget: (model: Model<any>) => void,
 * }} Owner
 */

export class Bridge {
  #connection;
  #http;
  #freeze;
  /** @type {Map<string, Model<any>>} */
  #models = new Map();

  /** @param {ConnectOptions} options */
  constructor(options) {
    if (!options?.url) throw invalid("connect: url is required");
    this.#http = new Http(options);
    this.#connection = new Connection(options, this.#http, ({ mutationId = "", data }) => {
      for (const model of this.#models.values()) model.reject(mutationId, data);
    });
    this.#freeze = options.freeze ?? false;
    this.onStatus = this.onStatus.bind(this);
  }

  /** How the connection is, the same object until it changes. */
  get status() {
    return this.#connection.status;
  }

  /** @param {(status: Status) => void} listener @returns {() => void} ends it */
  onStatus(listener) {
    return this.#connection.onStatus(listener);
  }

  /**
   * The model of a channel; a second call gives the same one, whatever its spec, until it is
   * disposed. Making one asks for nothing.
   * @template T
   * @param {ModelSpec<T>} spec
   * @returns {Model<T>}
   * @throws {BridgeError} `invalid_argument`
   */
  model(spec) {
    this.#open();
    check(spec);
    const known = this.#models.get(spec.channel);
    if (known) return known;
    const model = new Model(
      {
        freeze: this.#freeze,
        follow: ({ channel, buffer }, since, listener) =>
          new Subscription(this.#connection, channel, listener, since, buffer),
        snapshot: (channel, signal) =>
          this.#http
            .get(`/channels/${encodeURIComponent(channel)}/snapshot`, signal)
            .catch((error) => {
              this.#connection.unanswered(error);
              throw error;
            }),
        forget: (/** @type {Model<any>} */ gone) => this.#models.delete(gone.channel),
      },
      spec,
    );
    this.#models.set(spec.channel, model);
    return model;
  }

  /**
   * The messages of a channel, without a state.
   * @param {string} channel
   * @param {Listener} listener
   * @param {{ since?: Cursor | Timestamp }} [options] from
   *   now, where it is left out
   * @returns {Subscription}
   * @throws {BridgeError} `invalid_argument`
   */
  subscribe(channel, listener, { since } = {}) {
    this.#open();
    if (typeof channel !== "string" || !channel) throw needsChannel();
    return new Subscription(this.#connection, channel, listener, since);
  }

  /** Lets the connection go until `resume`; models keep their state. */
  pause() {
    this.#connection.pause();
  }

  /** Goes on now: after `pause`, in place of a wait, and after an error. */
  resume() {
    this.#open();
    this.#connection.resume();
    for (const model of this.#models.values()) {
      if (model.state === "errored") model.sync().catch(() => {});
    }
  }

  /** Ends it for good; its models are disposed. */
  close() {
    for (const model of [...this.#models.values()]) model.dispose();
    this.#connection.close();
  }

  #open() {
    if (this.status.state === "closed") {
      throw new BridgeError("disposed", "the bridge was closed; connect again");
    }
  }
}

/** @param {ModelSpec<any>} spec @throws {BridgeError} `invalid_argument` */
function check(spec) {
  if (typeof spec?.channel !== "string" || !spec.channel) throw needsChannel();
  if (typeof spec.merge !== "function") {
    throw invalid("merge is required: collection(), document() or a function");
  }
  if (spec.sync !== undefined && typeof spec.sync !== "function") {
    throw invalid("sync: expected a function");
  }
  if (!spec.sync && !("state" in spec.merge)) {
    throw invalid("sync: required with an own merge");
  }
}

const needsChannel = () => invalid("channel: expected a name");

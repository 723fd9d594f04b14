// Those who follow channels on one connection.

import { compose } from "./cursor.js";

/** @import { Link } from "./link.js" */
/** @import { Subscription } from "./subscription.js" */
/** @import { ChannelRequest } from "./types.js" */

export class Followers {
  /** @type {Set<Subscription>} */
  #all = new Set();

  get size() {
    return this.#all.size;
  }

  /** A list of its own: telling one can change who follows. */
  get all() {
    return [...this.#all];
  }

  /** @param {Subscription} subscription */
  add(subscription) {
    this.#all.add(subscription);
  }

  /** @param {Subscription} subscription */
  has(subscription) {
    return this.#all.has(subscription);
  }

  /** Whether it was there. @param {Subscription} subscription */
  delete(subscription) {
    return this.#all.delete(subscription);
  }

  clear() {
    this.#all.clear();
  }

  /** Those of some channels that count the frames of a stream. @param {Link} link @param {Iterable<string>} channels */
  hearing(link, channels) {
    const names = new Set(channels);
    return this.all.filter(({ channel, serial }) => names.has(channel) && serial <= link.serial);
  }

  /** Those of one channel. @param {string} channel */
  of(channel) {
    return this.all.filter((each) => each.channel === channel);
  }

  /** What a new stream is to be asked for. @param {Link} link */
  request(link) {
    const due = this.all.filter(({ serial }) => serial <= link.serial);
    return { channels: channelsOf(due), since: compose(due.flatMap(({ parts }) => parts ?? [])) };
  }

  /**
   * What an open stream is to be asked for beside what it has, and what it need not have; from now
   * on its frames count for all.
   * @param {Link} link
   */
  change(link) {
    const due = new Set(this.all.filter(({ serial }) => serial > link.serial).map(nameOf));
    const wanted = new Set(this.all.map(nameOf));
    const asked = this.all.filter(({ channel }) => due.has(channel));
    for (const each of asked) each.serial = link.serial;
    const remove = [...link.channels].filter((name) => !wanted.has(name) || due.has(name));
    return { add: channelsOf(asked), remove };
  }
}

/** @param {{ channel: string }} follower */
const nameOf = ({ channel }) => channel;

/**
 * Each channel once, with the cursor that misses nothing for any who follow it.
 * @param {readonly Subscription[]} followers
 * @returns {ChannelRequest[]}
 */
function channelsOf(followers) {
  return [...new Set(followers.map(nameOf))].map((channel) => {
    const own = followers.filter((each) => each.channel === channel);
    return { channel, since: compose(own.flatMap(({ parts }) => parts ?? [])) };
  });
}

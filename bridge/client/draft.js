// A document that is being changed: what lies on the way is copied, the rest is shared.

/** Segments that would reach a prototype instead of the document. */
const FORBIDDEN = "__proto__";
const INDEX = /^(?:0|[1-9]\d{0,8})$/;

/** The index that a segment stands for, or -1. @param {string} segment */
export const indexOf = (segment) => (INDEX.test(segment) ? Number(segment) : -1);

/** @param {any} holder @param {string} segment whether the object or array has that member */
export function has(holder, segment) {
  if (Array.isArray(holder)) {
    const at = indexOf(segment);
    return at >= 0 && at < holder.length;
  }
  return Object.hasOwn(holder, segment);
}

/** Whether it is an object or an array. @param {any} value @returns {value is any} */
export const isContainer = (value) => typeof value === "object" && value !== null;

export class Draft {
  /**
   * @param {any} root never changed itself
   * @param {boolean} several whether more than one change is to come: copies are made once
   */
  constructor(root, several) {
    this.root = root;
    /** @type {Set<object> | undefined} */
    this.owned = several ? new Set() : undefined;
  }

  /**
   * The container of a path's last segment, free to be changed; undefined where there is none.
   * @param {readonly string[]} path
   * @param {number} [from] the first segment that counts
   */
  holder(path, from = 0) {
    const last = path.length - 1;
    if (!isContainer(this.root) || path[last] === FORBIDDEN) return undefined;
    let holder = (this.root = this.own(this.root));
    for (let at = from; at < last; at++) {
      const segment = path[at];
      if (segment === FORBIDDEN || !has(holder, segment)) return undefined;
      const inner = holder[segment];
      if (!isContainer(inner)) return undefined;
      holder = holder[segment] = this.own(inner);
    }
    return holder;
  }

  /** A container's copy, or itself where it is one already. @param {any} container */
  own(container) {
    if (this.owned?.has(container)) return container;
    const copy = Array.isArray(container) ? container.slice() : { ...container };
    this.owned?.add(copy);
    return copy;
  }

  /** Something now stands in two places: nothing may be changed without a copy. */
  share() {
    this.owned?.clear();
  }
}

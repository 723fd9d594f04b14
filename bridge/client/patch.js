// JSON Patch (RFC 6902): strict, atomic, by copying only what changes.

import { Draft, has, indexOf, isContainer } from "./draft.js";
import { PatchError } from "./errors.js";

/** @import { Operation } from "./types.js" */

/**
 * The document after a patch; the one before is not changed, and what the patch does not touch is
 * the same object in both.
 * @template T
 * @param {T} document
 * @param {readonly Operation[]} patch
 * @returns {T}
 * @throws {PatchError} where an operation is none, does not fit, or would reach `__proto__`
 */
export function applyPatch(document, patch) {
  if (!Array.isArray(patch)) throw failure(-1, patch, "a patch is an array");
  const draft = new Draft(document, patch.length > 1);
  for (let index = 0; index < patch.length; index++) {
    const operation = patch[index];
    const wrong = apply(draft, operation);
    if (wrong) throw failure(index, operation, wrong);
  }
  return draft.root;
}

/** @param {number} index @param {any} operation @param {string} wrong */
function failure(index, operation, wrong) {
  const what = `${operation?.op} ${operation?.path}`;
  return new PatchError(`operation ${index}, ${what}: ${wrong}`, { index, operation });
}

/** @typedef {string | undefined | false} Wrong what is wrong, if anything */

const MISSING = "there is nothing";
const NO_POINTER = "not a JSON Pointer";

/** @param {Draft} draft @param {any} operation @returns {Wrong} */
function apply(draft, operation) {
  const path = parse(operation?.path);
  if (!path) return NO_POINTER;
  switch (operation.op) {
    case "add":
      return needsValue(operation) || add(draft, path, operation.value);
    case "replace":
      return needsValue(operation) || replace(draft, path, operation.value);
    case "remove":
      return remove(draft, path);
    case "test":
      return needsValue(operation) || test(draft, path, operation.value);
    case "move":
    case "copy":
      return transfer(draft, operation, path);
    default:
      return "no such operation";
  }
}

/** @param {object} operation @returns {Wrong} */
const needsValue = (operation) => !Object.hasOwn(operation, "value") && "value is missing";

/**
 * A pointer's segments; the first is always empty, and alone the whole document.
 * @param {unknown} pointer
 */
function parse(pointer) {
  if (typeof pointer !== "string" || (pointer !== "" && pointer[0] !== "/")) return undefined;
  const path = pointer.split("/");
  if (!pointer.includes("~")) return path;
  if (/~(?![01])/.test(pointer)) return undefined;
  return path.map((segment) => segment.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** @param {Draft} draft @param {string[]} path @param {any} value @returns {Wrong} */
function add(draft, path, value) {
  if (path.length === 1) {
    draft.root = value;
    return undefined;
  }
  const holder = draft.holder(path, 1);
  if (!holder) return MISSING;
  const segment = path[path.length - 1];
  if (!Array.isArray(holder)) {
    holder[segment] = value;
    return undefined;
  }
  const at = segment === "-" ? holder.length : indexOf(segment);
  if (at < 0 || at > holder.length) return "no such index";
  if (at === holder.length) holder.push(value);
  else holder.splice(at, 0, value);
  return undefined;
}

/** @param {Draft} draft @param {string[]} path @param {any} value @returns {Wrong} */
function replace(draft, path, value) {
  if (path.length === 1) {
    draft.root = value;
    return undefined;
  }
  const holder = draft.holder(path, 1);
  const segment = path[path.length - 1];
  if (!holder || !has(holder, segment)) return MISSING;
  holder[segment] = value;
  return undefined;
}

/** @param {Draft} draft @param {string[]} path @returns {Wrong} */
function remove(draft, path) {
  if (path.length === 1) return "the whole document";
  const holder = draft.holder(path, 1);
  const segment = path[path.length - 1];
  if (!holder || !has(holder, segment)) return MISSING;
  if (Array.isArray(holder)) holder.splice(Number(segment), 1);
  else delete holder[segment];
  return undefined;
}

/** @param {Draft} draft @param {string[]} path @param {any} value @returns {Wrong} */
function test(draft, path, value) {
  const found = read(draft.root, path);
  return found ? !same(found[0], value) && "another value" : MISSING;
}

/** @param {Draft} draft @param {any} operation @param {string[]} path @returns {Wrong} */
function transfer(draft, operation, path) {
  const from = parse(operation.from);
  if (!from) return NO_POINTER;
  const found = read(draft.root, from);
  if (!found) return MISSING;
  if (operation.op === "copy") {
    draft.share();
    return add(draft, path, found[0]);
  }
  if (operation.from === operation.path) return undefined;
  if (operation.path.startsWith(`${operation.from}/`)) return "into itself";
  return remove(draft, from) || add(draft, path, found[0]);
}

/** What stands at a path, in an array of one; undefined where nothing does. @param {any} value @param {string[]} path */
function read(value, path) {
  for (let at = 1; at < path.length; at++) {
    const segment = path[at];
    if (!isContainer(value) || segment === "__proto__" || !has(value, segment)) return undefined;
    value = value[segment];
  }
  return [value];
}

/** Whether two JSON values are equal; the order of members is free. @param {any} one @param {any} other @returns {boolean} */
function same(one, other) {
  if (one === other) return true;
  if (!isContainer(one) || !isContainer(other) || Array.isArray(one) !== Array.isArray(other)) {
    return false;
  }
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length &&
    names.every((name) => Object.hasOwn(other, name) && same(one[name], other[name]))
  );
}

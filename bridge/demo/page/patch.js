// JSON Patch (RFC 6902), strict and atomic: either every operation fits or nothing changes.

const has = Object.hasOwn;

/** A patch that does not fit the document it is meant for. */
export class PatchError extends Error {}

/**
 * The document after a patch. The given one is not changed; what the patch does not touch is
 * shared between the two.
 *
 * @throws {PatchError} where an operation is malformed, does not fit, or a test fails
 */
export function applyPatch(document, patch) {
  if (!Array.isArray(patch)) throw new PatchError("a patch is an array of operations");
  return patch.reduce(applyOperation, document);
}

function applyOperation(document, operation) {
  const path = parsePointer(operation?.path);
  switch (operation.op) {
    case "add":
      return add(document, path, valueOf(operation));
    case "remove":
      return remove(document, path);
    case "replace":
      find(document, path);
      return put(document, path, valueOf(operation));
    case "move":
      return move(document, parsePointer(operation.from), path);
    case "copy":
      return add(document, path, structuredClone(find(document, parsePointer(operation.from))));
    case "test":
      if (equal(find(document, path), valueOf(operation))) return document;
      throw new PatchError(`the test of ${operation.path} failed`);
    default:
      throw new PatchError(`${JSON.stringify(operation.op)} is no operation`);
  }
}

function valueOf(operation) {
  if (!has(operation, "value")) throw new PatchError(`${operation.op} needs a value`);
  return operation.value;
}

/** The segments of a JSON Pointer (RFC 6901). */
function parsePointer(pointer) {
  if (typeof pointer !== "string" || (pointer !== "" && !pointer.startsWith("/"))) {
    throw new PatchError(`${JSON.stringify(pointer)} is no JSON Pointer`);
  }
  if (/~(?![01])/.test(pointer)) throw new PatchError(`${pointer}: ~ stands before 0 or 1`);
  const segments = pointer.split("/").slice(1);
  return segments.map((segment) => {
    const name = segment.replaceAll("~1", "/").replaceAll("~0", "~");
    if (name === "__proto__") throw new PatchError("__proto__ is refused");
    return name;
  });
}

function indexIn(array, segment, last) {
  const index = /^(0|[1-9][0-9]*)$/.test(segment) ? Number(segment) : NaN;
  if (!(index <= last)) throw new PatchError(`${segment} is no index into ${array.length} elements`);
  return index;
}

function child(container, segment) {
  if (Array.isArray(container)) {
    return container[indexIn(container, segment, container.length - 1)];
  }
  if (container !== null && typeof container === "object" && has(container, segment)) {
    return container[segment];
  }
  throw new PatchError(`there is nothing at ${segment}`);
}

const find = (document, path) => path.reduce(child, document);

/** A copy along the path, in which `change` has had its way with the last container. */
function along(document, path, change) {
  const [segment, ...rest] = path;
  if (document === null || typeof document !== "object") {
    throw new PatchError(`${segment} is inside something that has no members`);
  }
  const copy = Array.isArray(document) ? [...document] : { ...document };
  if (rest.length === 0) {
    change(copy, segment);
    return copy;
  }
  const inside = along(child(document, segment), rest, change);
  copy[segment] = inside;
  return copy;
}

function add(document, path, value) {
  if (path.length === 0) return value;
  return along(document, path, (container, segment) => {
    if (!Array.isArray(container)) container[segment] = value;
    else if (segment === "-") container.push(value);
    else container.splice(indexIn(container, segment, container.length), 0, value);
  });
}

function put(document, path, value) {
  if (path.length === 0) return value;
  return along(document, path, (container, segment) => {
    container[segment] = value;
  });
}

function remove(document, path) {
  if (path.length === 0) throw new PatchError("the whole document cannot be removed");
  find(document, path);
  return along(document, path, (container, segment) => {
    if (Array.isArray(container)) container.splice(Number(segment), 1);
    else delete container[segment];
  });
}

function move(document, from, path) {
  const inside = path.length > from.length && from.every((name, index) => name === path[index]);
  if (inside) throw new PatchError("nothing can move into itself");
  const value = find(document, from);
  if (from.length === 0) return value;
  return add(remove(document, from), path, value);
}

function equal(one, other) {
  if (one === other) return true;
  if (one === null || other === null) return false;
  if (typeof one !== "object" || typeof other !== "object") return false;
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length &&
    names.every((name) => has(other, name) && equal(one[name], other[name]))
  );
}

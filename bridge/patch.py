"""JSON Patch (RFC 6902): what turns a document's JSON before a change into that after it."""

from typing import Any, TypeAlias

import jsonpatch

from bridge.delta import ABSENT, Delta, Path, container, difference, index, member, same
from bridge.documents import Flavor, dumps, to_json
from bridge.events import Document

Operation: TypeAlias = dict[str, Any]

LONGEST_RUN = 1000
"""Elements that an update may remove from, or pad onto, the end of one array in a patch."""

LARGEST_COMPARED = 32_768
"""Bytes of JSON in two images above which arrays are not compared element by element."""

_FAILURES = (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, LookupError, TypeError)


def from_delta(delta: Delta, before: Document) -> list[Operation] | None:
    """The patch for a delta, its values still BSON values, to be written by ``dumps``.

    None where the delta does not fit the pre-image, or moves the end of an array by more
    than ``LONGEST_RUN`` elements.
    """
    operations: list[Operation] = []
    lengths: dict[Path, int] = {}
    for path, size in delta.truncate:
        if not _truncate(operations, path, size, before, lengths):
            return None
    for path in delta.unset:
        if not _unset(operations, path, before):
            return None
    for path, value in delta.set:
        holder = container(before, path)
        if type(holder) is dict:
            op = "replace" if path[-1] in holder else "add"
            operations.append({"op": op, "path": pointer(path), "value": value})
        elif not _set_element(operations, path, value, holder, lengths):
            return None
    return operations


def from_images(
    before: Document, after: Document, flavor: Flavor, *, moves: bool = True
) -> list[Operation]:
    """The patch between two images, its values to be written by ``dumps`` in the same flavor.

    Follows elements through arrays, except in images of more than ``LARGEST_COMPARED`` bytes
    together: there an array that changed is replaced as a whole. Without ``moves``, what
    moves is removed and added, so that each operation says its own value.
    """
    if len(dumps(before, flavor)) + len(dumps(after, flavor)) > LARGEST_COMPARED:
        operations = from_delta(difference(before, after), before)
    else:
        source, target = to_json(before, flavor), to_json(after, flavor)
        operations = _compared(source, target)
        if operations is not None and not moves:
            operations = _without_moves(operations, source)
    if operations is None:
        return [{"op": "replace", "path": "", "value": after}]
    return operations


def _compared(source: Document, target: Document) -> list[Operation] | None:
    try:
        operations: list[Operation] = jsonpatch.make_patch(source, target).patch
        exact = same(jsonpatch.apply_patch(source, operations), target)
    except _FAILURES:
        return None  # some versions stumble over the key "-" and over keys that look like indexes
    return operations if exact else None


def _without_moves(operations: list[Operation], document: Document) -> list[Operation]:
    """The same patch, with each ``move`` as a ``remove`` and an ``add``."""
    told: list[Operation] = []
    for operation in operations:
        if operation["op"] == "move":
            value = jsonpatch.JsonPointer(operation["from"]).resolve(document)
            told.append({"op": "remove", "path": operation["from"]})
            told.append({"op": "add", "path": operation["path"], "value": value})
        else:
            told.append(operation)
        document = jsonpatch.apply_patch(document, [operation])
    return told


def pointer(path: Path) -> str:
    """The JSON Pointer (RFC 6901) of a path."""
    joined = "/".join(path)
    if "~" not in joined and joined.count("/") == len(path) - 1:
        return "/" + joined
    return "".join("/" + segment.replace("~", "~0").replace("/", "~1") for segment in path)


def _truncate(
    operations: list[Operation], path: Path, size: int, before: Document, lengths: dict[Path, int]
) -> bool:
    array = member(container(before, path), path[-1])
    if type(array) is not list or not 0 <= len(array) - size <= LONGEST_RUN:
        return False
    lengths[path] = size
    stem = pointer(path)
    operations += (
        {"op": "remove", "path": f"{stem}/{at}"} for at in reversed(range(size, len(array)))
    )
    return True


def _unset(operations: list[Operation], path: Path, before: Document) -> bool:
    holder = container(before, path)
    if member(holder, path[-1]) is ABSENT:
        return False
    if type(holder) is dict:
        operations.append({"op": "remove", "path": pointer(path)})
    else:
        operations.append({"op": "replace", "path": pointer(path), "value": None})
    return True


def _set_element(
    operations: list[Operation], path: Path, value: Any, array: Any, lengths: dict[Path, int]
) -> bool:
    at = index(path[-1]) if type(array) is list else None
    if at is None:
        return False
    length = lengths.get(path[:-1], len(array))
    if at < length:
        operations.append({"op": "replace", "path": pointer(path), "value": value})
        return True
    if at - length > LONGEST_RUN:
        return False
    stem = pointer(path[:-1])
    operations += (
        {"op": "add", "path": f"{stem}/{gap}", "value": None} for gap in range(length, at)
    )
    operations.append({"op": "add", "path": f"{stem}/{at}", "value": value})
    lengths[path[:-1]] = at + 1
    return True

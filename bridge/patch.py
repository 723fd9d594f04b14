"""JSON Patch (RFC 6902): what turns a document's JSON before a change into that after it."""

from typing import Any, TypeAlias

import jsonpatch

from bridge.delta import ABSENT, Delta, Path, container, index, member, same
from bridge.documents import Flavor, to_json
from bridge.events import Document

Operation: TypeAlias = dict[str, Any]

LONGEST_RUN = 1000
"""Elements that an update may remove from, or pad onto, the end of one array in a patch."""

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


def from_images(before: Document, after: Document, flavor: Flavor) -> list[Operation]:
    """The patch between the JSON of two images; replaces the root where nothing less is exact."""
    source, target = to_json(before, flavor), to_json(after, flavor)
    try:
        operations: list[Operation] = jsonpatch.make_patch(source, target).patch
        if same(jsonpatch.apply_patch(source, operations), target):
            return operations
    except _FAILURES:
        pass  # some versions stumble over keys that look like indexes
    return [{"op": "replace", "path": "", "value": target}]


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

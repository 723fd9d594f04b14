"""What an update did to a document: the places it set, unset and truncated.

The delta of ``docs/protocol.md``, "Message", its values still as BSON has them. Applied in
the order truncate, unset, set: setting past the end of an array pads it with null, and
unsetting an element leaves null.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import bson
from bson import Code, DBRef

from bridge.events import Document

Path: TypeAlias = tuple[str, ...]
"""The way to a place in a document: keys, and indexes of arrays as decimal digits."""

_INDEX = re.compile("0|[1-9][0-9]{0,8}")

_Sets: TypeAlias = list[tuple[Path, Any]]

ABSENT: Any = object()
"""Stands for what a document does not have."""


@dataclass(frozen=True, slots=True)
class Delta:
    """The difference between two states of a document; no path starts with another."""

    set: tuple[tuple[Path, Any], ...] = ()
    unset: tuple[Path, ...] = ()
    truncate: tuple[tuple[Path, int], ...] = ()


def described(
    description: Mapping[str, Any], before: Document | None, after: Document | None
) -> Delta | None:
    """The delta that MongoDB's ``updateDescription`` tells, checked against the images.

    Its dotted names do not say whether ``a.0`` is an index or a key, nor whether the dot of
    ``s.t`` belongs to the key: the images do. None where they leave it open, or do not show
    what the description says. So a field that a pipeline took out of the images is never
    told: where one image is missing, that goes for removed and for new fields as well.
    Without any image, names are split at their dots and taken at their word.
    """
    updated = description.get("updatedFields") or {}
    removed = description.get("removedFields") or ()
    truncated = description.get("truncatedArrays") or ()
    shown = before if after is None else after
    if shown is None:
        return _taken_at_their_word(updated, removed, truncated)
    sets = _sets(updated, shown, before, after)
    unsets = _unsets(removed, before, after) if removed else []
    truncates = _truncates(truncated, shown, before, after) if truncated else []
    if sets is None or unsets is None or truncates is None:
        return None
    return Delta(tuple(sets), tuple(unsets), tuple(truncates))


def difference(before: Document, after: Document) -> Delta:
    """The delta between two images; an array that changed is set as a whole."""
    sets: _Sets = []
    unsets: list[Path] = []
    _compare((), before, after, sets, unsets)
    return Delta(tuple(sets), tuple(unsets))


def divided(delta: Delta, before: Document) -> Delta:
    """The same delta; what it sets is divided into the places in it that differ from before."""
    sets: _Sets = []
    unsets = [*delta.unset]
    for path, value in delta.set:
        cut = any(path[: len(array)] == array for array, _ in delta.truncate)
        old = ABSENT if cut else member(container(before, path), path[-1])
        _divide(path, old, value, sets, unsets)
    return Delta(tuple(sets), tuple(unsets), delta.truncate)


def same(one: Any, other: Any) -> bool:
    """Whether two BSON values are equal in type and value; the order of keys is free."""
    kind = type(one)
    if kind is not type(other):
        return False
    if kind is dict:
        return len(one) == len(other) and all(
            key in other and same(value, other[key]) for key, value in one.items()
        )
    if kind is list:
        return len(one) == len(other) and all(map(same, one, other))
    if kind is DBRef or kind is Code:
        return bson.encode({"": one}) == bson.encode({"": other})
    return bool(one == other)


@lru_cache(maxsize=4096)
def index(segment: str) -> int | None:
    """The array index that a segment of a path stands for, or None where it is none."""
    return int(segment) if _INDEX.fullmatch(segment) else None


def container(document: Document, path: Path) -> Any:
    """The object or array in a document that holds the place of a path, or None."""
    place: Any = document
    for segment in path[:-1]:
        place = place.get(segment) if type(place) is dict else _element(place, segment)
    return place if type(place) is dict or type(place) is list else None


def member(holder: Any, segment: str) -> Any:
    """What stands at the last segment of a path in its container, or ABSENT."""
    if type(holder) is dict:
        return holder.get(segment, ABSENT)
    return _element(holder, segment)


def _element(array: Any, segment: str) -> Any:
    if type(array) is not list:
        return ABSENT
    at = index(segment)
    return array[at] if at is not None and at < len(array) else ABSENT


def _reading(name: str, document: Document) -> tuple[Path, Any] | None:
    """The one path that a dotted name can mean in a document, and what holds its place there.

    None where there is no such place, or more than one. A place past the end of an array
    counts as there.
    """
    if "." not in name:
        return ((name,), document) if name in document else None
    path: list[str] = []
    place: Any = document
    pieces = name.split(".")
    while True:
        if type(place) is dict:
            segment = _key(pieces, place)
        else:
            segment = pieces[0] if type(place) is list and index(pieces[0]) is not None else None
        if segment is None:
            return None
        path.append(segment)
        del pieces[: segment.count(".") + 1]
        if not pieces:
            return tuple(path), place
        place = member(place, segment)


def _key(pieces: list[str], place: Document) -> str | None:
    """The one key of an object that the first pieces of a dotted name can make."""
    key = pieces[0]
    found = key if key in place else None
    for piece in pieces[1:]:
        key = f"{key}.{piece}"
        if key in place:
            if found is not None:
                return None
            found = key
    return found


def _sets(
    updated: Mapping[str, Any], shown: Document, before: Document | None, after: Document | None
) -> _Sets | None:
    sets: _Sets = []
    for name, value in updated.items():
        reading = _reading(name, shown)
        if reading is None:
            return None
        path, holder = reading
        if after is not None:
            if not same(member(holder, path[-1]), value):
                return None
            if before is not None and not _borne(name, path, before, holder, updated):
                return None
        sets.append((path, value))
    return sets


def _borne(
    name: str, path: Path, before: Document, holder: Any, updated: Mapping[str, Any]
) -> bool:
    """Whether setting one place in the pre-image leads to its holder in the post-image."""
    was = container(before, path)
    if type(was) is not list or type(holder) is not list:
        return type(was) is type(holder)
    stem = name.rpartition(".")[0]
    gap = range(len(was), int(path[-1]))
    return all(holder[at] is None or f"{stem}.{at}" in updated for at in gap)


def _unsets(
    removed: Iterable[str], before: Document | None, after: Document | None
) -> list[Path] | None:
    if before is None:
        return None
    unsets: list[Path] = []
    for name in removed:
        reading = _reading(name, before)
        if reading is None or (after is not None and not _gone(reading[0], after)):
            return None
        unsets.append(reading[0])
    return unsets


def _gone(path: Path, after: Document) -> bool:
    holder = container(after, path)
    left = member(holder, path[-1])
    return left is None if type(holder) is list else type(holder) is dict and left is ABSENT


def _truncates(
    truncated: Iterable[Mapping[str, Any]],
    shown: Document,
    before: Document | None,
    after: Document | None,
) -> list[tuple[Path, int]] | None:
    truncates: list[tuple[Path, int]] = []
    for entry in truncated:
        size = int(entry["newSize"])
        reading = _reading(entry["field"], shown)
        if reading is None:
            return None
        path, holder = reading
        if after is not None and _length(member(holder, path[-1])) != size:
            return None
        if before is not None and _length(member(container(before, path), path[-1])) < size:
            return None
        truncates.append((path, size))
    return truncates


def _length(array: Any) -> int:
    return len(array) if type(array) is list else -1


def _taken_at_their_word(
    updated: Mapping[str, Any], removed: Iterable[str], truncated: Iterable[Mapping[str, Any]]
) -> Delta | None:
    delta = Delta(
        tuple((tuple(name.split(".")), value) for name, value in updated.items()),
        tuple(tuple(name.split(".")) for name in removed),
        tuple((tuple(entry["field"].split(".")), int(entry["newSize"])) for entry in truncated),
    )
    paths = [*(path for path, _ in delta.set), *delta.unset, *(path for path, _ in delta.truncate)]
    return delta if all(map(_plain, paths)) else None


def _plain(path: Path) -> bool:
    """Whether splitting at the dots can have been right."""
    return all(segment and segment[0] != "$" for segment in path)


def _compare(
    path: Path, before: Document, after: Document, sets: _Sets, unsets: list[Path]
) -> None:
    unsets.extend((*path, key) for key in before if key not in after)
    for key, value in after.items():
        old = before.get(key, ABSENT)
        if type(old) is dict and type(value) is dict:
            _compare((*path, key), old, value, sets, unsets)
        elif not same(old, value):
            sets.append(((*path, key), value))


def _divide(path: Path, old: Any, value: Any, sets: _Sets, unsets: list[Path]) -> None:
    if type(old) is dict and type(value) is dict:
        unsets.extend((*path, key) for key in old if key not in value)
        for key, new in value.items():
            _divide((*path, key), old.get(key, ABSENT), new, sets, unsets)
    elif type(old) is list and type(value) is list and len(old) == len(value):
        for at, (was, new) in enumerate(zip(old, value, strict=True)):
            _divide((*path, str(at)), was, new, sets, unsets)
    elif not same(old, value):
        sets.append((path, value))

"""The documents of one channel, as a client rebuilds them from messages alone."""

from typing import Any, TypeAlias

import jsonpatch

from tests.acceptance.plain_json import canonical

Json: TypeAlias = Any


class Replica:
    """Applies messages strictly: what does not fit what it holds is an error.

    ``whole`` says that it has seen everything from the beginning; otherwise it cannot know the
    documents that it has never been given whole, and passes over their updates.
    """

    def __init__(self, *, whole: bool = True) -> None:
        self.whole = whole
        self.documents: dict[str, Json] = {}

    def apply(self, message: dict[str, Json]) -> None:
        """Takes one ``change`` message; raises AssertionError where it does not fit."""
        key = name_of(message)
        if message["op"] in ("delete", "leave"):
            self._remove(key, message)
        elif message["op"] in ("insert", "enter"):
            self._add(key, message)
        else:
            self._change(key, message)

    def _remove(self, key: str, message: dict[str, Json]) -> None:
        assert not {"document", "patch", "delta"} & message.keys(), f"more than a key: {message}"
        assert key in self.documents or not self.whole, f"removes what is not there: {message}"
        self.documents.pop(key, None)

    def _add(self, key: str, message: dict[str, Json]) -> None:
        assert key not in self.documents or not self.whole, f"adds what is there: {message}"
        assert message["mode"] == "full", f"must be full: {message}"
        self.documents[key] = message["document"]

    def _change(self, key: str, message: dict[str, Json]) -> None:
        assert message["op"] in ("update", "replace"), f"unknown op: {message}"
        assert key in self.documents or not self.whole, f"changes what is not there: {message}"
        if message["mode"] == "full":
            self.documents[key] = message["document"]
        elif message["mode"] == "ref":
            raise AssertionError(f"no document: {message}")
        elif key in self.documents:
            self.documents[key] = _changed(self.documents[key], message)


def name_of(message: dict[str, Json]) -> str:
    """A name for the document that a message is about, unique on its channel."""
    where = message.get("ns")
    return canonical([where["coll"] if where else "", message["key"]])


def _changed(document: Json, message: dict[str, Json]) -> Json:
    try:
        if message["mode"] == "patch":
            assert message["op"] == "update"
            return jsonpatch.apply_patch(document, message["patch"], in_place=True)
        assert message["mode"] == "delta"
        apply_delta(document, message["delta"])
    except (jsonpatch.JsonPatchException, LookupError, TypeError, ValueError) as error:
        raise AssertionError(f"does not fit {canonical(document)}: {message}") from error
    return document


def apply_delta(document: Json, delta: dict[str, Json]) -> None:
    """Changes the document in place: truncate, unset, set."""
    assert delta.keys() <= {"set", "unset", "truncate"}, delta
    for path, size in delta.get("truncate", []):
        array = _at(document, path)
        assert isinstance(array, list)
        assert len(array) >= size, (path, size)
        del array[size:]
    for path in delta.get("unset", []):
        _unset(_at(document, path[:-1]), path[-1])
    for path, value in delta.get("set", []):
        _set(_at(document, path[:-1]), path[-1], value)


def _at(container: Json, path: list[str]) -> Json:
    for segment in path:
        container = container[_place(container, segment)]
    return container


def _place(container: Json, segment: str) -> Any:
    assert isinstance(segment, str), segment
    if isinstance(container, list):
        assert segment.isdigit(), segment
        return int(segment)
    assert isinstance(container, dict), container
    return segment


def _unset(container: Json, segment: str) -> None:
    place = _place(container, segment)
    if isinstance(container, list):
        container[place] = None
    else:
        del container[place]


def _set(container: Json, segment: str, value: Json) -> None:
    place = _place(container, segment)
    if isinstance(container, list):
        container.extend([None] * (place + 1 - len(container)))
    container[place] = value

"""Mutation ids: taken out of documents and put on messages.

A client that writes leaves an id of its own in the document; the message that carries it back
tells the client that this is its own write. ``docs/protocol.md``, "Mutation ids".
"""

from collections.abc import Sequence
from typing import Any

from bridge.events import Change, Document

LONGEST = 256
"""Characters of a mutation id."""


class MutationFields:
    """The dotted fields that may hold a mutation id; the first that does counts."""

    def __init__(self, fields: Sequence[str]) -> None:
        self.fields = tuple(fields)
        self._paths = [tuple(field.split(".")) for field in fields]
        self._tops = frozenset(path[0] for path in self._paths)
        self._starts = tuple(self._tops)
        # How an update description can name a field: whole, or by one of its parents.
        self._names = frozenset(
            ".".join(path[:length]) for path in self._paths for length in range(1, len(path) + 1)
        )

    def take(self, change: Change) -> tuple[Change, str]:
        """The change without the fields, and the mutation id of this very write, or nothing."""
        description = change.description
        told = description is not None and self._told(description)
        if not told and not self._held(change.document) and not self._held(change.before):
            return change, ""
        stripped = change._replace(
            document=self.without(change.document), before=self.without(change.before)
        )
        if description is not None and told:
            stripped = stripped._replace(description=self._undescribed(description))
        return stripped, self._of(change)

    def without(self, document: Document | None) -> Document | None:
        """The document without the fields; the same object where it has none."""
        if document is None or not self._held(document):
            return document
        for path in self._paths:
            document = _pruned(document, path)
        return document

    def _held(self, document: Document | None) -> bool:
        return document is not None and not self._tops.isdisjoint(document)

    def _told(self, description: Document) -> bool:
        updated = description.get("updatedFields") or {}
        removed = description.get("removedFields") or ()
        for names in (updated, removed):
            for name in names:
                if name.startswith(self._starts) and (name in self._names or self._own(name)):
                    return True
        return False

    def _of(self, change: Change) -> str:
        if change.op == "update":
            return self._first(_nested((change.description or {}).get("updatedFields") or {}))
        return self._first(change.before if change.op == "delete" else change.document)

    def _first(self, document: Document | None) -> str:
        for path in self._paths:
            value: Any = document
            for name in path:
                value = value.get(name) if isinstance(value, dict) else None
            if type(value) is str and 0 < len(value) <= LONGEST:
                return value
        return ""

    def _undescribed(self, description: Document) -> Document:
        updated = description.get("updatedFields") or {}
        for path in self._paths:
            for length in range(1, len(path) + 1):
                updated = _pruned(updated, (".".join(path[:length]), *path[length:]))
        updated = {name: value for name, value in updated.items() if not self._own(name)}
        removed = [n for n in description.get("removedFields") or () if not self._own(n)]
        arrays = description.get("truncatedArrays") or ()
        kept = [array for array in arrays if not self._own(array["field"])]
        fields = {"updatedFields": updated, "removedFields": removed, "truncatedArrays": kept}
        return {**description, **fields}

    def _own(self, name: str) -> bool:
        """Whether an update description's name is that of a field, or lies inside one."""
        return any(name == field or name.startswith(f"{field}.") for field in self.fields)


def _pruned(document: Document, path: Sequence[str]) -> Document:
    """A copy without what stands at the path; the same object where nothing does."""
    name = path[0]
    if name not in document:
        return document
    if len(path) == 1:
        return {key: value for key, value in document.items() if key != name}
    inner = document[name]
    if not isinstance(inner, dict):
        return document
    pruned = _pruned(inner, path[1:])
    return document if pruned is inner else {**document, name: pruned}


def _nested(updated: Document) -> Document:
    """Updated fields as a document: ``{"a.b": 1}`` as ``{"a": {"b": 1}}``."""
    nested: Document = {}
    for name, value in updated.items():
        top, dot, rest = name.partition(".")
        if not dot:
            nested[name] = value
        elif isinstance(nested.setdefault(top, {}), dict):
            nested[top] = {**nested[top], **_nested({rest: value})}
    return nested

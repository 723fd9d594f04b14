"""A change as message bytes: full, delta, patch or ref, encoded once for all channels.

``docs/protocol.md``, "Messages", has the fields and the fallbacks.
"""

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

import orjson

from bridge.delta import Delta, described, difference
from bridge.documents import Flavor, dumps
from bridge.events import Change, Document
from bridge.patch import from_delta, from_images

Mode: TypeAlias = Literal["full", "delta", "patch"]

NO_DOCUMENT = "no_document"
TOO_LARGE = "too_large"

_WITHOUT_DOCUMENT = frozenset({"delete", "leave"})
_LONGEST_NAME = 256


class Encoder:
    """Encodes one watcher's changes.

    ``wide``: the scope is wider than a collection, so messages say their namespace.
    ``max_message`` is in bytes of JSON; what is above becomes a ref. ``rewritten``: a pipeline
    changes the documents, so that MongoDB's update description does not tell their difference.
    ``moves``: a JSON Patch may move values, which nobody can do with a part of the document.
    """

    def __init__(
        self,
        *,
        mode: Mode,
        json: Flavor,
        wide: bool,
        max_message: int,
        rewritten: bool = False,
        moves: bool = True,
    ) -> None:
        self._mode = mode
        self._json = json
        self._wide = wide
        self._max_message = max_message
        self._rewritten = rewritten
        self._moves = moves

    def tail(self, change: Change, op: str, mutation: str = "") -> bytes:
        """The JSON of a message from ``op`` on: what is the same on every channel."""
        content = {} if op in _WITHOUT_DOCUMENT else self._content(change, op)
        around = self._around(change, mutation)
        tail = self._dumps({"op": op, "key": change.key, **content, **around})
        if len(tail) > self._max_message:
            ref = {"mode": "ref", "reason": TOO_LARGE} if content else {}
            around.pop("headers", None)
            tail = self._dumps({"op": op, "key": change.key, **ref, **around})
        return tail[1:]

    def letter(self, fields: Iterable[tuple[str, Any]], change: Change) -> bytes:
        """The JSON of an outbox message from its name on; empty where it is too large."""
        tail = self._dumps({**dict(fields), **_transaction(change)})
        return tail[1:] if len(tail) <= self._max_message else b""

    def _around(self, change: Change, mutation: str) -> dict[str, Any]:
        fields: dict[str, Any] = {"time": change.wall}
        if mutation:
            fields["mutationId"] = mutation
        if self._wide:
            fields["ns"] = {"db": change.ns.db, "coll": change.ns.coll}
        if isinstance(change.name, str) and 0 < len(change.name) <= _LONGEST_NAME:
            fields["name"] = change.name
        if isinstance(change.headers, dict):
            fields["headers"] = change.headers
        if change.txn:
            fields |= _transaction(change)
        return fields

    def _content(self, change: Change, op: str) -> dict[str, Any]:
        if change.withheld:
            return {"mode": "ref", "reason": change.withheld}
        if op == "update" and self._mode != "full":
            return self._difference(change)
        return self._full(change.document)

    def _full(self, document: Document | None) -> dict[str, Any]:
        if document is None:
            return {"mode": "ref", "reason": NO_DOCUMENT}
        return {"mode": "full", "document": document}

    def _difference(self, change: Change) -> dict[str, Any]:
        """What the update changed, or the document where that is smaller or all there is."""
        content = self._patch(change) if self._mode == "patch" else self._delta(change)
        if content is None:
            return self._full(change.document)
        small = self._dumps(content)
        if change.document is not None:
            full = self._dumps(change.document)
            if len(full) < len(small):
                return {"mode": "full", "document": orjson.Fragment(full)}
        return {"mode": self._mode, self._mode: orjson.Fragment(small)}

    def _delta(self, change: Change) -> dict[str, Any] | None:
        delta = self._described(change)
        if delta is None and change.before is not None and change.document is not None:
            delta = difference(change.before, change.document)
        if delta is None:
            return None
        parts = {"set": delta.set, "unset": delta.unset, "truncate": delta.truncate}
        return {name: part for name, part in parts.items() if part}

    def _patch(self, change: Change) -> list[dict[str, Any]] | None:
        if change.before is None or change.document is None:
            return None
        delta = self._described(change)
        patch = from_delta(delta, change.before) if delta else None
        if patch is None:
            patch = from_images(change.before, change.document, self._json, moves=self._moves)
        return patch

    def _described(self, change: Change) -> Delta | None:
        both = change.before is not None and change.document is not None
        if change.description is None or (self._rewritten and both):
            return None
        return described(change.description, change.before, change.document)

    def _dumps(self, value: Any) -> bytes:
        return dumps(value, self._json)


def _transaction(change: Change) -> dict[str, Any]:
    return {"txn": {"id": change.txn, "index": change.ordinal - 1}} if change.txn else {}

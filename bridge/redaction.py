"""Redaction: which fields of a watcher's documents a client does not see, by its token's claims.

Applied to messages that are encoded already: a shared message is never changed, each view has
its own bytes of it, made once for all clients that have the view.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeAlias

import orjson

from bridge.delta import same
from bridge.documents import Flavor, to_json
from bridge.events import Change, Message

MOST_RULES = 4
"""Of one watcher: every combination of them is a view of its own."""

KEPT_BYTES = 4 * 1024 * 1024
"""Bytes of redacted messages that each view keeps for the next client that needs them."""

_Tree: TypeAlias = dict[str, Any]
"""Fields as nested dicts; an empty one stands where everything is hidden."""

_HIDDEN: _Tree = {}
_LETTER = ("data", "headers")


@dataclass(frozen=True, slots=True)
class Rule:
    """Fields that only clients with a claim of this value see.

    The value is the claim's own (text, number or boolean as JSON writes it), or one of its list.
    """

    claim: str
    value: str
    fields: tuple[str, ...]

    @classmethod
    def of(cls, unless: str, fields: Sequence[str]) -> "Rule":
        """From the configuration's ``unless: "claim:value"``; the last colon divides."""
        claim, _, value = unless.rpartition(":")
        return cls(claim, value, tuple(fields))

    def lifted(self, claims: Mapping[str, Any]) -> bool:
        """Whether a client with these claims sees the fields."""
        held = claims.get(self.claim)
        return any(_text(each) == self.value for each in (held if type(held) is list else [held]))


class View:
    """Documents without some fields, as a kind of clients sees them."""

    def __init__(self, fields: Collection[str]) -> None:
        self._tree = _tree(fields)
        self._letter = {name: self._tree[name] for name in _LETTER if name in self._tree}
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._size = 0

    def messages(self, run: Sequence[Message]) -> list[Message]:
        """What the clients are given of these messages; a change of hidden fields alone is not."""
        seen = []
        for message in run:
            if message.resync:
                seen.append(message)
            elif self not in message.unseen and (body := self._once(message.body, _message)):
                seen.append(message._replace(body=body))
        return seen

    def documents(self, entries: bytes) -> bytes:
        """The entries of a snapshot, joined by commas as they came."""
        return self._once(entries, _entries)

    def blind_to(self, before: Any, after: Any) -> bool:
        """Whether two images differ, and only in what is hidden."""
        return not same(before, after) and same(self.prune(before), self.prune(after))

    def hides(self, path: str) -> bool:
        """Whether a dotted name leads to what is hidden."""
        return not self._open((path,))

    def _once(self, body: bytes, redacted: Callable[[bytes, "View"], bytes]) -> bytes:
        """The redacted bytes, remembered for the next client; the least used are forgotten."""
        found = self._kept.pop(body, None)
        if found is None:
            found = redacted(body, self)
            self._size += len(body) + len(found)
        self._kept[body] = found
        while self._size > KEPT_BYTES:
            oldest, made = self._kept.popitem(last=False)
            self._size -= len(oldest) + len(made)
        return found

    def prune(self, value: Any) -> Any:
        """A document without what is hidden."""
        return pruned(value, self._tree)

    def letter(self, message: dict[str, Any]) -> dict[str, Any]:
        """An outbox message without what is hidden of its data and headers."""
        return {**message, **pruned({n: message[n] for n in _LETTER if n in message}, self._letter)}

    def operations(self, patch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A JSON Patch without what it does to hidden places."""
        return [
            _valued(operation, "value", value)
            for operation in patch
            for value in self._at(_segments(operation["path"]), operation.get("value"))
        ]

    def delta(self, delta: dict[str, Any]) -> dict[str, Any]:
        """A delta without what it does to hidden places."""
        parts = {
            "set": [
                [path, seen]
                for path, value in delta.get("set", ())
                for seen in self._at(path, value)
            ],
            "unset": [path for path in delta.get("unset", ()) if self._open(path)],
            "truncate": [each for each in delta.get("truncate", ()) if self._open(each[0])],
        }
        return {name: part for name, part in parts.items() if part}

    def _open(self, path: Sequence[str]) -> bool:
        return _HIDDEN not in _places(path, self._tree)

    def _at(self, path: Sequence[str], value: Any) -> Iterator[Any]:
        """What a place is set to, as the view has it; nothing where the place is hidden."""
        places = _places(path, self._tree)
        if _HIDDEN not in places:
            for place in places:
                value = pruned(value, place)
            yield value


class Redaction:
    """The rules of one watcher, and the views that they make."""

    def __init__(self, rules: Sequence[Rule] = (), *, json: Flavor = "plain") -> None:
        self._rules = rules
        self._json = json
        self._views: dict[frozenset[str], View] = {}
        for number in range(1, len(rules) + 1):
            for some in combinations(rules, number):
                fields = _fields(some)
                self._views.setdefault(fields, View(fields))

    def __bool__(self) -> bool:
        return bool(self._rules)

    def view(self, claims: Mapping[str, Any]) -> View | None:
        """What a client with these claims sees; None: everything. Equal views are one object."""
        return self._views.get(_fields(rule for rule in self._rules if not rule.lifted(claims)))

    def unseen(self, change: Change) -> tuple[View, ...]:
        """The views in which an update or a replacement shows nothing."""
        if change.op not in ("update", "replace"):
            return ()
        views = self._views.values()
        if change.before is None or change.document is None:
            paths = _described(change.description or {})
            return tuple(view for view in views if paths and all(map(view.hides, paths)))
        try:
            before, after = to_json(change.before, self._json), to_json(change.document, self._json)
        except (TypeError, ValueError, RecursionError):
            return ()  # what cannot be written as JSON is a ref: nothing to see, nothing to hide
        return tuple(view for view in views if view.blind_to(before, after))


NO_REDACTION = Redaction()


def pruned(value: Any, tree: _Tree) -> Any:
    """A value without the fields of the tree, through arrays as MongoDB's projections go."""
    if type(value) is list:
        return [pruned(each, tree) for each in value]
    if type(value) is not dict:
        return value
    seen = {}
    for key, member in value.items():
        places = _places((key,), tree)
        if _HIDDEN in places:
            continue
        for place in places:
            member = pruned(member, place)  # noqa: PLW2901 - each place hides its own part
        seen[key] = member
    return seen


def _places(path: Sequence[str], tree: _Tree) -> list[_Tree]:
    """Where a path leads in the tree: ``_HIDDEN`` among it where it leads to what is hidden.

    A number on the way leads to the element of an array, or to what lies below a key like it;
    the parts of a key with dots count each by itself. So what is meant either way is hidden.
    """
    places = [tree]
    for key in path:
        for segment in key.split("."):
            found = [place[segment] for place in places if segment in place]
            if segment.isdecimal():
                found += places
            if _HIDDEN in found:
                return [_HIDDEN]
            places = found
    return places


def _message(body: bytes, view: View) -> bytes:
    """A message's JSON in a view; empty where nothing of it is left."""
    message = orjson.loads(body)
    if message["type"] == "event":
        return orjson.dumps(view.letter(message))
    mode = message.get("mode")
    if mode == "full":
        message["document"] = view.prune(message["document"])
    elif mode in ("patch", "delta"):
        seen = view.operations(message[mode]) if mode == "patch" else view.delta(message[mode])
        if message[mode] and not seen:
            return b""
        message[mode] = seen
    return orjson.dumps(message)


def _entries(entries: bytes, view: View) -> bytes:
    found = orjson.loads(b"[%b]" % entries)
    for entry in found:
        if "document" in entry:
            entry["document"] = view.prune(entry["document"])
    return orjson.dumps(found)[1:-1]


def _tree(fields: Collection[str]) -> _Tree:
    """The fields as a tree, without those that lie below another."""
    tree: _Tree = {}
    for field in fields:
        if not any(field.startswith(f"{other}.") for other in fields):
            *way, last = field.split(".")
            place = tree
            for segment in way:
                place = place.setdefault(segment, {})
            place[last] = _HIDDEN
    return tree


def _fields(rules: Iterable[Rule]) -> frozenset[str]:
    return frozenset(field for rule in rules for field in rule.fields)


def _text(claim: Any) -> str | None:
    if isinstance(claim, str):
        return claim
    return orjson.dumps(claim).decode() if isinstance(claim, bool | int | float) else None


def _described(description: Mapping[str, Any]) -> list[str]:
    """The dotted names in MongoDB's update description."""
    truncated = (each["field"] for each in description.get("truncatedArrays") or ())
    parts = (description.get("updatedFields") or (), description.get("removedFields") or ())
    return [*parts[0], *parts[1], *truncated]


def _segments(pointer: str) -> list[str]:
    """The segments of a JSON Pointer (RFC 6901)."""
    parts = pointer.split("/")[1:]
    return [part.replace("~1", "/").replace("~0", "~") for part in parts]


def _valued(operation: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    return {**operation, name: value} if name in operation else operation

"""Routing: from a change to the channels it is delivered on."""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

from bridge.events import MESSAGES_PER_CHANGE, Change, Document
from bridge.templates import Pattern, Rule, related

UNROUTED = "unrouted"
"""Resync reason: the change's channels cannot be known."""

DROPPED = "dropped"
"""Resync reason: what was watched was dropped, renamed or overwritten."""

_SUSPECT = ("tmp", "system.")
"""What ``_temporary`` begins with: tested first, since it costs every change less."""
_temporary = re.compile(r"tmp\.agg_out\.|tmp.*\.renameCollection$|system\.", re.DOTALL).match

_OPERATIONS = ("insert", "update", "replace", "delete")


class Routed(NamedTuple):
    """Where a change goes. Immutable; a tuple since one is made per change, and made faster."""

    deliveries: tuple[tuple[str, str], ...] = ()
    """Channel and operation: leaves first, then the rest, each in channel order."""
    resync: str = ""
    """The reason, where every channel of the watcher has to be told to start afresh."""
    refused: str = ""
    """Why the change, or one of its names, goes nowhere; the same few words each time."""


_Decision: TypeAlias = Callable[[Change], Routed]

_NOTHING = Routed()
_NO_CHANNEL = Routed(refused="no channel")
_NO_STRING = Routed(refused="channel is not a string")
_OUTSIDE = Routed(refused="name outside the pattern")
_TEMPORARY = Routed(refused="temporary namespace")
_TOO_MANY = Routed(resync=UNROUTED, refused=f"more than {MESSAGES_PER_CHANGE} channels")
_NO_POST_IMAGE = Routed(resync=UNROUTED, refused="no post-image")
_OTHERS = {
    "drop": Routed(resync=DROPPED),
    "rename": Routed(resync=DROPPED),
    "dropDatabase": Routed(resync=DROPPED),
    "invalidate": _NOTHING,  # it only follows one of the others
}


class Route:
    """One watcher's decision: which channels each change is delivered on.

    ``expect_before`` says whether the watcher asks for pre-images; it only tells the loss of
    one that was to be there from a loss that the configuration accepts.
    """

    __slots__ = ("_decisions", "_no_before", "_pattern", "_template")

    _decisions: dict[str, _Decision]

    def __init__(self, rule: Rule, *, expect_before: bool) -> None:
        lost = "pre-image missing" if expect_before else "pre-images are off"
        self._no_before = Routed(resync=UNROUTED, refused=lost)
        if isinstance(rule, Pattern):
            self._pattern = rule
            self._decisions = dict.fromkeys(_OPERATIONS, self._named)
        elif rule.immutable:
            self._template = rule
            self._decisions = dict.fromkeys(_OPERATIONS, self._keyed)
        else:
            self._template = rule
            each = (self._inserted, self._updated, self._replaced, self._deleted)
            self._decisions = dict(zip(_OPERATIONS, each, strict=True))

    def route(self, change: Change) -> Routed:
        """Where the change goes."""
        coll = change.ns.coll
        if coll.startswith(_SUSPECT) and _temporary(coll) and change.op != "rename":
            return _TEMPORARY
        decide = self._decisions.get(change.op)
        if decide is not None:
            return decide(change)
        return _OTHERS.get(change.op) or Routed(refused=f"operation {change.op}")

    def _inserted(self, change: Change) -> Routed:
        document = change.document
        return _NO_POST_IMAGE if document is None else self._stays(change, document)

    def _updated(self, change: Change) -> Routed:
        before, document = change.before, change.document
        if before is not None and document is not None:
            return self._moved(change, before, document)
        if self._touched(change.description):
            return self._no_before if before is None else _NO_POST_IMAGE
        image = document if before is None else before
        return _NO_POST_IMAGE if image is None else self._stays(change, image)

    def _replaced(self, change: Change) -> Routed:
        if change.before is None:
            return self._no_before
        if change.document is None:
            return _NO_POST_IMAGE
        return self._moved(change, change.before, change.document)

    def _deleted(self, change: Change) -> Routed:
        return self._no_before if change.before is None else self._stays(change, change.before)

    def _keyed(self, change: Change) -> Routed:
        return self._stays(change, {"_id": change.key})

    def _stays(self, change: Change, image: Document) -> Routed:
        channel = self._template.channel(image, change.ns)
        return Routed(((channel, change.op),)) if channel else _NO_CHANNEL

    def _moved(self, change: Change, before: Document, document: Document) -> Routed:
        old = self._template.channel(before, change.ns)
        new = self._template.channel(document, change.ns)
        if old == new:
            return Routed(((new, change.op),)) if new else _NO_CHANNEL
        leave = ((old, "leave"),) if old else ()
        enter = ((new, "enter"),) if new else ()
        return Routed(leave + enter)

    def _touched(self, description: Document | None) -> bool:
        """Whether an update may have changed the channel; without a description it may."""
        return description is None or any(
            related(path, field)
            for path in _touched_paths(description)
            for field in self._template.fields
        )

    def _named(self, change: Change) -> Routed:
        """By the ``_channel`` that the pipeline set."""
        given = change.channels
        if given is None or given in ("", []):
            return _NO_CHANNEL
        if type(given) is str:
            fits = self._pattern.matches(given)
            return Routed(((given, change.op),)) if fits else _OUTSIDE
        return self._listed(change.op, given) if isinstance(given, list) else _NO_STRING

    def _listed(self, op: str, given: list[Any]) -> Routed:
        strings = [name for name in given if type(name) is str]
        texts = set(strings)
        fitting = sorted(filter(self._pattern.matches, texts))
        if len(fitting) > MESSAGES_PER_CHANGE:
            return _TOO_MANY
        refused = "" if len(fitting) == len(texts) else _OUTSIDE.refused
        if len(strings) < len(given):
            refused = _NO_STRING.refused
        return Routed(tuple([(name, op) for name in fitting]), refused=refused)


def _touched_paths(description: Document) -> Iterator[str]:
    yield from description.get("updatedFields") or ()
    yield from description.get("removedFields") or ()
    arrays: list[dict[str, Any]] = description.get("truncatedArrays") or []
    yield from (array["field"] for array in arrays)

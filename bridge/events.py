"""What travels through the bridge: positions, cursors, places, changes and messages.

Positions and cursors are defined in ``docs/protocol.md``, "Positions and cursors".
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from bridge.errors import BadCursor

Document: TypeAlias = dict[str, Any]
"""A user's BSON document, decoded: the only dict that travels."""

MESSAGES_PER_CHANGE = 15
"""The last digit of a position counts the messages of one change."""

END_OF_INSTANT = "ffffff"
"""Completes a cluster time to the position after everything that happened at it."""

START_OF_INSTANT = "000000"
"""Completes a cluster time to the position before everything that happened at it."""

_TIME = re.compile(r"[0-9a-f]{16}")
_POSITION = re.compile(r"[0-9a-f]{22}")
_PART = re.compile(r"([0-9a-f]{8})-([0-9a-f]{22})")


def cluster_time(seconds: int, increment: int) -> str:
    """A BSON timestamp as 16 hex digits, ordered like the timestamps themselves."""
    return f"{seconds:08x}{increment:08x}"


def seconds_of(position: str) -> int:
    """The cluster time seconds (Unix time) of a position or of a cluster time."""
    return int(position[:8], 16)


def time_of(position: str) -> str:
    """The cluster time, 16 hex digits, that a position lies at."""
    return position[:16]


def after_change(time: str, ordinal: int) -> str:
    """The position after every message of a change."""
    return f"{time}{ordinal:05x}f"


def position(time: str, ordinal: int, index: int) -> str:
    """The position of message ``index`` of the ``ordinal``-th change at a cluster time."""
    return f"{time}{ordinal:05x}{index:x}"


@dataclass(frozen=True, slots=True)
class Cursor:
    """What a client gave back: a position per watcher tag, or one position for all."""

    parts: Mapping[str, str]
    bare: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Reads a cursor; raises BadCursor where the text is none."""
        if _TIME.fullmatch(text):
            return cls({}, text + END_OF_INSTANT)
        if _POSITION.fullmatch(text):
            return cls({}, text)
        parts: dict[str, str] = {}
        for part in text.split("."):
            match = _PART.fullmatch(part)
            if match is None:
                raise BadCursor(
                    f"{part[:64]!r} is not a cursor part: expected <tag>-<position>, "
                    "or 16 or 22 lower-case hex digits"
                )
            tag, where = match.groups()
            if tag in parts:
                raise BadCursor(f"tag {tag} stands twice in the cursor")
            parts[tag] = where
        return cls(parts)

    def at(self, tag: str) -> str | None:
        """The position for one watcher, or None where the cursor has no part for it."""
        return self.bare or self.parts.get(tag)

    def positions(self) -> Iterator[str]:
        """Every position in the cursor."""
        return iter([self.bare] if self.bare else self.parts.values())


class Place:
    """Up to where a connection has been given everything that is due on it.

    One position per watcher (by tag). Immutable; a part never goes back, and one that is
    ahead of its watcher (another replica was further, a snapshot is newer) stays until the
    watcher has passed it. ``docs/protocol.md``, "Positions and cursors".
    """

    __slots__ = ("cursor", "parts")

    parts: Mapping[str, str]
    cursor: str

    def __init__(self, parts: Mapping[str, str]) -> None:
        self.parts = dict(sorted(parts.items()))
        self.cursor = ".".join(f"{tag}-{where}" for tag, where in self.parts.items())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and self.cursor == other.cursor

    def __hash__(self) -> int:
        return hash(self.cursor)

    def __repr__(self) -> str:
        return f"Place({self.cursor})"

    def at(self, tag: str) -> str | None:
        """The position for one watcher, or None where there is none yet."""
        return self.parts.get(tag)

    def due(self, tag: str, where: str) -> bool:
        """Whether a message at this position has still to be given."""
        part = self.parts.get(tag)
        return part is None or where > part

    def moved(self, tag: str, where: str) -> "Place":
        """The place once everything of one watcher up to a position has been given."""
        return Place({**self.parts, tag: where}) if self.due(tag, where) else self

    def around(self, tag: str) -> tuple[str, str]:
        """What stands before and after one watcher's position in the cursors of this place.

        Lets a run of messages of one watcher get their cursors by two concatenations each.
        """
        mark = "\x00"
        before, _, after = Place({**self.parts, tag: mark}).cursor.partition(mark)
        return before, after


@dataclass(frozen=True, slots=True)
class Namespace:
    """Where a change happened; ``coll`` is empty for a change of a whole database."""

    db: str
    coll: str


class Change(NamedTuple):
    """One event read from MongoDB, numbered among those of its cluster time.

    A tuple, like Message: as immutable as a frozen dataclass, and made in a quarter of the time.
    """

    time: str
    """Cluster time, 16 hex digits."""
    ordinal: int
    """From 1, among the changes that the stream shows at this cluster time."""
    op: str
    """MongoDB's ``operationType``."""
    ns: Namespace
    key: Any = None
    """The document's ``_id``."""
    document: Document | None = None
    """The post-image (or the looked-up document), where there is one."""
    before: Document | None = None
    """The pre-image, where there is one."""
    description: Document | None = None
    """MongoDB's ``updateDescription``."""
    wall: str = ""
    """Wall clock time of the change on the server: ISO 8601, UTC, milliseconds."""
    channels: Any = None
    """``_channel`` as the pipeline set it."""
    name: Any = None
    """``_event`` as the pipeline set it."""
    headers: Any = None
    """``_headers`` as the pipeline set it."""
    txn: str = ""
    """Tells the transaction from others, for a change that is part of one."""
    withheld: str = ""
    """Why the documents are here for routing only: ``too_large`` or ``no_document``."""


class Message(NamedTuple):
    """What a change becomes on one channel: immutable JSON at a position."""

    position: str
    channel: str | None
    """None for a resync that every channel of the watcher sees."""
    body: bytes
    """One line of JSON; empty for a resync."""
    resync: str = ""
    """The reason, for a resync that has a position of its own."""
    document: str = ""
    """Tells the document from others, where only its latest message counts."""
    unseen: tuple[object, ...] = ()
    """The views in which there is nothing to see of it: it has changed hidden fields alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Changes read together, and up to where everything has now been read."""

    changes: list[Change]
    head: str
    """A position: nothing at or before it is still to come."""

    def after(self, position: str) -> list[Change]:
        """The changes that lie after a position."""
        first = self.changes[0] if self.changes else None
        if first is None or after_change(first.time, first.ordinal) > position:
            return self.changes
        return [c for c in self.changes if after_change(c.time, c.ordinal) > position]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of a channel's documents in a snapshot, their JSON joined by commas."""

    channel: str
    position: str
    documents: bytes
    more: bool

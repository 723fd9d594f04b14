"""Listeners that stand at the same place and follow the same channels."""

from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from bridge.events import Message, Place
from bridge.feed import Feed
from bridge.redaction import View
from bridge.wire import Wire


class Listener(Protocol):
    """A connection, as the hub needs it."""

    period: float
    """Seconds between heartbeats, jittered."""
    beaten: float
    """Loop time of the last heartbeat, or of joining."""

    def send(self, data: bytes) -> bool:
        """Writes at once; False where the socket is too full (nothing was written)."""
        ...

    def fall_behind(self, place: Place) -> None:
        """Has left its audience and must catch up from this place."""
        ...


Made: TypeAlias = dict[tuple[type, View | None], dict[str, bytes]]
"""Frames of one flush by position, for each wire and view that they are the same for."""


@dataclass(frozen=True, slots=True)
class Interest:
    """What a listener follows: its channels, by watcher, on which wire, and what it may see."""

    feeds: tuple[tuple[Feed, tuple[str, ...]], ...]
    wire: Wire
    views: tuple[tuple[Feed, View], ...] = ()
    """Of the watchers of which it does not see everything."""

    @property
    def absent(self) -> bool:
        """Whether none of its watchers has anything to give."""
        return all(feed.absent for feed, _ in self.feeds)

    def channels(self, feed: Feed) -> tuple[str, ...]:
        """The channels that it follows of one watcher."""
        for other, own in self.feeds:
            if other is feed:
                return own
        return ()

    def view(self, feed: Feed) -> View | None:
        """What it sees of one watcher's documents; None: everything."""
        for other, view in self.views:
            if other is feed:
                return view
        return None

    def due(self, feed: Feed, run: list[Message]) -> list[Message]:
        """What is sent of a run of one watcher's messages."""
        view = self.view(feed)
        return feed.batching.kept(view.messages(run) if view else run)

    def framed(self, feed: Feed, due: list[Message], place: Place) -> bytes:
        """What is due as it is written by itself, each event with its cursor, from a place on."""
        return self.wire.whole(b"".join(self._framed(feed, due, place))) if due else b""

    def frames(self, feed: Feed, due: list[Message], place: Place, made: Made) -> list[bytes]:
        """What is due, framed; what has the same bytes for other interests is made only once."""
        alone = len(place.parts) == 1 or not self.wire.shows_places
        if not alone or feed.batching.window or any(message.resync for message in due):
            return self._framed(feed, due, place)
        single = made.setdefault((type(self.wire), self.view(feed)), {})
        new = [message for message in due if message.position not in single]
        if new:
            framed = self.wire.messages(new, *place.around(feed.tag))
            single.update(zip((message.position for message in new), framed, strict=True))
        return [single[message.position] for message in due]

    def _framed(self, feed: Feed, due: list[Message], place: Place) -> list[bytes]:
        channels = self.channels(feed)
        return feed.batching.framed(self.wire, due, tag=feed.tag, place=place, channels=channels)


@dataclass(slots=True, eq=False)
class Audience:
    """Listeners at one place with one interest."""

    interest: Interest
    ahead: dict[str, str]
    """By tag: parts of the place that the watcher has not passed, or not started to pass."""
    members: dict[Listener, None] = field(default_factory=dict)
    shown: dict[str, tuple[str, float]] = field(default_factory=dict)
    """By tag: the part last shown in a frame, and when (loop time)."""

    def place(self) -> Place:
        """Where every member stands after the last flush."""
        parts = {
            feed.tag: max(feed.flushed if feed.started else "", self.ahead.get(feed.tag, ""))
            for feed, _ in self.interest.feeds
        }
        return Place({tag: where for tag, where in parts.items() if where})

    def show(self, place: Place, now: float) -> None:
        """Notes that a frame has shown this place to all members."""
        for tag, where in place.parts.items():
            if self.shown.get(tag, ("", 0.0))[0] != where:
                self.shown[tag] = (where, now)

    def quiet_since(self) -> float:
        """Since when some watcher's part has not been shown moving to all members."""
        if len(self.shown) < len(self.interest.feeds):
            return 0.0
        return min(when for _, when in self.shown.values())

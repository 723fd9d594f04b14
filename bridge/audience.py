"""Listeners that stand at the same place and follow the same channels."""

from dataclasses import dataclass, field
from typing import Protocol

from bridge import frames
from bridge.events import Place
from bridge.feed import Feed


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


@dataclass(frozen=True, slots=True)
class Interest:
    """What a listener follows: its channels, by watcher, and how its bytes are framed."""

    feeds: tuple[tuple[Feed, tuple[str, ...]], ...]
    chunked: bool

    def framed(self, body: bytes) -> bytes:
        """The bytes as the listener's HTTP version wants them."""
        return frames.chunk(body) if self.chunked else body


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

"""Where a subscription stands in each watcher's sequence, and what it has lost."""

from collections.abc import Iterable, Mapping

from bridge.events import Place
from bridge.feed import Feed

NOWHERE = Place({})

NONE_LOST: Mapping[Feed, str] = {}
"""Shared by all that have lost nothing; never changed, only replaced."""


class Standing:
    """A place, and for each watcher whose place is lost the reason.

    ``live``: everything that was missed has been given once. ``absent`` are the watchers that
    could not be asked then.
    """

    __slots__ = ("absent", "live", "lost", "place")

    def __init__(self, place: Place, lost: Mapping[Feed, str]) -> None:
        self.place = place
        self.lost = lost or NONE_LOST
        self.live = False
        self.absent: tuple[Feed, ...] = ()

    def owes(self, feed: Feed) -> bool:
        """Whether the watcher's state, or word of its loss, is due."""
        return feed.started and (feed in self.lost or self.place.at(feed.tag) is None)

    def lose(self, feed: Feed, reason: str) -> None:
        """What follows the place cannot all be given."""
        self.lost = {**self.lost, feed: reason}

    def move(self, feed: Feed, where: str) -> None:
        """Goes to a position, from wherever it stood; nothing of the watcher is lost any more."""
        self.place = Place({**self.place.parts, feed.tag: where})
        if feed in self.lost:
            self.lost = {other: why for other, why in self.lost.items() if other is not feed}

    def begin(self, feeds: Iterable[Feed], *, stateful: bool) -> None:
        """Is live from now on.

        What was to begin with a state (``stateful``) and has none yet has lost it: that is told
        once its watcher starts.
        """
        self.live = True
        self.absent = tuple(feed for feed in feeds if not feed.started)
        if stateful:
            owed = (feed for feed in self.absent if self.place.at(feed.tag) is None)
            self.lost = {**dict.fromkeys(owed, "history_lost"), **self.lost}

    def below(self, feed: Feed) -> bool:
        """Whether the watcher's history in memory no longer reaches down to the place."""
        part = self.place.at(feed.tag)
        return feed.started and part is not None and part < feed.history.floor

    def came_back(self, feed: Feed) -> bool:
        """Whether it may be served from the oplog: a client that was away, or whose watcher was.

        One that was connected all the while was too slow.
        """
        return not self.live or feed in self.absent

    def fault(self, feed: Feed) -> str:
        """Why a client that was connected lost the watcher's messages."""
        gap = (self.place.at(feed.tag) or "") < feed.joined_up
        return "history_lost" if gap else "slow_consumer"

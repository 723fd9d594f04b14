"""The channels that there are: whose they are, who may read them, what a cursor means on them."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from bridge.audience import Interest
from bridge.auth import Access, Grant
from bridge.errors import BadCursor, Forbidden, NoSnapshot, RequestError, UnknownChannel
from bridge.events import Cursor, Place, seconds_of
from bridge.feed import Feed
from bridge.watcher import Watcher
from bridge.wire import Wire

SKEW = 60
"""Seconds that a cursor may lie ahead of the cluster."""


class Channels:
    """The channels of all watchers, of which one connection may follow ``most``.

    ``offers`` says which watchers have snapshots.
    """

    def __init__(
        self, *, watchers: Sequence[Watcher], offers: Callable[[Feed], bool], most: int
    ) -> None:
        self._watchers = watchers
        self._offers = offers
        self.most = most
        """Channels that one connection may follow."""

    def feeds(
        self, channels: Iterable[str], access: Access, *, state: bool = False
    ) -> dict[str, Feed]:
        """The feed of each channel, in order; ``state``: it must have snapshots.

        Raises Forbidden, also for channels that do not exist; then UnknownChannel; then
        NoSnapshot.
        """
        for channel in channels:
            if not access.may_read(channel):
                raise Forbidden(f"channel {channel!r} may not be read", channel=channel)
        feeds = {channel: self._feed(channel) for channel in channels}
        for channel, feed in feeds.items():
            if state and not self._offers(feed):
                raise NoSnapshot(
                    f"channel {channel!r}: watcher {feed.name} offers no snapshots", channel=channel
                )
        return feeds

    def _feed(self, channel: str) -> Feed:
        for watcher in self._watchers:
            if watcher.rule.matches(channel):
                return watcher.feed
        raise UnknownChannel(f"no watcher can produce a channel {channel!r}", channel=channel)

    def interest(self, feeds: Mapping[str, Feed], grant: Grant, wire: Wire) -> Interest:
        """What one client follows and sees of these channels; raises RequestError for too many."""
        if len(feeds) > self.most:
            raise RequestError(f"{len(feeds)} channels on one connection; at most {self.most}")
        by_feed: dict[Feed, list[str]] = {}
        for channel, feed in feeds.items():
            by_feed.setdefault(feed, []).append(channel)
        own = sorted(by_feed.items(), key=lambda each: each[0].tag)
        views = ((feed, feed.redaction.view(grant.claims)) for feed, _ in own)
        return Interest(
            tuple((feed, tuple(sorted(names))) for feed, names in own),
            wire,
            tuple((feed, view) for feed, view in views if view),
        )

    def place(self, cursor: Cursor | None, feeds: Iterable[Feed]) -> tuple[Place, dict[Feed, str]]:
        """The place that a cursor stands for, and the feeds for which it stands for none.

        Raises BadCursor for a bare position that lies in the future.
        """
        parts: dict[str, str] = {}
        lost: dict[Feed, str] = {}
        if cursor is None:
            return Place(parts), lost
        newest = max(int(time.time()), *(seconds_of(w.feed.history.head) for w in self._watchers))
        for feed in feeds:
            part = cursor.at(feed.tag)
            if part and seconds_of(part) <= newest + SKEW:
                parts[feed.tag] = part
            elif cursor.bare:
                raise BadCursor(
                    f"position {cursor.bare} lies {seconds_of(cursor.bare) - newest} s ahead of "
                    "the cluster: positions are made of cluster times"
                )
            else:
                lost[feed] = "unknown_cursor"
        return Place(parts), lost

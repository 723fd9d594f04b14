"""One WebSocket: its subscriptions, joined into one wherever they stand at the same place."""

import asyncio
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bridge import frames
from bridge.audience import Interest
from bridge.client_frames import Ref
from bridge.events import Place
from bridge.feed import Feed
from bridge.outlet import Outlet
from bridge.subscription import Subscription
from bridge.websocket_wire import WEBSOCKET


class Request:
    """A ``subscribe``: what the client calls it by, and what it still follows of its channels."""

    __slots__ = ("channels", "ref")

    def __init__(self, ref: Ref, channels: Collection[str]) -> None:
        self.ref = ref
        self.channels = {*channels}


class Part(Subscription):
    """Channels that were asked for together and go on from the same cursor."""

    __slots__ = ("_socket", "request")

    def __init__(self, *, socket: "WebSocket", request: Request, **serving: Any) -> None:
        super().__init__(**serving)
        self._socket = socket
        self.request = request

    @property
    def caught_up(self) -> bool:
        """Whether everything missed has been given once."""
        return self._standing.live

    def position(self, feed: Feed) -> str | None:
        """Where it stands in one watcher's sequence, if it does."""
        return self.place.at(feed.tag)

    def stop(self) -> None:
        """Ends it; from this moment on nothing is written."""
        super().stop()
        self._hub.leave(self)  # its task does so as well, but a flush may come before
        self.level = False

    def narrow(self, channels: Collection[str]) -> None:
        """Gives up these channels; without any, it stops."""
        feeds = (
            (feed, tuple(name for name in own if name not in channels))
            for feed, own in self.interest.feeds
        )
        kept = tuple((feed, own) for feed, own in feeds if own)
        if kept == self.interest.feeds:
            return
        if not kept:
            self.stop()
            return
        left = {feed for feed, _ in kept}
        views = tuple(each for each in self.interest.views if each[0] in left)
        interest = replace(self.interest, feeds=kept, views=views)
        if self.level:
            place = self.place
            self._hub.leave(self)
            interest = self._hub.join(self, interest, place)
        self.interest = interest

    def see(self, claims: Mapping[str, Any]) -> bool:
        """Shows what may be seen from now on; False where a state is being given: ask again."""
        views = {feed: feed.redaction.view(claims) for feed, _ in self.interest.feeds}
        changed = [feed for feed, view in views.items() if self.interest.view(feed) is not view]
        if not changed:
            return True
        if self._snapshots:
            return False
        place = self.place
        self._hub.leave(self)
        seen = tuple((feed, view) for feed, view in views.items() if view)
        self.interest = replace(self.interest, views=seen)
        for feed in changed:
            self._standing.lose(feed, "access_changed")
        self.fall_behind(place)
        return True

    def absorb(self, others: Iterable["Part"]) -> None:
        """Takes over what the others follow, if they stand at the same place."""
        parts = self.place.parts
        joined = [self]
        for other in others:
            there = other.place.parts
            together = {**parts, **there}
            if together == {**there, **parts} and not other._standing.absent:
                parts = together
                joined.append(other)
        if self._standing.absent or len(joined) == 1:
            return
        both = _together([part.interest for part in joined])
        self._hub.leave(self)
        for other in joined[1:]:
            other.stop()
        self.interest = self._hub.join(self, both, Place(parts))

    def _cursor(self) -> str:
        return self._socket.cursor

    def _ref(self) -> Ref:
        return self.request.ref

    def _show_live(self) -> None:
        """Left to the socket: one request can have several parts."""

    def _join(self) -> None:
        super()._join()
        self._socket.settle()


class WebSocket:
    """What one client follows, and what is written to it.

    ``period`` is in seconds, between heartbeats. ``close`` ends it, for the
    reason that a goodbye gives.
    """

    def __init__(
        self, *, session: str, outlet: Outlet, period: float, close: Callable[[str], None]
    ) -> None:
        self.session = session
        self.parts: list[Part] = []
        self.ended = False
        """Whether it is being closed: nothing more is written, and nothing asked is done."""
        self._replaying: list[Request] = []
        self._outlet = outlet
        self._period = period
        self._beaten = asyncio.get_running_loop().time()
        self._close = close

    @property
    def channels(self) -> set[str]:
        """What it follows."""
        return {name for part in self.parts for _, own in part.interest.feeds for name in own}

    @property
    def cursor(self) -> str:
        """Up to where everything has been given on all channels.

        A watcher's part is held back by the channel that stands furthest behind, and is left
        out while one of them stands nowhere yet.
        """
        places: dict[str, str | None] = {}
        for part in self.parts:
            for feed, _ in part.interest.feeds:
                here = part.position(feed)
                other = places.get(feed.tag, here)
                places[feed.tag] = None if here is None or other is None else min(here, other)
        return Place({tag: where for tag, where in places.items() if where}).cursor

    def tell(self, name: str, ref: Ref = None, **data: Any) -> None:
        """Writes an event, unless all is said; it repeats the ref of what it answers."""
        if not self.ended:  # a token can take seconds to be verified
            named = {} if ref is None else {"ref": ref}
            self._outlet.write(frames.event(WEBSOCKET, name, {**named, **data}))

    async def drained(self) -> None:
        """Waits until the client has taken most of what was written."""
        await self._outlet.drained(lambda: False)

    def follow(self, request: Request, parts: Collection[Part]) -> None:
        """Follows what was asked for."""
        self._replaying.append(request)
        self.parts += parts
        self.settle()  # from here on the hub does not know the whole cursor

    def narrow(self, channels: Collection[str]) -> None:
        """Follows these channels no longer: nothing of them is written any more.

        To be told, and then settled: who still follows them may not hear of a cursor for them.
        """
        for part in self.parts:
            part.narrow(channels)
        for request in self._replaying:
            request.channels.difference_update(channels)

    def drop(self, part: Part) -> list[str]:
        """Follows the channels of a part no longer, as ``narrow``; their names."""
        names = [name for _, own in part.interest.feeds for name in own]
        self.narrow(names)
        return names

    def silence(self) -> None:
        """Follows nothing any more: it is being closed."""
        self.ended = True
        self.narrow(self.channels)
        self.settle()

    def settle(self) -> None:
        """Says ``live`` where it is due, and joins the parts that stand at the same place."""
        self.parts = [part for part in self.parts if not part.stopped]
        self._show_live()
        # All parts of a request at once: joining them one by one takes the square of the time.
        level = [part for part in self.parts if part.level and part.request not in self._replaying]
        if len(level) > 1:
            level[0].absorb(level[1:])
            self.parts = [part for part in self.parts if not part.stopped]
        # The hub knows the whole cursor only where there is one part.
        period = self._period if len(self.parts) == 1 else math.inf
        for part in self.parts:
            part.period = period

    def _show_live(self) -> None:
        """Parts that have caught up may have been joined to those of other requests."""
        behind = {part.request for part in self.parts if not part.caught_up}
        for request in self._replaying:
            if request.channels and request not in behind:
                self._outlet.write(frames.live(WEBSOCKET, self.cursor, request.ref))
        self._replaying = [request for request in self._replaying if request in behind]

    # What is asked of every connection.

    def end(self, code: str, *, reconnect: bool, delay: int) -> None:
        """Says goodbye (the delay in ms), and closes."""
        if self.ended:
            return
        self.silence()
        self._outlet.write(frames.bye(WEBSOCKET, code, reconnect=reconnect, delay=delay))
        self._close(code)

    def abort(self) -> None:
        """Cuts the TCP connection without a word."""
        self._outlet.abort()

    def check(self, now: float, patience: float) -> None:
        """Cuts a client that takes nothing; gives heartbeats where the hub gives none."""
        if now - self._outlet.stuck_since(now) > patience:
            self.abort()
            return
        self.settle()  # parts that were ahead may have been passed
        alone = len(self.parts) == 1 and self.parts[0].level
        silent = alone or self.ended or self._outlet.full
        if not silent and self._beaten + self._period <= now:
            self._beaten = now  # who follows nothing is kept alive too
            self._outlet.write(frames.heartbeat(WEBSOCKET, self.cursor))


def _together(interests: Sequence[Interest]) -> Interest:
    by_feed: dict[Feed, set[str]] = {}
    for interest in interests:
        for feed, own in interest.feeds:
            by_feed.setdefault(feed, set()).update(own)
    feeds = sorted(by_feed.items(), key=lambda each: each[0].tag)
    views = {feed: view for interest in interests for feed, view in interest.views}
    return Interest(
        tuple((feed, tuple(sorted(own))) for feed, own in feeds),
        interests[0].wire,
        tuple((feed, views[feed]) for feed, _ in feeds if feed in views),
    )

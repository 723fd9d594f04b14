"""Who listens to what, and the flush that gives everybody who is level the same bytes.

What an audience is due is framed once and written to each of its listeners. A listener that
cannot take it (its socket is full) leaves the audience with the place it had, catches up by
itself from history and joins again. So a listener costs no queue, and one that is slow costs
the others nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bridge import frames
from bridge.audience import Audience, Interest, Listener, Made
from bridge.events import Message, Place
from bridge.feed import Feed
from bridge.pace import Pace

REPLAYS_KEPT = 64
"""Framed pieces of history kept for others that stand at the same place."""


class Replay(NamedTuple):
    """A piece of history as it is written; perhaps nothing of it is seen."""

    data: bytes
    place: Place
    """The place after it."""
    more: bool
    """Whether there can be another piece."""


@dataclass(slots=True)
class _Writing:
    """What one audience gets in the flush under way."""

    before: Place
    place: Place
    parts: list[bytes] = field(default_factory=list)


class Hub:
    """Takes batches from watchers and gives them to the listeners, in one turn of the loop.

    ``flush_interval`` seconds lie between flushes under load (more if a flush takes
    longer); when idle, a batch leaves at once. ``max_write`` bounds the bytes that one
    flush writes to one listener: beyond it, listeners catch up from history in pieces.
    """

    def __init__(self, *, flush_interval: float, max_write: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._pace = Pace(interval=flush_interval, flush=self.flush)
        self._max_write = max_write
        self._listening: dict[Feed, dict[str, set[Audience]]] = defaultdict(dict)
        self._dirty: dict[Feed, float] = {}
        self._audiences: dict[tuple[Interest, tuple[tuple[str, str], ...]], Audience] = {}
        self._replays: dict[tuple[Interest, str, str], Replay] = {}
        self._standing: dict[Listener, Audience] = {}
        self.starting: set[asyncio.Future[None]] = set()
        """Who waits for watchers to start; woken whenever one has started or failed."""
        self.delivered = 0
        """Messages written to listeners since the start."""

    def publish(self, feed: Feed, messages: Sequence[Message], head: str) -> None:
        """Appends to the watcher's history and has it flushed; the head moves to ``head``."""
        feed.history.append(messages, head)
        if messages and feed.started:
            feed.pending.extend(messages)
            due = self._dirty.setdefault(feed, self._loop.time() + feed.batching.window)
            self._pace.flush_at(due)
        elif not feed.pending and feed.flushed != feed.history.head:
            feed.flushed = feed.history.head
            self._level(feed)

    def gap(self, feed: Feed, head: str) -> None:
        """Something between the head and ``head`` is lost for good: history starts anew."""
        self.flush(windows=True)
        self._empty(feed)
        feed.history.reset(head)
        feed.flushed = feed.joined_up = head

    def start(self, feed: Feed) -> None:
        """The watcher has passed its start: whoever waits for it can now be served."""
        self._empty(feed)
        feed.started = True
        feed.failed = ""
        self._wake_starting()

    def fail(self, feed: Feed, why: str) -> None:
        """The watcher cannot run: whoever waits for its start is served without it."""
        feed.failed = why
        self._wake_starting()

    def _wake_starting(self) -> None:
        for waiter in self.starting:
            if not waiter.done():
                waiter.set_result(None)
        self.starting.clear()

    def join(self, listener: Listener, interest: Interest, place: Place) -> Interest:
        """From now on the listener gets what its audience gets; it must be level.

        Returns the interest as its audience has it, so that all share one.
        """
        ahead = tuple(
            (feed.tag, part)
            for feed, _ in interest.feeds
            if (part := place.at(feed.tag) or "") > (feed.flushed if feed.started else "")
        )
        audience = self._audiences.get((interest, ahead))
        if audience is None:
            audience = self._open(interest, ahead)
        audience.members[listener] = None
        self._standing[listener] = audience
        return audience.interest

    def leave(self, listener: Listener) -> None:
        """Takes the listener out of its audience, if it is in one."""
        audience = self._standing.pop(listener, None)
        if audience:
            del audience.members[listener]
            self._close_if_empty(audience)

    def standing(self, listener: Listener) -> Place:
        """The place of a listener that has joined."""
        return self._standing[listener].place()

    def replay(self, interest: Interest, place: Place) -> Replay:
        """The next framed piece of history after a place, up to the last flush.

        Watchers that have not started are left out. The bytes are shared by all that stand at
        the same place.
        """
        head = ".".join(feed.flushed for feed, _ in interest.feeds)
        key = (interest, place.cursor, head)
        if key not in self._replays:
            if len(self._replays) >= REPLAYS_KEPT:
                self._replays.clear()
            self._replays[key] = self._missing(interest, place)
        return self._replays[key]

    def _missing(self, interest: Interest, place: Place) -> Replay:
        for feed, channels in interest.feeds:
            part = place.at(feed.tag)
            if part is None or not feed.started:
                continue
            run, reached = feed.history.since(
                part,
                channels,
                until=feed.flushed,
                limit=self._max_write,
                # A view may hide the latest message of a document, and not the one before it.
                latest=feed.batching.conflate and interest.view(feed) is None,
            )
            if run:
                data = interest.framed(feed, interest.due(feed, run), place)
                return Replay(data, place.moved(feed.tag, reached), more=True)
            place = place.moved(feed.tag, reached)
        return Replay(b"", place, more=False)

    def flush(self, *, windows: bool = False) -> None:
        """Gives everything published to everybody who is level.

        What waits for the end of a window is left, unless ``windows`` are to end now.
        """
        self._pace.cancel()
        began = self._loop.time()
        dirty = [feed for feed, due in self._dirty.items() if windows or due <= began]
        if dirty:
            self._give_out(dirty, began)
            self._pace.flushed(began, self._loop.time())
        if self._dirty:
            self._pace.flush_at(min(self._dirty.values()))

    def _give_out(self, dirty: list[Feed], now: float) -> None:
        self._replays.clear()
        writings: dict[Audience, _Writing] = {}
        for feed in dirty:
            del self._dirty[feed]
            self._frame_pending(feed, writings)
        for feed in dirty:
            feed.flushed = feed.history.head
        for audience, writing in writings.items():
            self._write(audience, writing, now)
        for feed in dirty:
            self._level(feed)

    def beat(self, now: float) -> None:
        """Sends a heartbeat to every listener that has not seen its cursor move for long."""
        for audience in list(self._audiences.values()):
            quiet = audience.quiet_since()
            due = [m for m in audience.members if now - max(quiet, m.beaten) >= m.period]
            if not due:
                continue
            place = audience.place()
            wire = audience.interest.wire
            data = wire.whole(frames.heartbeat(wire, place.cursor))
            for listener in due:
                if listener.send(data):
                    listener.beaten = now
                else:
                    self._drop(audience, listener, place)
            if len(due) == len(audience.members):
                audience.show(place, now)
            self._close_if_empty(audience)

    def _audiences_of(self, feed: Feed, message: Message) -> Iterable[Audience]:
        if message.channel is None:
            return self._everybody(feed)
        return self._listening[feed].get(message.channel, ())

    def _everybody(self, feed: Feed) -> set[Audience]:
        return set().union(*self._listening[feed].values())

    def _frame_pending(self, feed: Feed, writings: dict[Audience, _Writing]) -> None:
        due: dict[Audience, list[Message]] = {}
        for message in feed.pending:
            for audience in self._audiences_of(feed, message):
                if message.position > audience.ahead.get(feed.tag, ""):
                    due.setdefault(audience, []).append(message)
        feed.pending = []
        head = feed.history.head
        made: Made = {}
        for audience, run in due.items():
            kept = audience.interest.due(feed, run)
            if not kept:
                continue
            writing = writings.get(audience)
            if writing is None:
                place = audience.place()
                writing = writings[audience] = _Writing(place, place)
            writing.parts += audience.interest.frames(feed, kept, writing.place, made)
            writing.place = writing.place.moved(feed.tag, head)
            self.delivered += len(kept) * len(audience.members)

    def _write(self, audience: Audience, writing: _Writing, now: float) -> None:
        body = b"".join(writing.parts)
        if len(body) > self._max_write:
            for listener in list(audience.members):
                self._drop(audience, listener, writing.before)
        else:
            wire = audience.interest.wire
            data = wire.whole(body)
            full = [listener for listener in audience.members if not listener.send(data)]
            for listener in full:
                self._drop(audience, listener, writing.before)
            if wire.shows_places:
                audience.show(writing.place, now)
        self._close_if_empty(audience)

    def _drop(self, audience: Audience, listener: Listener, place: Place) -> None:
        del audience.members[listener]
        del self._standing[listener]
        listener.fall_behind(place)

    def _empty(self, feed: Feed) -> None:
        """Sends everybody who follows this watcher to catch up for themselves."""
        self._replays.clear()  # what is due from it changes although no flush does
        for audience in self._everybody(feed):
            place = audience.place()
            for listener in list(audience.members):
                self._drop(audience, listener, place)
            self._close_if_empty(audience)

    def _level(self, feed: Feed) -> None:
        """Merges audiences that were ahead of this watcher and have been passed by it."""
        if not feed.started:
            return
        passed = [
            audience
            for audience in self._audiences.values()
            if audience.ahead and audience.ahead.get(feed.tag, "~") <= feed.flushed
        ]
        for audience in passed:
            place = audience.place()
            for listener in list(audience.members):
                del audience.members[listener]
                self.join(listener, audience.interest, place)
            self._close_if_empty(audience)

    def _open(self, interest: Interest, ahead: tuple[tuple[str, str], ...]) -> Audience:
        audience = self._audiences[interest, ahead] = Audience(interest, dict(ahead))
        for feed, channels in interest.feeds:
            for channel in channels:
                self._listening[feed].setdefault(channel, set()).add(audience)
        return audience

    def _close_if_empty(self, audience: Audience) -> None:
        if audience.members:
            return
        self._audiences.pop((audience.interest, tuple(audience.ahead.items())), None)
        for feed, channels in audience.interest.feeds:
            for channel in channels:
                listening = self._listening[feed].get(channel, set())
                listening.discard(audience)
                if not listening:
                    self._listening[feed].pop(channel, None)

"""The newest messages of one watcher, in memory, found by position and by channel."""

from collections.abc import Iterable, Sequence

from bridge.events import Message, seconds_of

MESSAGE_COST = 400
"""Bytes that one kept message costs beside its body: objects, list slots, index entry."""

RESYNC_WEIGHT = 256
"""Bytes, about, of a resync on one channel; it has no body, and is told on each."""

SPARE = 1024
"""Evicted entries that may stay in the lists before these are cut."""


def weight(message: Message, channels: int) -> int:
    """About how many bytes a message becomes on a connection with so many of its channels."""
    return len(message.body) or RESYNC_WEIGHT * channels


class History:
    """A ring of messages bounded by age, number and bytes.

    ``floor`` and ``head`` are positions: every message above the floor and up to the head
    is here. Each channel remembers its newest message and each message its predecessor on
    the channel, so that a quiet channel costs nothing and a replay touches only what it
    delivers.
    """

    def __init__(self, *, floor: str, window: int, max_messages: int, max_bytes: int) -> None:
        self._window = window
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self.reset(floor)

    def reset(self, floor: str) -> None:
        """Forgets everything: after a gap, what was before it can no longer be joined up."""
        self.floor = floor
        self.head = floor
        self.bytes = 0
        self._messages: list[Message] = []
        self._previous: list[int] = []
        self._newest: dict[str | None, int] = {}
        self._first = 0  # sequence number of _messages[0]
        self._dead = 0  # entries at the front that are evicted but not yet cut off

    def __len__(self) -> int:
        return len(self._messages) - self._dead

    @property
    def channels(self) -> int:
        """How many channels have a message in memory."""
        return len(self._newest)

    def append(self, messages: Iterable[Message], head: str) -> None:
        """Takes the messages that follow the head, in order; the head moves to ``head``."""
        sequence = self._first + len(self._messages)
        for message in messages:
            channel = message.channel
            self._previous.append(self._newest.get(channel, -1))
            self._newest[channel] = sequence
            self._messages.append(message)
            self.bytes += len(message.body) + MESSAGE_COST
            sequence += 1
        self.head = max(self.head, head)
        self._evict()

    def since(
        self, place: str, channels: Sequence[str], *, until: str, limit: int, latest: bool = False
    ) -> tuple[list[Message], str]:
        """The messages on these channels after ``place`` and up to ``until``.

        ``latest``: of each document only the newest, which may also be one after ``until``.

        Returns at most about ``limit`` bytes of them, at least one if there is any, and the
        place reached: the last message's position where more remain, else ``until``.
        """
        found: list[int] = []
        for channel in (None, *channels):
            self._walk(channel, place, found, set() if latest else None)
        found.sort()
        messages: list[Message] = []
        size = 0
        for sequence in found:
            message = self._messages[sequence - self._first]
            if message.position > until:
                break
            size += weight(message, len(channels))
            if messages and size > limit:
                return messages, messages[-1].position
            messages.append(message)
        return messages, max(until, place)

    def _walk(
        self, channel: str | None, place: str, found: list[int], seen: set[str] | None
    ) -> None:
        sequence = self._newest.get(channel, -1)
        alive = self._first + self._dead
        while sequence >= alive:
            index = sequence - self._first
            message = self._messages[index]
            if message.position <= place:
                return
            sequence = self._previous[index]
            if seen is not None and message.document:
                if message.document in seen:
                    continue
                seen.add(message.document)
            found.append(self._first + index)

    def _evict(self) -> None:
        oldest = seconds_of(self.head) - self._window
        while len(self) and (
            len(self) > self._max_messages
            or self.bytes > self._max_bytes
            or seconds_of(self._messages[self._dead].position) < oldest
        ):
            self._drop_first()
        if self._dead > SPARE and self._dead * 2 > len(self._messages):
            del self._messages[: self._dead]
            del self._previous[: self._dead]
            self._first += self._dead
            self._dead = 0

    def _drop_first(self) -> None:
        message = self._messages[self._dead]
        if self._newest[message.channel] == self._first + self._dead:
            del self._newest[message.channel]
        self.bytes -= len(message.body) + MESSAGE_COST
        self.floor = message.position
        self._dead += 1


def pieces(messages: list[Message], channels: int, limit: int) -> Iterable[list[Message]]:
    """The messages in runs of about ``limit`` bytes, at least one message each."""
    piece: list[Message] = []
    room = limit
    for message in messages:
        room -= weight(message, channels)
        if piece and room < 0:
            yield piece
            piece, room = [], limit - weight(message, channels)
        piece.append(message)
    if piece:
        yield piece

"""Who wants messages that are older than memory, and who gives them, or the state instead."""

from collections.abc import AsyncGenerator, Mapping
from typing import Protocol

from bridge.events import Chunk, Message
from bridge.feed import Feed


class Reader(Protocol):
    """Whoever asks for messages older than memory."""

    @property
    def satisfied(self) -> bool:
        """Whether it wants no more, although it has not reached memory."""
        ...

    def place_in(self, feed: Feed) -> str:
        """The position after which it wants messages."""
        ...

    async def take(
        self, feed: Feed, messages: Mapping[str | None, list[Message]], head: str
    ) -> None:
        """Takes what it wants of these messages (by channel) and moves to ``head``."""
        ...


class Backfills(Protocol):
    """Readings of the oplog for places that have left memory."""

    async def fetch(self, feed: Feed, reader: Reader) -> None:
        """Has the reader take what lies between its place and memory, or a part of it.

        Raises HistoryLost where the oplog no longer has it, MongoError where it cannot be asked.
        """
        ...

    def release(self, reader: Reader) -> None:
        """Lets the reader's ``fetch`` return at once."""
        ...


class Snapshots(Protocol):
    """The state of channels."""

    def read(self, feed: Feed, channels: tuple[str, ...]) -> AsyncGenerator[Chunk, None]:
        """Chunks of the channels' state, all at one position; raises Unavailable."""
        ...

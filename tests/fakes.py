"""Stand-ins that keep the bridge's protocols: a scripted source, a listener, a transport."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any

import orjson

from bridge.connection import Connection
from bridge.errors import HistoryLost, MongoError, Unavailable
from bridge.events import (
    START_OF_INSTANT,
    Batch,
    Change,
    Message,
    Namespace,
    Place,
    after_change,
    cluster_time,
    position,
)
from tests.acceptance.sse_parser import Event, SseParser

NS = Namespace("app", "todos")


def at(seconds: int, ordinal: int = 1, index: int = 0) -> str:
    """The position of a message, by the second of its cluster time."""
    return position(cluster_time(seconds, 1), ordinal, index)


def start_of(seconds: int) -> str:
    """The position before everything that happened at the second's cluster time."""
    return cluster_time(seconds, 1) + START_OF_INSTANT


def message(where: str, channel: str, *, size: int = 0) -> Message:
    """A message whose body names its position and is at least ``size`` bytes long."""
    body = orjson.dumps({"id": where, "channel": channel})
    padding = b" " * max(0, size - len(body))
    return Message(where, channel, body[:-1] + padding + b"}")


def resync(where: str, reason: str = "dropped") -> Message:
    """A resync that every channel of the watcher sees."""
    return Message(where, None, b"", reason)


def insert(seconds: int, workspace: str = "acme", *, ordinal: int = 1, **fields: Any) -> Change:
    """An inserted document of a workspace."""
    key = f"{seconds}.{ordinal}"
    document = {"_id": key, "workspace": workspace, **fields}
    return Change(cluster_time(seconds, 1), ordinal, "insert", NS, key, document)


def batch(*changes: Change, head: str = "") -> Batch:
    """Changes read together; the head is behind the last one unless given."""
    last = changes[-1] if changes else None
    return Batch(list(changes), head or (after_change(last.time, last.ordinal) if last else ""))


def events_in(data: bytes) -> list[Event]:
    """The server-sent events in these bytes."""
    return list(SseParser().feed(data))


async def served(connection: Connection, opening: bytes) -> None:
    """Serves an event stream as its handler does."""
    connection.open(opening)
    try:
        await connection.serve()
    except Unavailable as passing:
        connection.end(passing.code, reconnect=True, delay=1000)
    connection.close()


class FakeSource:
    """An oplog in memory: readings start anywhere in it and then follow it."""

    def __init__(self, *, now: int = 1000, oldest: int = 0) -> None:
        self.changes: list[Change] = []
        self.starts: list[str] = []
        """Where the readings began."""
        self.failures: deque[MongoError] = deque()
        """What the next readings run into."""
        self.first = cluster_time(oldest, 0)
        self.batch_size = 1000
        self.open = 0
        """Readings under way."""
        self.gate = asyncio.Event()
        """Closed, no reading gives anything."""
        self.gate.set()
        self._now = cluster_time(now, 1)
        self._head = self._now + START_OF_INSTANT
        self._readers: set[asyncio.Queue[Batch | MongoError]] = set()

    async def now(self) -> str:
        return self._now

    async def oldest(self) -> str:
        return self.first

    def emit(self, *changes: Change) -> None:
        """Something happens: every reading sees it."""
        self.changes += changes
        self._tell(batch(*changes))

    def tick(self, seconds: int) -> None:
        """Time moves on without a change."""
        self._tell(Batch([], start_of(seconds)))

    def fail(self, error: MongoError) -> None:
        """Every reading under way ends with this error."""
        for reader in self._readers:
            reader.put_nowait(error)

    async def read(self, start: str) -> AsyncGenerator[Batch, None]:
        self.starts.append(start)
        if self.failures:
            raise self.failures.popleft()
        if start < self.first:
            raise HistoryLost(f"the oplog begins at {self.first}")
        reader: asyncio.Queue[Batch | MongoError] = asyncio.Queue()
        for piece in self._pieces(start):
            reader.put_nowait(piece)
        self._readers.add(reader)
        self.open += 1
        try:
            while True:
                step = await reader.get()
                await self.gate.wait()
                if isinstance(step, MongoError):
                    raise step
                yield step
        finally:
            self.open -= 1
            self._readers.discard(reader)

    def _pieces(self, start: str) -> list[Batch]:
        due = [change for change in self.changes if change.time >= start]
        size = self.batch_size
        pieces = [batch(*due[i : i + size]) for i in range(0, len(due), size)]
        return [*pieces, Batch([], max(self._head, start + START_OF_INSTANT))]

    def _tell(self, news: Batch) -> None:
        self._head = max(self._head, news.head)
        self._now = max(self._now, news.head[:16])
        for reader in self._readers:
            reader.put_nowait(news)


class FakeListener:
    """Keeps what the hub gives; refuses while it is ``full``."""

    def __init__(self, *, period: float = float("inf")) -> None:
        self.period = period
        self.beaten = 0.0
        self.full = False
        self.data: list[bytes] = []
        self.behind: list[Place] = []

    def send(self, data: bytes) -> bool:
        if not self.full:
            self.data.append(data)
        return not self.full

    def fall_behind(self, place: Place) -> None:
        self.behind.append(place)

    @property
    def events(self) -> list[Event]:
        return events_in(b"".join(self.data))


class FakeTransport(asyncio.WriteTransport):
    """A socket whose client reads everything at once, or nothing while ``stuck``."""

    def __init__(self) -> None:
        super().__init__()
        self.received = b""
        self.unsent = b""
        self.stuck = False
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.unsent += data
        if not self.stuck:
            self.read()

    def read(self, size: int | None = None) -> None:
        """The client reads so many bytes, or all there are."""
        self.received += self.unsent[:size]
        self.unsent = b"" if size is None else self.unsent[size:]

    def get_write_buffer_size(self) -> int:
        return len(self.unsent)

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True
        self.unsent = b""

    @property
    def events(self) -> list[Event]:
        return events_in(self.received)

"""A client that begins with the state: snapshot, then messages, through any number of cuts."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Self

import aiohttp
import orjson

from tests.acceptance.plain_json import canonical
from tests.acceptance.replica import Json, Replica, name_of
from tests.acceptance.sse_client import QUIET, RETRY, CutError, abort
from tests.acceptance.sse_parser import Event, SseParser


class ConflatedReplica(Replica):
    """Takes the latest of a document whatever it had before."""

    def apply(self, message: dict[str, Json]) -> None:
        if message["op"] in ("delete", "leave"):
            self.documents.pop(name_of(message), None)
        else:
            assert message["mode"] == "full", message
            self.documents[name_of(message)] = message["document"]


class StateClient:
    """Holds the documents of some channels.

    ``drops`` is the range of events after which it cuts its connection; None never does. The
    channels that ``conflated`` names may leave messages out.
    """

    def __init__(
        self,
        *,
        urls: Callable[[], Sequence[str]],
        channels: Sequence[str],
        drops: tuple[int, int] | None = None,
        conflated: Callable[[str], bool] = lambda _channel: False,
        seed: int = 0,
        token: str = "",
    ) -> None:
        self.channels = [*channels]
        self.cursor = ""
        self.connections = 0
        self.snapshots = 0
        self.resyncs: list[dict[str, Json]] = []
        self.events: list[dict[str, Json]] = []
        self.messages: dict[str, list[str]] = {channel: [] for channel in channels}
        """The positions of the messages since the last snapshot of each channel."""
        self.stands_at: dict[str, str] = {}
        """The cursor that the last snapshot of each channel stands at."""
        self.replicas: dict[str, Replica] = {}
        self.kinds: list[str] = []
        """The types of the events on the connection that is open now."""
        self._urls = urls
        self._drops = drops
        self._conflated = conflated
        self._random = random.Random(seed)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._open: set[str] = set()
        self._again: set[str] = set()
        self._partial: dict[str, Replica] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def until(self, done: Callable[["StateClient"], Any], limit: float = 20.0) -> None:
        """Returns once it holds; raises what broke the stream before that."""
        assert self._task is not None
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit
        while not done(self):
            if self._task.done():
                self._task.result()
            seen = {channel: len(found) for channel, found in self.messages.items()}
            assert loop.time() < deadline, f"at {self.cursor}: {seen}, {self.kinds[-5:]}"
            await asyncio.sleep(0.02)

    def held(self, channel: str) -> dict[str, str]:
        """The documents of a channel as canonical JSON."""
        replica = self.replicas.get(channel)
        found = replica.documents if replica else {}
        return {name: canonical(document) for name, document in found.items()}

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_read=QUIET)
        async with aiohttp.ClientSession(timeout=timeout, read_bufsize=2**20) as session:
            while True:
                with suppress(aiohttp.ClientError, ConnectionError, CutError):
                    await self._connection(session)
                await asyncio.sleep(RETRY)

    async def _connection(self, session: aiohttp.ClientSession) -> None:
        asked = [("channel", name) for name in self.channels] + [("snapshot", "1")]
        asked += [("since", self.cursor)] if self.cursor else []
        url = self._random.choice(list(self._urls()))
        async with session.get(f"{url}/sse", params=asked, headers=self._headers) as answer:
            assert answer.status == 200, await answer.text()
            self.connections += 1
            self.kinds = []
            self._again |= self._open
            self._open, self._partial = set(), {}
            try:
                await self._read(answer)
            except CutError:
                abort(answer)
                raise

    async def _read(self, answer: aiohttp.ClientResponse) -> None:
        parser = SseParser()
        left = self._random.randint(*self._drops) if self._drops else None
        async for chunk in answer.content.iter_any():
            for event in parser.feed(chunk):
                self.take(event)
                if left is not None and (left := left - 1) < 0:
                    raise CutError

    def take(self, event: Event) -> None:
        """Checks one event and applies it."""
        data = orjson.loads(event.data)
        self.kinds.append(event.type)
        if event.type == "snapshot":
            self._take_state(data, event)
        elif event.type == "message":
            for message in data["messages"] if data["type"] == "batch" else [data]:
                self._take_message(message)
        elif event.type == "resync":
            self.resyncs.append(data)
        if event.id is not None:
            self.cursor, self._open = event.id, set()

    def _take_state(self, data: dict[str, Json], event: Event) -> None:
        channel = data["channel"]
        assert "live" not in self.kinds, "a state after live"
        kind = ConflatedReplica if self._conflated(channel) else Replica
        replica = self._partial.setdefault(channel, kind())
        for entry in data["documents"]:
            name = name_of(entry)
            assert name not in replica.documents, f"twice in one state: {entry}"
            replica.documents[name] = entry["document"]
        if not data["more"]:
            self.snapshots += 1
            self.replicas[channel], self.messages[channel] = replica, []
            self.stands_at.pop(channel, None)
        if event.id:
            for name in self.channels:
                self.stands_at.setdefault(name, event.id)

    def _take_message(self, message: dict[str, Json]) -> None:
        self._open.add(message["id"])
        if message["id"] in self._again:
            self._again.remove(message["id"])
            return
        channel, position = message["channel"], message["id"][9:]
        seen = self.messages[channel]
        assert not seen or seen[-1] < position, f"again or out of order: {message}"
        seen.append(position)
        if message["type"] == "event":
            self.events.append(message)
        else:
            self.replicas[channel].apply(message)

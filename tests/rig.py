"""A bridge on real sockets over scripted sources, put together as the service does."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from bridge import admin
from bridge.answers import Answers
from bridge.auth import Anonymous, Gate
from bridge.backfill import Backfills
from bridge.channels import Channels
from bridge.clients import Clients, networks
from bridge.connections import Connections, Limits
from bridge.door import Door
from bridge.encode import Encoder
from bridge.events import Message
from bridge.feed import Feed
from bridge.history import History
from bridge.hub import Hub
from bridge.listener import listening
from bridge.metrics import Metrics
from bridge.routing import Route
from bridge.server import Server
from bridge.serving import Serving
from bridge.snapshots import Snapshots
from bridge.stream import Stream
from bridge.templates import Template
from bridge.visit import Lobby
from bridge.watcher import Watcher
from tests.acceptance.sse_parser import Event, SseParser
from tests.fakes import FakeSource

TODOS, ORDERS = "1f3a9c02", "77777777"
WINDOW = 120
NOW = 1000
"""The cluster time second at which the bridge starts."""

PATIENT = 5.0
"""Seconds that a test waits for what must come."""


class Rig:
    """Two watchers, ``todos:{workspace}`` and ``orders:{workspace}``, and their sources."""

    def __init__(
        self,
        *,
        heartbeat: float = 15,
        patience: float = 30,
        write_buffer: int = 1 << 20,
        cors_origins: Sequence[str] = (),
        anonymous: Sequence[str] = ("todos:*", "orders:*", "nobody:*"),
        gate: Gate | None = None,
        most: int = 1000,
        each: int = 100,
        max_age: float = 0,
        handshake: float = 10,
        idle: float = 75,
        most_waiting: int = 1024,
    ) -> None:
        self.todos, self.orders = FakeSource(now=NOW), FakeSource(now=NOW)
        self.hub = Hub(flush_interval=0, max_write=write_buffer)
        self.metrics = Metrics()
        self.reported: list[tuple[str, BaseException]] = []
        """Errors in readings that nobody foresaw."""
        self.cuts: list[str] = []
        """Why TCP connections were cut."""
        lobby = partial(
            Lobby,
            patience=patience,
            count=self.cuts.append,
            handshake=handshake,
            idle=idle,
            most=most_waiting,
        )
        self.lobbies = {"public": lobby(), "admin": lobby()}
        read = {
            watcher(TODOS, "todos"): self.todos,
            watcher(ORDERS, "orders"): self.orders,
        }
        self.streams = [self._stream(each, source) for each, source in read.items()]
        by_feed = {each.feed: (each, source) for each, source in read.items()}
        backfills = Backfills(
            at_once=4,
            open_messages=lambda feed, start: messages(*by_feed[feed], start),
            spawn=spawn,
            count=self.metrics.backfills.inc,
            report=self._report,
        )
        snapshots = Snapshots(
            at_once=4,
            origins={},
            spawn=spawn,
            count=self.metrics.snapshots.inc,
            report=self._report,
        )
        answers = Answers(origins=cors_origins)
        door = Door(
            gate=gate or Gate(anonymous=Anonymous(patterns=anonymous)),
            clients=Clients(most=most, each=each),
            cookie="token",
            allows=answers.allows,
            trusted=networks(["127.0.0.0/8"]),
        )
        limits = Limits(
            heartbeat=heartbeat,
            patience=patience,
            write_buffer=write_buffer,
            max_age=max_age,
        )
        self.connections = Connections(hub=self.hub, limits=limits)
        channels = Channels(watchers=[*read], offers=snapshots.offers, most=128)
        serving = Serving(self.hub, channels, backfills, snapshots, self.connections, door)
        self.server = Server(serving=serving, answers=answers)

    def _listening(self, app: web.Application, name: str) -> AbstractAsyncContextManager[str]:
        return listening(app, host="127.0.0.1", port=0, lobby=self.lobbies[name])

    def _report(self, reading: str, error: BaseException) -> None:
        self.reported.append((reading, error))

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def _stream(self, of: Watcher, source: FakeSource) -> Stream:
        return Stream(
            name=of.feed.name,
            source=source,
            watchers=[of],
            hub=self.hub,
            metrics=self.metrics,
            window=WINDOW,
        )

    @property
    def feeds(self) -> list[Feed]:
        return [stream.watchers[0].feed for stream in self.streams]

    async def until_started(self) -> None:
        """Returns when every watcher is past its start."""
        await eventually(lambda: all(feed.started for feed in self.feeds))

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["Rig", None]:
        """The bridge serves for as long as the context lasts."""
        tasks = [asyncio.create_task(stream.run()) for stream in self.streams]
        tasks.append(asyncio.create_task(self.connections.keep_alive()))
        numbers = admin.application(streams=self.streams, metrics=self.metrics)
        try:
            async with (
                self._listening(self.server.application(), "public") as self.url,
                self._listening(numbers, "admin") as self.admin_url,
            ):
                yield self
                await self.server.drain(0)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


def spawn(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    return asyncio.create_task(coroutine, name=name)


def watcher(tag: str, name: str) -> Watcher:
    rule = Template(name + ":{workspace}")
    history = History(floor="0" * 22, window=WINDOW, max_messages=100_000, max_bytes=1 << 26)
    return Watcher(
        feed=Feed(name=name, tag=tag, history=history),
        rule=rule,
        route=Route(rule, expect_before=True),
        encoder=Encoder(mode="full", json="plain", wide=False, max_message=1 << 20),
        refuse=lambda reason: None,
    )


async def messages(
    of: Watcher, source: FakeSource, start: str
) -> AsyncGenerator[tuple[list[Message], str], None]:
    async with aclosing(source.read(start)) as batches:
        async for batch in batches:
            yield [each for change in batch.changes for each in of.messages(change)], batch.head


async def eventually(condition: Any) -> None:
    """Returns when the condition holds; fails when it does not come to."""
    async with asyncio.timeout(PATIENT):
        while not condition():
            await asyncio.sleep(0.005)


class Client:
    """An event stream as a client reads it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.parser = SseParser()
        self.events: list[Event] = []

    async def until(self, kind: str, number: int = 1) -> list[Event]:
        """All events so far, once there are so many of a kind (or the stream has ended)."""
        async with asyncio.timeout(PATIENT):
            while sum(event.type == kind for event in self.events) < number:
                data = await self.response.content.readany()
                if not data:
                    break
                self.events += self.parser.feed(data)
        return self.events

    async def end(self) -> list[Event]:
        """All events, once the stream has ended."""
        return await self.until("", 1)

    @property
    def kinds(self) -> list[str]:
        return [event.type for event in self.events]

    @property
    def keys(self) -> list[str]:
        """The keys of the documents in the messages."""
        return [self.data(event)["key"] for event in self.events if event.type == "message"]

    @staticmethod
    def data(event: Event) -> Any:
        return orjson.loads(event.data)


@asynccontextmanager
async def opened(rig: Rig, query: str, **headers: str) -> AsyncIterator[Client]:
    """An event stream; ``query`` is all that follows ``/sse?``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{rig.url}/sse?{query}", headers=named) as response,
    ):
        yield Client(response)

"""The service: builds everything from the configuration, owns the tasks, ends in order."""

import asyncio
import gc
import signal
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from typing import Any

import structlog
from aiohttp import web

from bridge import admin
from bridge.admission import gate_of, tokens_of
from bridge.answers import Answers
from bridge.assembly import assemble, plans, sources
from bridge.backfill import Backfills
from bridge.channels import Channels
from bridge.clients import Clients, networks
from bridge.config import AdminConfig, Config, ServerConfig
from bridge.connections import Connections, Limits
from bridge.door import Door
from bridge.events import Message
from bridge.feed import Feed
from bridge.hub import Hub
from bridge.listener import allow_files, listening
from bridge.metrics import Metrics
from bridge.mongo import Mongo
from bridge.server import Server
from bridge.serving import Serving
from bridge.snapshots import Origin, Snapshots
from bridge.source import GENTLE, MongoSource
from bridge.stream import Stream
from bridge.visit import MOST_WAITING, Lobby
from bridge.watcher import Watcher

log = structlog.get_logger("bridge")


class Service:
    """A bridge, from the configuration to the listeners.

    ``routes`` are added to the public listener (the demo's); ``announce`` is told
    the address once it listens.
    """

    def __init__(
        self,
        config: Config,
        *,
        routes: Iterable[web.RouteDef] = (),
        announce: Callable[[str], None] = lambda _url: None,
    ) -> None:
        self._config = config
        self._routes = tuple(routes)
        self._announce = announce
        self._metrics = Metrics()
        self._refused: set[tuple[str, str]] = set()
        self._failed: set[tuple[str, str]] = set()
        self._stopping = asyncio.Event()
        self._tokens = tokens_of(config.auth)

    async def run(self) -> None:
        """Serves until SIGTERM or SIGINT; a second one ends at once.

        Raises ConfigError, MongoRefused or MongoError where it cannot start.
        """
        _calm_the_collector()
        if lacking := allow_files(self._config.server.max_connections):
            log.warning(
                "not as many files can be open as server.max_connections needs: raise ulimit -n",
                lacking=lacking,
            )
        mongo = Mongo(self._config.mongo.uri.get_secret_value(), driver=self._config.mongo.driver)
        try:
            planned = plans(self._config)
            await mongo.now()
            identity = await mongo.identity()
            assembled = [
                await assemble(
                    plan,
                    mongo=mongo,
                    identity=identity,
                    config=self._config,
                    refuse=self._note_refused,
                )
                for plan in planned
            ]
            for each in assembled:
                for warning in each.warnings:
                    log.warning(warning, watcher=each.plan.name)
            origins = {each.watcher.feed: each.origin for each in assembled if each.origin}
            await self._serve(sources(assembled, mongo), origins)
        finally:
            await mongo.close()
            if self._tokens:
                await self._tokens.close()

    def stop(self) -> None:
        """Asks for an orderly end."""
        self._stopping.set()

    async def _serve(
        self, read: list[tuple[MongoSource, list[Watcher]]], origins: dict[Feed, Origin]
    ) -> None:
        config = self._config.server
        hub = Hub(flush_interval=config.flush_interval, max_write=config.write_buffer)
        streams = [self._stream(source, watchers, hub) for source, watchers in read]
        origin = {w.feed: (source, w) for source, watchers in read for w in watchers}
        async with asyncio.TaskGroup() as tasks:

            def spawn(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
                return tasks.create_task(coroutine, name=name)

            at_once = self._config.history.backfills
            backfills = Backfills(
                at_once=at_once,
                open_messages=lambda feed, start: _messages(*origin[feed], start),
                spawn=spawn,
                count=self._metrics.backfills.inc,
                report=self._report,
            )
            snapshots = Snapshots(
                at_once=at_once,
                origins=origins,
                spawn=spawn,
                count=self._metrics.snapshots.inc,
                report=self._report,
            )
            watchers = [watcher for _, watchers in read for watcher in watchers]
            connections = self._connections(hub)
            server = self._server(hub, watchers, backfills, snapshots, connections)
            await self._run_tasks(tasks, streams, server, connections)

    def _connections(self, hub: Hub) -> Connections:
        config = self._config.server
        limits = Limits(
            heartbeat=config.heartbeat,
            patience=config.patience,
            write_buffer=config.write_buffer,
            max_age=config.max_age,
        )
        connections = Connections(hub=hub, limits=limits)
        self._metrics.connections.set_function(lambda: len(connections))
        return connections

    def _server(
        self,
        hub: Hub,
        watchers: list[Watcher],
        backfills: Backfills,
        snapshots: Snapshots,
        connections: Connections,
    ) -> Server:
        config = self._config.server
        answers = Answers(
            origins=config.cors_origins, credentials=self._config.auth.cookie is not None
        )
        door = Door(
            gate=gate_of(self._config.auth, self._tokens),
            clients=Clients(most=config.max_connections, each=config.max_connections_per_client),
            cookie=self._config.auth.cookie,
            allows=answers.allows,
            trusted=networks(config.trusted_proxies),
        )
        channels = Channels(watchers=watchers, offers=snapshots.offers, most=config.max_channels)
        serving = Serving(hub, channels, backfills, snapshots, connections, door)
        return Server(serving=serving, answers=answers)

    async def _run_tasks(
        self,
        tasks: asyncio.TaskGroup,
        streams: list[Stream],
        server: Server,
        connections: Connections,
    ) -> None:
        running = [
            tasks.create_task(stream.run(), name=f"stream {stream.name}") for stream in streams
        ]
        running.append(tasks.create_task(connections.keep_alive(), name="keep alive"))
        config = self._config
        public = server.application(self._routes)
        numbers = admin.application(streams=streams, metrics=self._metrics)
        self._listen_to_signals(asyncio.current_task())  # before anybody is told that it runs
        async with (
            self._listening(numbers, "admin", config.admin) as admin_url,
            self._listening(public, "public", config.server) as url,
        ):
            log.info(f"admin on {admin_url}")
            log.info(f"listening on {url}")
            self._announce(url)
            await self._stopping.wait()
            log.info("stopping", connections=len(connections))
            with suppress(asyncio.CancelledError):  # a second signal ends the goodbyes
                await server.drain(config.server.drain)
        for task in running:
            task.cancel()

    def _listening(
        self, app: web.Application, name: str, at: AdminConfig | ServerConfig
    ) -> AbstractAsyncContextManager[str]:
        cut = self._metrics.cut
        lobby = Lobby(
            patience=self._config.server.patience,
            count=lambda why: cut.labels(name, why).inc(),
            most=max(MOST_WAITING, self._config.server.max_connections),
        )
        self._metrics.waiting.labels(name).set_function(lambda: len(lobby))
        return listening(app, host=at.host, port=at.port, lobby=lobby)

    def _stream(self, source: MongoSource, watchers: list[Watcher], hub: Hub) -> Stream:
        return Stream(
            name="+".join(watcher.feed.name for watcher in watchers),
            source=source,
            watchers=watchers,
            hub=hub,
            metrics=self._metrics,
            window=int(self._config.history.window),
        )

    def _listen_to_signals(self, main: "asyncio.Task[Any] | None") -> None:
        loop = asyncio.get_running_loop()

        def on_signal() -> None:
            if self._stopping.is_set() and main:
                main.cancel()
            self._stopping.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)

    def _note_refused(self, watcher: str, reason: str, key: Any = None) -> None:
        """Counts what goes to no channel; says so the first time, or for each outbox document."""
        self._metrics.refused.labels(watcher, reason).inc()
        if key is not None:
            log.warning("an outbox document is skipped", watcher=watcher, why=reason, key=str(key))
        elif (watcher, reason) not in self._refused:
            self._refused.add((watcher, reason))
            log.warning("not every change can be sent as it is", watcher=watcher, why=reason)

    def _report(self, reading: str, error: BaseException) -> None:
        """An error in one reading, which ends that reading and nothing else; told once."""
        self._metrics.failed_readings.labels(reading).inc()
        if (reading, type(error).__name__) not in self._failed:
            self._failed.add((reading, type(error).__name__))
            log.error("a reading failed; please report this", reading=reading, exc_info=error)


def _calm_the_collector() -> None:
    """Nothing on the hot path makes reference cycles: looking for them rarely is enough.

    Measured: 3 to 11 µs less for each change, and no pauses of tens of milliseconds with
    thousands of connections.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def _messages(
    source: MongoSource, watcher: Watcher, start: str
) -> AsyncGenerator[tuple[list[Message], str], None]:
    """A watcher's messages as read again from the oplog, batch by batch."""
    async with aclosing(source.read(start, most=GENTLE)) as batches:
        async for batch in batches:
            yield [m for change in batch.changes for m in watcher.messages(change)], batch.head
            await asyncio.sleep(0)  # live traffic first

"""A client over server-sent events that loses its connection and comes back."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Self

import aiohttp

from tests.acceptance.sse_parser import SseParser
from tests.acceptance.witness import LooseWitness, Witness

RETRY = 0.05
QUIET = 30.0
"""Seconds without a byte after which a stream counts as dead."""
MEDIA_TYPE = "text/event-stream; charset=utf-8"


class CutError(Exception):
    """The client cut its own connection."""


class SseClient:
    """Follows channels until it has what it waits for, through cuts, restarts and replicas.

    ``urls`` are used in turn, one per connection. ``drops`` is the range of events after which
    it cuts its connection hard; None never does.
    """

    def __init__(
        self,
        *,
        urls: Callable[[], Sequence[str]],
        witness: Witness,
        drops: tuple[int, int] | None = None,
        seed: int = 0,
    ) -> None:
        self.witness = witness
        self._urls = urls
        self._drops = drops
        self._random = random.Random(seed)
        self._turn = self._random.randrange(8)
        self._moved = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def until(self, done: Callable[[Witness], Any], limit: float = 20.0) -> None:
        """Returns once the witness satisfies; raises what broke the stream before that."""
        assert self._task is not None
        try:
            async with asyncio.timeout(limit):
                while not done(self.witness):
                    self._moved.clear()
                    moved = asyncio.create_task(self._moved.wait())
                    await asyncio.wait({moved, self._task}, return_when="FIRST_COMPLETED")
                    moved.cancel()
                    if self._task.done():
                        self._task.result()
        except TimeoutError:
            raise AssertionError(self._standing()) from None

    async def live(self, limit: float = 20.0) -> None:
        await self.until(lambda witness: witness.live, limit)

    def _standing(self) -> str:
        seen = {name: len(kept) for name, kept in self.witness.messages.items()}
        return (
            f"still waiting at {self.witness.cursor} after {self.witness.connections} "
            f"connections; live: {self.witness.live}; messages: {seen}; "
            f"resyncs: {self.witness.resyncs}"
        )

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_read=QUIET)
        async with aiohttp.ClientSession(timeout=timeout, read_bufsize=2**20) as session:
            while True:
                with suppress(aiohttp.ClientError, ConnectionError, CutError):
                    await self._connection(session)
                await asyncio.sleep(RETRY)

    async def _connection(self, session: aiohttp.ClientSession) -> None:
        self._turn += 1
        urls = self._urls()
        async with session.get(
            f"{urls[self._turn % len(urls)]}/sse", params=self._query(), headers=self._headers()
        ) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.headers["Content-Type"] == MEDIA_TYPE
            self.witness.connected()
            try:
                await self._read(answer)
            except CutError:
                abort(answer)
                raise

    def _query(self) -> list[tuple[str, str]]:
        channels = [("channel", name) for name in self.witness.channels]
        # With a header beside it, the parameter is stale: the header wins.
        return [*channels, ("since", self.witness.cursor)] if self.witness.cursor else channels

    def _headers(self) -> dict[str, str]:
        if self.witness.cursor and self.witness.connections and self._random.random() < 0.5:
            return {"Last-Event-ID": self.witness.cursor}
        return {}

    async def _read(self, answer: aiohttp.ClientResponse) -> None:
        parser = SseParser()
        left = self._random.randint(*self._drops) if self._drops else None
        async for chunk in answer.content.iter_any():
            for event in parser.feed(chunk):
                self.witness.take(event)
                if left is not None and (left := left - 1) < 0:
                    raise CutError
            self._moved.set()


def abort(answer: aiohttp.ClientResponse) -> None:
    """Resets the connection: no goodbye, unread bytes are lost."""
    if answer.connection is not None and answer.connection.transport is not None:
        answer.connection.transport.abort()


def follow(url: str, *channels: str, since: str | None = None, **more: Any) -> SseClient:
    """A client of one bridge that keeps messages as they are and allows all resyncs named."""
    witness = LooseWitness(channels=list(channels), since=since, whole=False, **more)
    return SseClient(urls=lambda: [url], witness=witness)

"""A client that does not read costs the others nothing."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import orjson

from tests.acceptance.conftest import MakeBridge
from tests.acceptance.sse_client import SseClient, follow
from tests.acceptance.sse_parser import Event, SseParser
from tests.acceptance.test_replay import count_of, items
from tests.acceptance.traffic import Database, create_with_images

MEGABYTE = 2**20
MEMORY = {"history": {"max_bytes": 4 * MEGABYTE}}
COUNT, SIZE = 600, 100_000


@contextmanager
def stuck(url: str, channel: str) -> Iterator[socket.socket]:
    """A connection that asks for a stream and then reads nothing, with a tiny buffer."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        where = urlsplit(url)
        connection.connect((where.hostname, where.port))
        # HTTP/1.0: no chunks, the stream is the rest of the connection.
        connection.sendall(f"GET /sse?channel={channel} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
        connection.setblocking(False)
        yield connection


async def flood(database: Database, reader: SseClient | None = None) -> None:
    """60 MB on one channel, as fast as the reader takes it."""
    start = len(reader.witness.messages["items:a"]) if reader else 0
    for first in range(0, COUNT, 10):
        await database["items"].insert_many([{"room": "a", "text": "x" * SIZE} for _ in range(10)])
        if reader is not None:
            await reader.until(count_of("items:a", start + first + 10))


async def read_to(connection: socket.socket, wanted: str, limit: float = 15) -> list[Event]:
    """Reads until an event of that type has come, or the connection ends."""
    parser, head = SseParser(), b""
    events: list[Event] = []
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(limit):
        while chunk := await loop.sock_recv(connection, MEGABYTE):
            if b"\r\n\r\n" not in head:
                head += chunk
                _, _, chunk = head.partition(b"\r\n\r\n")
            events += parser.feed(chunk)
            if any(event.type == wanted for event in events):
                break
    return events


async def test_others_stay_current_and_memory_stays_bounded(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "items")
    process = await bridge({"items": items(database)}, **MEMORY).start()
    async with follow(process.url, "items:a") as client:
        await client.live()
        # The allocator's own pools have grown to their size after the second flood.
        await flood(database, client)
        await flood(database, client)
        before = process.resident()
        with stuck(process.url, "items:a") as first, stuck(process.url, "items:a") as second:
            await asyncio.sleep(0.3)
            await flood(database, client)
            assert process.resident() - before < 24 * MEGABYTE
            for connection in (first, second):
                assert reasons(await read_to(connection, "resync")) == ["slow_consumer"]


def reasons(events: list[Event]) -> list[Any]:
    return [orjson.loads(event.data)["reason"] for event in events if event.type == "resync"]


async def test_a_client_that_stays_stuck_is_cut_after_the_patience(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "items")
    process = await bridge({"items": items(database)}, server={"patience": 1}, **MEMORY).start()
    with stuck(process.url, "items:a") as connection:
        await asyncio.sleep(0.3)
        await flood(database)
        await asyncio.sleep(2)
        try:
            events = await read_to(connection, "never", limit=5)
        except ConnectionResetError:
            return
        assert events

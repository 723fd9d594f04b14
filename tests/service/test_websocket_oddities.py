"""Frames as no library sends them: fragments, floods, half-closed connections, broken headers."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from tests.fakes import insert
from tests.rig import Rig, eventually
from tests.socket_client import connected

HANDSHAKE = (
    "GET /ws HTTP/1.1\r\nHost: bridge\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
TEXT, MORE, CLOSE, PING, PONG = 1, 0, 8, 9, 10


def frame(
    opcode: int, body: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True
) -> bytes:
    """A frame as a client sends it (RFC 6455, section 5.2)."""
    first = (0x80 if fin else 0) | (rsv << 4) | opcode
    size = len(body)
    mask = 0x80 if masked else 0
    if size < 126:
        head = bytes([first, mask | size])
    else:
        head = bytes([first, mask | 126]) + size.to_bytes(2, "big")
    if not masked:
        return head + body
    key = b"\x11\x22\x33\x44"
    return head + key + bytes(byte ^ key[at % 4] for at, byte in enumerate(body))


class Raw:
    """A TCP connection on which a WebSocket was opened."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def receive(self) -> tuple[int, bytes]:
        """The opcode and the body of the next frame."""
        async with asyncio.timeout(5):
            first, size = await self.reader.readexactly(2)
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2), "big")
            return first & 15, await self.reader.readexactly(size)

    async def until(self, opcode: int) -> bytes:
        while True:
            kind, body = await self.receive()
            if kind == opcode:
                return body


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig(write_buffer=64 * 1024, patience=5).running() as running:
        await running.until_started()
        yield running


@pytest.fixture
async def raw(rig: Rig) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(HANDSHAKE.encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    yield Raw(reader, writer)
    writer.close()


async def test_a_request_may_come_in_fragments_with_pings_between(rig: Rig, raw: Raw) -> None:
    request = orjson.dumps({"type": "subscribe", "channels": ["todos:a"]})
    raw.send(frame(TEXT, request[:5], fin=False))
    raw.send(frame(PING, b"still there?"))
    for at in range(5, len(request) - 1):
        raw.send(frame(MORE, request[at : at + 1], fin=False))
        await asyncio.sleep(0)
    assert await raw.receive() == (PONG, b"still there?")
    raw.send(frame(MORE, request[-1:]))
    assert orjson.loads((await raw.receive())[1])["type"] == "ready"


async def test_fragments_that_are_too_much_together_are_closed(raw: Raw) -> None:
    raw.send(frame(TEXT, b"x" * 60_000, fin=False))
    raw.send(frame(MORE, b"x" * 60_000))
    assert int.from_bytes((await raw.until(CLOSE))[:2], "big") == 4500


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"\xff\xfe"), 1007),
        (frame(TEXT, b"{}", rsv=4), 1002),
        (frame(3, b"{}"), 1002),
        (frame(MORE, b"{}"), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(CLOSE, b"x"), 1002),
        (frame(CLOSE, b"\x00\x01"), 1002),
    ],
)
async def test_frames_against_the_rfc_are_closed_with_its_codes(
    raw: Raw, data: bytes, code: int
) -> None:
    raw.send(data)
    assert int.from_bytes((await raw.until(CLOSE))[:2], "big") == code


async def test_a_flood_of_pings_that_nobody_reads_takes_no_memory(rig: Rig, raw: Raw) -> None:
    """Answers pile up to the socket's bound; then the bridge reads no more."""
    flood = frame(TEXT, b'{"type":"ping","ref":"' + b"x" * 60 + b'"}') * 500

    async def pour() -> None:
        while True:
            raw.send(flood)
            await raw.writer.drain()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pour(), 2)
    (connection,) = rig.connections.open.values()
    assert connection._outlet._transport.get_write_buffer_size() < 1 << 20  # type: ignore[attr-defined]
    async with connected(rig.url) as other:  # others are served meanwhile
        await other.subscribe("todos:a")
        await other.until("live")


async def test_a_client_that_half_closes_is_gone(rig: Rig, raw: Raw) -> None:
    raw.writer.write_eof()
    await eventually(lambda: not rig.connections.open)


async def test_a_client_that_does_not_answer_a_close_is_cut(rig: Rig, raw: Raw) -> None:
    raw.send(frame(TEXT, b"nonsense"))
    await raw.until(CLOSE)
    await eventually(lambda: not rig.connections.open)
    assert await raw.reader.read() == b""


async def test_a_clients_close_is_answered(rig: Rig, raw: Raw) -> None:
    raw.send(frame(TEXT, b'{"type":"subscribe","channels":["todos:a"]}'))
    raw.send(frame(CLOSE, (1000).to_bytes(2, "big")))
    assert int.from_bytes(await raw.until(CLOSE), "big") == 1000
    await eventually(lambda: not rig.connections.open)
    rig.todos.emit(insert(1001, "a"))


async def test_frames_of_every_length_are_framed_as_the_rfc_says(rig: Rig) -> None:
    async with connected(rig.url) as client:
        await client.subscribe("todos:a")
        await client.until("live")
        sizes = [0, 1, 100, 125, 126, 127, 65_300, 65_535, 65_536, 70_000]
        for second, size in enumerate(sizes, 1001):
            rig.todos.emit(insert(second, "a", text="x" * size))
        await client.until("change", len(sizes))
        assert [len(frame["document"]["text"]) for frame in client.of("change")] == sizes

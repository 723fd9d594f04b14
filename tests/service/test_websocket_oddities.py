"""Frames as no library sends them: fragments, floods, half-closed connections, broken headers."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from tests.fakes import insert
from tests.raw_socket import CLOSE, HANDSHAKE, MORE, PING, PONG, TEXT, Raw, frame
from tests.rig import Rig, eventually
from tests.socket_client import connected


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

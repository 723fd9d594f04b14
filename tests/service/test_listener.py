"""What a TCP connection may cost: headers, bodies, and the time they take, over real sockets."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import orjson
import pytest

from tests.fakes import insert, start_of
from tests.rig import NOW, PATIENT, TODOS, Rig, eventually, opened
from tests.socket_client import connected as websocket

SSE = b"GET /sse?channel=todos:acme HTTP/1.1\r\nHost: x\r\n"
NOTHING = b"GET /nothing HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /tickets HTTP/1.1\r\nHost: x\r\n"
KIB = 1024


class Raw:
    """A TCP connection that sends what it likes."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._received = b""

    async def send(self, *parts: bytes) -> None:
        """Sends, as far as the other end takes it."""
        try:
            async with asyncio.timeout(PATIENT):
                for part in parts:
                    await self._loop.sock_sendall(self._sock, part)
        except ConnectionError:
            pass

    async def headers(self) -> dict[str, str]:
        """The headers of an answer; its status as ``Status``."""
        while b"\r\n\r\n" not in self._received:
            await self._receive()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        return {"Status": first.split()[1], **dict(line.split(": ", 1) for line in lines)}

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer that says how long it is."""
        headers = await self.headers()
        length = int(headers["Content-Length"])
        while len(self._received) < length:
            await self._receive()
        body, self._received = self._received[:length], self._received[length:]
        return int(headers["Status"]), headers, body

    async def code(self) -> tuple[int, str]:
        """Status and problem code of an answer."""
        status, headers, body = await self.answer()
        assert headers["Content-Type"] == "application/problem+json"
        assert headers["X-Content-Type-Options"] == "nosniff"
        problem: dict[str, Any] = orjson.loads(body)
        assert problem["status"] == status
        return status, problem["code"]

    async def closed(self) -> bytes:
        """What came until the other end closed."""
        with suppress(ConnectionError):
            while True:
                await self._receive()
        return self._received

    async def _receive(self) -> None:
        async with asyncio.timeout(PATIENT):
            data = await self._loop.sock_recv(self._sock, 64 * KIB)
        if not data:
            raise ConnectionResetError("closed")
        self._received += data


@asynccontextmanager
async def connected(rig: Rig, *, admin: bool = False, buffer: int = 0) -> AsyncIterator[Raw]:
    """``buffer``: bytes that the client's side of TCP takes unread; 0: as many as it likes."""
    url = rig.admin_url if admin else rig.url
    with socket.socket() as sock:
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.setblocking(False)
        address = "127.0.0.1", int(url.rpartition(":")[2])
        await asyncio.get_running_loop().sock_connect(sock, address)
        yield Raw(sock)


@pytest.fixture
async def rig(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Rig]:
    async with Rig().running() as running:
        await running.until_started()
        yield running
        async with opened(running, "channel=todos:acme") as client:  # it still serves
            await client.until("live")
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"junk\r\n\r\n", (400, "bad_request")),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400, "bad_request")),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, "bad_request")),
        (b"GET /sse HTTP/9.9\r\n\r\n", (400, "bad_request")),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", (400, "bad_request")),
        (NOTHING + b"A: b\x00c\r\n\r\n", (400, "bad_request")),
        (NOTHING + b"Content-Length: -1\r\n\r\n", (400, "bad_request")),
        (NOTHING + b"Expect: a miracle\r\n\r\n", (400, "bad_request")),
        (NOTHING + b"Expect: \xff\r\n\r\n", (400, "bad_request")),
        (b"GET / HTTP/1.1\r\n\r\n", (400, "bad_request")),
        (
            NOTHING + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            (400, "bad_request"),
        ),
        (b"GET /" + b"a" * 70 * KIB + b" HTTP/1.1\r\n\r\n", (414, "uri_too_long")),
        (b"GET /" + b"a" * 10240 * KIB + b" HTTP/1.1\r\n\r\n", (414, "uri_too_long")),
        (NOTHING + b"A: " + b"b" * 17 * KIB + b"\r\n\r\n", (431, "header_too_large")),
        (NOTHING + b"A" * 10240 * KIB + b": b\r\n\r\n", (431, "header_too_large")),
        (NOTHING + b"A: b\r\n" * 101 + b"\r\n", (431, "header_too_large")),
        (NOTHING + (b"A: " + b"b" * 15 * KIB + b"\r\n") * 700, (431, "header_too_large")),
        (NOTHING + b"Content-Length: 104857600\r\n\r\n", (413, "content_too_large")),
        (SSE + b"Content-Length: 104857600\r\n\r\n" + b"x" * KIB, (413, "content_too_large")),
        (POST + b"Content-Length: 70000\r\n\r\n", (413, "content_too_large")),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", (404, "bad_request")),
        (b"GET /client/%2e%2e/%2e%2e/errors.py HTTP/1.1\r\nHost: x\r\n\r\n", (404, "bad_request")),
        (b"GET //evil.org/sse HTTP/1.1\r\nHost: x\r\n\r\n", (404, "bad_request")),
        (b"CONNECT evil.org:443 HTTP/1.1\r\nHost: x\r\n\r\n", (404, "bad_request")),
    ],
)
async def test_what_is_wrong_or_too_large_is_a_problem(
    rig: Rig, sent: bytes, answer: tuple[int, str]
) -> None:
    async with connected(rig) as client:
        await client.send(sent)
        assert await client.code() == answer
    assert len(rig.cuts) <= 1


async def test_every_answer_says_what_it_is_and_not_what_made_it(rig: Rig) -> None:
    for admin, path in ((False, "sse?channel=todos:acme"), (False, "nothing"), (True, "metrics")):
        async with connected(rig, admin=admin) as client:
            await client.send(f"GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            headers = await client.headers()
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Server"] == "livesync-bridge"


async def test_the_longest_token_fits_into_a_header(rig: Rig) -> None:
    async with connected(rig) as client:
        await client.send(SSE + b"Authorization: Bearer " + b"x" * 8192 + b"\r\n\r\n")
        assert await client.code() == (401, "unauthorized")


async def test_a_small_body_that_nobody_reads_does_no_harm(rig: Rig) -> None:
    async with connected(rig) as client:
        for _ in range(3):
            await client.send(POST + b"Content-Length: 60000\r\n\r\n")
            await client.send(b"x" * 60000)
            assert await client.code() == (401, "unauthorized")


@pytest.mark.parametrize("chunk", [b"2000\r\n" + b"x" * 8192 + b"\r\n", b"nonsense\r\n"])
async def test_an_endless_or_broken_body_is_not_kept(rig: Rig, chunk: bytes) -> None:
    async with connected(rig) as client:
        await client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        await client.send(*[chunk] * 200)
        received = await client.closed()
    assert received.split()[1] in (b"400", b"401", b"431")


async def test_a_compressed_body_is_not_unpacked(rig: Rig) -> None:
    async with connected(rig) as client:
        await client.send(
            POST + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\n",
            b"not gzip!",
        )
        assert await client.code() == (401, "unauthorized")


async def test_who_sends_on_and_on_while_it_is_served_is_cut(rig: Rig) -> None:
    async with connected(rig) as client:
        await client.send(SSE + b"\r\n", *[NOTHING + b"A: " + b"b" * 8000 + b"\r\n\r\n"] * 40)
        await client.closed()
    assert rig.cuts == ["too_large"]
    await eventually(lambda: not rig.connections.open)


async def test_a_websocket_may_send_as_much_as_it_likes_in_its_own_limits(rig: Rig) -> None:
    async with websocket(rig.url) as client:
        for number in range(6000):
            await client.send("ping", ref=number)
        await client.until("pong", 6000)
    assert [frame["ref"] for frame in client.of("pong")] == [*range(6000)]
    assert rig.cuts == []


async def test_some_requests_sent_ahead_are_answered_in_order(rig: Rig) -> None:
    async with connected(rig) as client:
        await client.send((NOTHING + b"\r\n") * 100)
        for _ in range(100):
            assert await client.code() == (404, "bad_request")


@pytest.mark.parametrize("admin", [False, True])
@pytest.mark.parametrize(
    "first", [b"", b"GET", NOTHING, NOTHING + b"\r\n", NOTHING + b"\r\n" + NOTHING]
)
async def test_who_does_not_finish_a_request_is_cut_in_time(first: bytes, admin: bool) -> None:
    async with (
        Rig(handshake=0.2, idle=0.4).running() as rig,
        connected(rig, admin=admin) as client,
    ):
        before = asyncio.get_running_loop().time()
        await client.send(first)
        await client.closed()
        took = asyncio.get_running_loop().time() - before
        idle = first.endswith(b"\r\n\r\n")
        assert (0.4 if idle else 0.2) <= took < (0.4 if idle else 0.2) + 0.3
        assert rig.cuts == ["late"]
        assert not rig.lobbies["admin" if admin else "public"]


async def test_a_header_that_comes_byte_by_byte_does_not_win_time() -> None:
    async with Rig(handshake=0.2).running() as rig, connected(rig) as client:
        before = asyncio.get_running_loop().time()
        ended = asyncio.ensure_future(client.closed())
        await client.send(NOTHING + b"A: ")
        while not ended.done():
            await client.send(b"b")
            await asyncio.sleep(0.01)
        assert 0.2 <= asyncio.get_running_loop().time() - before < 0.5


async def test_an_event_stream_is_not_hurried() -> None:
    async with Rig(handshake=0.1, idle=0.1).running() as rig:
        await rig.until_started()
        async with opened(rig, "channel=todos:acme") as client:
            await client.until("live")
            await asyncio.sleep(0.3)
            rig.todos.emit(insert(1001))
            await client.until("message")
            assert client.keys == ["1001.1"]
            assert rig.cuts == []


async def test_of_too_many_that_wait_the_one_that_has_waited_longest_is_cut() -> None:
    async with Rig(most_waiting=3).running() as rig:
        await rig.until_started()
        async with opened(rig, "channel=todos:acme") as served:
            await served.until("live")
            async with (
                connected(rig) as first,
                connected(rig) as second,
                connected(rig) as third,
            ):
                await eventually(lambda: len(rig.lobbies["public"]) == 3)
                async with connected(rig) as fourth:
                    await first.closed()
                    assert rig.cuts == ["crowded"]
                    for client in (second, third, fourth):
                        await client.send(NOTHING + b"\r\n")
                        assert await client.code() == (404, "bad_request")
            rig.todos.emit(insert(1001))
            await served.until("message")


async def test_of_too_many_unfinished_bytes_the_heaviest_go() -> None:
    long = b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\n" + (b"A: " + b"b" * 12_000 + b"\r\n") * 4
    async with Rig().running() as rig, connected(rig) as small, AsyncExitStack() as stack:
        await small.send(NOTHING)
        for _ in range(200):
            client = await stack.enter_async_context(connected(rig))
            await client.send(long)
        await eventually(lambda: len(rig.cuts) > 20)
        assert set(rig.cuts) == {"crowded"}
        assert rig.lobbies["public"]._held <= 16 * KIB * KIB
        await small.send(b"\r\n")
        assert await small.code() == (404, "bad_request")
    await eventually(lambda: not rig.lobbies["public"]._held)


async def test_who_does_not_take_its_answers_is_cut() -> None:
    async with (
        Rig(patience=0.3).running() as rig,
        connected(rig, admin=True, buffer=4 * KIB) as client,
    ):
        await client.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 3000)
        await eventually(lambda: bool(rig.cuts))
        assert rig.cuts == ["stuck"]


async def test_a_page_of_history_that_nobody_takes_is_cut_and_its_room_is_free_again() -> None:
    async with Rig(patience=0.3, each=1).running() as rig:
        await rig.until_started()
        rig.todos.emit(*(insert(1001 + n, text="x" * 900_000) for n in range(8)))
        path = f"/channels/todos:acme/history?since={TODOS}-{start_of(NOW)}"
        await eventually(lambda: len(rig.feeds[0].history) == 8)
        async with connected(rig, buffer=4 * KIB) as client, connected(rig) as other:
            await client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await asyncio.sleep(0.1)
            await other.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert await other.code() == (429, "too_many_connections")
            await asyncio.sleep(0.4)  # more than its patience
            await other.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            status, _, body = await other.answer()
        assert (status, len(orjson.loads(body)["messages"])) == (200, 8)


async def test_an_ended_stream_whose_goodbye_nobody_takes_is_cut() -> None:
    async with Rig(patience=0.3, max_age=0.5).running() as rig:
        await rig.until_started()
        async with connected(rig, buffer=4 * KIB) as client:
            await client.send(SSE + b"\r\n")
            await client.headers()
            await eventually(lambda: bool(rig.connections.open))
            rig.todos.emit(*(insert(1001 + n, text="x" * 900_000) for n in range(8)))
            await eventually(lambda: not rig.connections.open)
            assert b"max_age" not in await client.closed()


async def test_a_dead_peer_is_noticed_by_tcp(rig: Rig) -> None:
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        pytest.fail("this system has no TCP_USER_TIMEOUT")
    async with opened(rig, "channel=todos:acme") as client:
        await client.until("live")
        (connection,) = rig.connections.open.values()
        transport = connection._outlet._transport  # type: ignore[attr-defined]
        accepted = transport.get_extra_info("socket")
        options = [socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_USER_TIMEOUT]
        values = [accepted.getsockopt(socket.IPPROTO_TCP, option) for option in options]
        assert values == [30, 10, 30000]
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1

"""Clients that mean no good, as a process of their own: each does one thing over and over.

``python -m tests.acceptance.attackers http://127.0.0.1:8080 SECONDS CHANNEL…``: it attacks nothing
but this machine, paced, and ends by itself. What they did is printed as JSON, a count for each.
"""

import asyncio
import os
import random
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import TypeAlias
from urllib.parse import urlsplit

import aiohttp
import orjson

PAUSE = 0.05
"""Seconds between two attempts of one attacker: what they send matters, not how much of it."""

HALF_OPEN = 500
NEVER_READING = 20
HUGE = 10 * 1024 * 1024
TRAVERSALS = (
    "/client/../../../../etc/passwd",
    "/client/%2e%2e/%2e%2e/etc/passwd",
    "/client/..%2f..%2fetc%2fpasswd",
    "/client//etc/passwd",
    "/client/%00",
    "/channels/..%2f..%2fetc%2fpasswd/history?since=0000000000000000",
    "/channels/%ff/snapshot",
    "/../admin",
    "//metrics",
)
JUNK: tuple[bytes | str, ...] = (
    "",
    "nonsense",
    "[" * 30_000,
    '{"type":"subscribe","channels":["' + "x" * 60_000 + '"]}',
    '{"type":"subscribe","channels":' + str(["full:one"] * 5_000).replace("'", '"') + "}",
    '{"type":"auth","token":"' + "e" * 60_000 + '"}',
    b"\x00" * 60_000,
    "x" * HUGE,
)

Attack: TypeAlias = Callable[["Attackers"], Awaitable[None]]


class Attackers:
    """Their target, and what they have done to it."""

    def __init__(self, url: str, channels: list[str]) -> None:
        self.url = url
        self.channels = channels
        parts = urlsplit(url)
        assert parts.hostname in ("127.0.0.1", "localhost", "::1"), "this machine only"
        self.host, self.port = parts.hostname, parts.port or 80
        self.done: Counter[str] = Counter()
        self.random = random.Random(13)

    async def over_and_over(self, attack: Attack) -> None:
        name = attack.__name__
        while True:
            self.done[name] += 1
            with suppress(aiohttp.ClientError, OSError, EOFError, TimeoutError):
                async with asyncio.timeout(20):
                    await attack(self)
            await asyncio.sleep(PAUSE)

    async def connection(self, *, buffer: int = 0) -> socket.socket:
        made = socket.socket()
        made.setblocking(False)
        if buffer:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        await asyncio.get_running_loop().sock_connect(made, (self.host, self.port))
        return made


async def junk_frames(attackers: Attackers) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{attackers.url}/ws") as ws:
        for _ in range(10):
            junk = attackers.random.choice(JUNK)
            await (ws.send_str(junk) if isinstance(junk, str) else ws.send_bytes(junk))
            await ws.receive()


async def broken_websockets(attackers: Attackers) -> None:
    """Bytes that are no frames after a good handshake."""
    loop = asyncio.get_running_loop()
    with await attackers.connection() as made:
        await loop.sock_sendall(
            made,
            b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        )
        await loop.sock_sendall(made, os.urandom(5_000))
        await loop.sock_recv(made, 1 << 16)


async def huge_headers(attackers: Attackers) -> None:
    loop = asyncio.get_running_loop()
    with await attackers.connection() as made:
        await loop.sock_sendall(made, b"GET /sse HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * HUGE)


async def huge_bodies(attackers: Attackers) -> None:
    async with aiohttp.ClientSession() as session:
        await session.post(f"{attackers.url}/tickets", data=b"x" * HUGE)


async def many_channels(attackers: Attackers) -> None:
    loop = asyncio.get_running_loop()
    query = "&".join(f"channel=full:{number}" for number in range(10_000))
    with await attackers.connection() as made:
        await loop.sock_sendall(made, f"GET /sse?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await loop.sock_recv(made, 1 << 16)
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{attackers.url}/ws") as ws:
        for start in range(0, 10_000, 100):
            names = [f"full:{number}" for number in range(start, start + 100)]
            await ws.send_json({"type": "subscribe", "channels": names})
            await ws.receive()


async def path_traversal(attackers: Attackers) -> None:
    loop = asyncio.get_running_loop()
    for path in TRAVERSALS:
        with await attackers.connection() as made:
            request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            await loop.sock_sendall(made, request.encode())
            answer = await loop.sock_recv(made, 1 << 16)
            assert b"root:" not in answer
            assert answer[9:12] in (b"400", b"403", b"404"), (path, answer[:200])


async def half_open(attackers: Attackers) -> None:
    """Requests that never come to their end, a byte at a time."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(HALF_OPEN):
            one = stack.enter_context(await attackers.connection())
            await loop.sock_sendall(one, b"GET /sse?channel=full:one HTTP/1.1\r\nHost: x\r\nX-A: ")
            made.append(one)
        for _ in range(20):
            await asyncio.sleep(0.5)
            for one in made:
                with suppress(OSError):
                    await loop.sock_sendall(one, b"a")


async def never_reading(attackers: Attackers) -> None:
    """Event streams of everything, of which nothing is read."""
    loop = asyncio.get_running_loop()
    query = "&".join(f"channel={channel}" for channel in attackers.channels)
    async with AsyncExitStack() as stack:
        for _ in range(NEVER_READING):
            one = stack.enter_context(await attackers.connection(buffer=4096))
            request = f"GET /sse?{query}&since=0000000000000000 HTTP/1.1\r\nHost: x\r\n\r\n"
            await loop.sock_sendall(one, request.encode())
        await asyncio.sleep(15)


async def wild_queries(attackers: Attackers) -> None:
    pick = attackers.random
    texts = ["", "%00", "9" * 300, "-".join(["f" * 8] * 3), "🦊", "true", "1e999", "../..", "'\"<>"]
    names = ["since", "snapshot", "limit", "wait", "channel", "access_token"]
    async with aiohttp.ClientSession() as session:
        for _ in range(20):
            query = [(pick.choice(names), pick.choice(texts)) for _ in range(5)]
            path = pick.choice(["/sse", "/channels/full:one/history", "/channels/a%2Fb/snapshot"])
            async with session.get(attackers.url + path, params=query) as answer:
                assert answer.status < 500, await answer.text()


ATTACKS: tuple[Attack, ...] = (
    junk_frames,
    broken_websockets,
    huge_headers,
    huge_bodies,
    many_channels,
    path_traversal,
    half_open,
    never_reading,
    wild_queries,
)


async def attack(url: str, seconds: float, channels: list[str]) -> Counter[str]:
    """All of them at once, for so long."""
    attackers = Attackers(url, channels)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for each in ATTACKS:
                group.create_task(attackers.over_and_over(each))
    return attackers.done


if __name__ == "__main__":
    done = asyncio.run(attack(sys.argv[1], float(sys.argv[2]), sys.argv[3:]))
    sys.stdout.write(orjson.dumps(done).decode() + "\n")

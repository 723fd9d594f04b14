"""Everything that is unkind to a bridge at once, from a process of its own, for some seconds.

``python -m tests.acceptance.attackers HOST PORT CHANNEL SECONDS`` prints what it did as JSON.
"""

import asyncio
import base64
import json
import os
import random
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

HALF_OPEN = 500
NEVER_READING = 20
HOLD = 3.0
"""Seconds that the patience of the bridge is tried for."""

KIB = 1024
HOST = b" HTTP/1.1\r\nHost: x\r\n"


class Attack:
    """Attacks one bridge until told to end; ``did`` counts what was done."""

    def __init__(self, host: str, port: int, channel: str) -> None:
        self._address = host, port
        self._channel = channel.encode()
        self._random = random.Random(1)
        self.did: Counter[str] = Counter()

    async def run(self, seconds: float) -> None:
        """All of it at once."""
        again = [
            self._huge_headers,
            self._thousands_of_channels,
            self._traversal,
            self._noise,
            self._junk_frames,
            self._ping_flood,
            self._sent_ahead,
            self._forged_tokens,
        ]
        forever = [self._half_open] * HALF_OPEN + [self._never_reading] * NEVER_READING
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
                for attack in forever:
                    tasks.create_task(self._repeated(attack, 0.5))
                for attack in again:
                    tasks.create_task(self._repeated(attack, 0.1))

    async def _repeated(self, attack: Callable[[], Awaitable[None]], pause: float) -> None:
        await asyncio.sleep(self._random.uniform(0, 0.5))
        while True:
            self.did[attack.__name__.strip("_")] += 1
            with suppress(OSError):
                await attack()
            await asyncio.sleep(pause)

    async def _sent(self, *parts: bytes, hold: float = 0, buffer: int = 0) -> None:
        """Sends the parts on one connection; then reads what comes, or holds on to it unread."""
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            if buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            sock.setblocking(False)
            await loop.sock_connect(sock, self._address)
            for part in parts:
                await loop.sock_sendall(sock, part)
            await asyncio.sleep(hold)
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    while await loop.sock_recv(sock, 64 * KIB):
                        pass

    async def _half_open(self) -> None:
        await self._sent(b"GET /sse?channel=" + self._channel + HOST, hold=HOLD)

    async def _never_reading(self) -> None:
        line = b"GET /sse?since=%016x&channel=%b" % (1, self._channel)
        await self._sent(line + HOST + b"\r\n", hold=HOLD, buffer=4 * KIB)

    async def _huge_headers(self) -> None:
        await self._sent(b"GET /" + HOST + b"A: ", *[b"b" * 256 * KIB] * 40)

    async def _thousands_of_channels(self) -> None:
        for number in (4_000, 10_000):
            names = b"&".join(b"channel=c:%d" % n for n in range(number))
            await self._sent(b"GET /sse?" + names + HOST + b"\r\n")

    async def _traversal(self) -> None:
        for path in (b"/../../etc/passwd", b"/client/..%2f..%2f", b"/channels/..%00/history"):
            await self._sent(b"GET " + path + HOST + b"Connection: close\r\n\r\n")

    async def _noise(self) -> None:
        await self._sent(os.urandom(4 * KIB) + b"\r\n\r\n")

    async def _junk_frames(self) -> None:
        await self._sent(self._handshake(), os.urandom(4 * KIB))
        await self._sent(self._handshake(), self._frame(b'{"type":[' * 7000))

    async def _ping_flood(self) -> None:
        pings = b"".join([self._frame(b'{"type":"ping","ref":1}')] * 500)
        await self._sent(self._handshake(), pings)

    async def _sent_ahead(self) -> None:
        line = b"GET /sse?channel=" + self._channel + HOST
        await self._sent(line + b"\r\n", *[line + b"\r\n"] * 5000)

    async def _forged_tokens(self) -> None:
        token = base64.urlsafe_b64encode(os.urandom(3000))
        bearer = b"Authorization: Bearer e30." + token + b".x\r\nConnection: close\r\n\r\n"
        await self._sent(b"GET /sse?channel=" + self._channel + HOST + bearer)

    @staticmethod
    def _handshake() -> bytes:
        key = base64.b64encode(os.urandom(16))
        return (
            b"GET /ws" + HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n"
        )

    @staticmethod
    def _frame(payload: bytes) -> bytes:
        """A text frame whose mask changes nothing."""
        short = len(payload) < 126
        length = bytes([0x80 | len(payload)]) if short else b"\xfe" + len(payload).to_bytes(2)
        return b"\x81" + length + bytes(4) + payload


async def main(host: str, port: str, channel: str, seconds: str) -> None:
    os.nice(15)  # attackers bring processors of their own; here they share ours
    attack = Attack(host, int(port), channel)
    await attack.run(float(seconds))
    sys.stdout.write(json.dumps(attack.did))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""A WebSocket as a client uses it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson

PATIENT = 5.0
"""Seconds that a test waits for what must come."""


class SocketClient:
    """Keeps every frame that came, in order."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.frames: list[dict[str, Any]] = []

    async def send(self, kind: str, **fields: Any) -> None:
        await self.ws.send_str(orjson.dumps({"type": kind, **fields}).decode())

    async def subscribe(self, *channels: Any, ref: Any = 1, **fields: Any) -> None:
        await self.send("subscribe", ref=ref, channels=list(channels), **fields)

    async def until(self, kind: str, number: int = 1) -> list[dict[str, Any]]:
        """All frames so far, once there are so many of a kind, or the connection is closed."""
        async with asyncio.timeout(PATIENT):
            while sum(frame["type"] == kind for frame in self.frames) < number:
                message = await self.ws.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    break
                self.frames.append(orjson.loads(message.data))
        return self.frames

    async def closed(self) -> int | None:
        """The close code, once the bridge has closed; all frames before are kept."""
        await self.until("", 1)
        return self.ws.close_code

    async def in_sync(self) -> list[dict[str, Any]]:
        """All frames so far, once the bridge has answered a ping."""
        await self.send("ping", ref="in sync")
        return await self.until("pong", sum(f["type"] == "pong" for f in self.frames) + 1)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["type"] == kind]

    @property
    def kinds(self) -> list[str]:
        return [frame["type"] for frame in self.frames]

    @property
    def keys(self) -> list[tuple[str, Any]]:
        """Channel and key of each message."""
        return [(frame["channel"], frame["key"]) for frame in self.of("change")]


@asynccontextmanager
async def connected(url: str, query: str = "", **headers: str) -> AsyncIterator[SocketClient]:
    """A WebSocket to a bridge; raises aiohttp.WSServerHandshakeError where it is refused."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/ws{query}", headers=named) as ws,
    ):
        yield SocketClient(ws)

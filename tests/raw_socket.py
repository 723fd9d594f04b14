"""A WebSocket as bytes: frames that no library would send."""

import asyncio

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

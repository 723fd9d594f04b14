"""The floor for fan-out in Python: asyncio writing ready-made frames, and nothing else."""

import asyncio
import sys

FRAME = b"id: " + b"0" * 31 + b"\ndata: " + b"x" * 510 + b"\n\n"
"""About as long as a frame of the bridge with a document of 300 bytes."""

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: live\ndata: {}\n\n"


class Client(asyncio.Protocol):
    """One connection: whatever it asks for, it gets the stream."""

    def __init__(self, streams: list[asyncio.Transport]) -> None:
        self._streams = streams
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(HEAD)
        self._streams.append(self._transport)


async def serve(clients: int, rate: float) -> None:
    """Once all are connected, writes a frame to each at the rate, until it is ended."""
    streams: list[asyncio.Transport] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Client(streams), "127.0.0.1", 0, backlog=4096)
    print(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    while len(streams) < clients:
        await asyncio.sleep(0.01)
    due = loop.time()
    while True:
        due += 1 / rate
        await asyncio.sleep(due - loop.time())
        for stream in streams:
            stream.write(FRAME)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))

"""A server fed by MongoDB: it turns one collection's change stream into SSE on one channel."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar, Self

from benchmarks.arrivals import delays
from benchmarks.load import Delivered, Load
from benchmarks.process import Process
from benchmarks.stand import Stand
from benchmarks.writer import documents, write_burst, write_paced

PROBES = 100
"""Of how many clients the arrivals are logged."""


class FedServer:
    """A running server that watches one collection; ended on leaving the context.

    Its log says "listening on http://127.0.0.1:PORT", and a stream begins with the event
    ``live`` once it gets every message from then on.
    """

    bursts: ClassVar[Mapping[int, int]] = {100: 20_000, 1_000: 5_000, 5_000: 1_000}

    def __init__(
        self, stand: Stand, *, name: str, collection: str, process: Process, path: str
    ) -> None:
        self.name = name
        self.process = process
        self._stand = stand
        self._documents = documents(stand.client, collection)
        self._path = path
        self._next = 1
        try:
            found = process.wait_for(r"listening on http://127\.0\.0\.1:(\d+)")
        except BaseException:
            process.__exit__(None, None, None)
            raise
        self._port = int(found[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.__exit__(None, None, None)

    @contextmanager
    def connected(self, clients: int, *arguments: str) -> Iterator[Load]:
        """That many live connections, counting messages and the server's CPU time."""
        with self.connecting(clients, *arguments) as load:
            load.wait_ready()
            yield load

    @contextmanager
    def connecting(self, clients: int, *arguments: str) -> Iterator[Load]:
        """The same while they are still on their way."""
        known = ["-n", str(clients), "--messages", "--live", "live"]
        known += ["--pid", str(self.process.pid), *arguments]
        load = Load(
            self._stand.load,
            self._stand.directory,
            port=self._port,
            path=self._path,
            arguments=known,
        )
        try:
            yield load
        finally:
            load.kill()

    def run(
        self, clients: int, *, count: int, rate: int, arguments: Sequence[str]
    ) -> tuple[Delivered, list[float]]:
        """Writes ``count`` documents (rate 0: as fast as it goes) and counts their messages.

        Gives also the delays, in ms, from the acknowledgement of the write to the arrivals at
        100 of the clients.
        """
        log = self._stand.file("arrivals.log")
        known = ["-e", str(clients * count), "--first", str(self._next)]
        if rate:
            known += ["--log", str(log), "--log-every", str(max(1, clients // PROBES))]
        with self.connected(clients, *known, *arguments) as load:
            acknowledged = self.write(count, rate)
            found = load.result()
        return found, delays(log, acknowledged) if rate else []

    def write(self, count: int, rate: int) -> dict[int, int]:
        """Writes the next documents; gives when each was acknowledged (not in a burst)."""
        first = self._next
        self._next += count
        if rate:
            return write_paced(self._documents, first=first, count=count, rate=rate)
        write_burst(self._documents, first=first, count=count)
        return {}

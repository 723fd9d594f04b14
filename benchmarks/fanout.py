"""Fan-out: one channel to many clients, beside nginx with Nchan."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.arrivals import percentile
from benchmarks.bridge_server import NAME, start_bridge
from benchmarks.fed_server import PROBES, FedServer
from benchmarks.load import Delivered
from benchmarks.nchan import NchanServer, nchan_missing
from benchmarks.report import Aim, Row, Section
from benchmarks.stand import Stand
from benchmarks.writer import SIZE

COLLECTION = "fanout"
CLIENTS = (100, 1_000, 5_000)
RATES = (20, 200)
SECONDS = 4
"""How long messages are written at each rate."""
GRACE = 4
"""Seconds that the last messages may take."""
PATIENCE = 20
"""Seconds after which the rest of a burst counts as not delivered."""
WARM = 100
"""Messages to a single client before anything counts."""
FAST = 1_000
FAST_AIM = 1_000_000
MEMORY_AIM = 12 * 1024

METHOD = f"""\
Documents of {SIZE} bytes of JSON on one channel to 100, 1,000 and 5,000 SSE connections. For \
the bridge (`mode: full`) a writer inserts them into MongoDB with w:majority, so its figures \
include reading the change stream; its frames carry about 230 bytes more than Nchan's (id, key, \
time, cursor). For Nchan the load client posts the same {SIZE} bytes over one kept-alive \
connection, each post after the answer to the last. At 20 and 200 messages/s for {SECONDS} s \
(what is not delivered {GRACE} s later does not count), then a burst as fast as it goes: for \
the bridge one `insert_many`. Latency is from just before the insert or post to the arrival; \
"after ack" from the acknowledged insert, in {PROBES} of the clients. Deliveries/s are from the \
first arrival to the last; CPU is that of the serving process (nginx: the worker) while \
messages flow, divided by deliveries. Memory is the growth of its resident memory over all \
connections one second after they opened, in a fresh process."""


class Server(Protocol):
    """A server that publishes on one channel and delivers to many clients."""

    @property
    def name(self) -> str: ...

    @property
    def bursts(self) -> Mapping[int, int]:
        """How many messages make a burst, by number of clients."""
        ...

    def run(
        self, clients: int, *, count: int, rate: int, arguments: Sequence[str]
    ) -> tuple[Delivered, list[float]]: ...


@dataclass(frozen=True, slots=True)
class Phase:
    """A server at a number of clients and a rate (0: a burst)."""

    server: str
    clients: int
    rate: int
    count: int
    found: Delivered
    after_ack: Sequence[float]


def measure_fanout(stand: Stand) -> Section:
    """Runs both servers at every number of clients and every rate."""
    missing = nchan_missing()
    phases: list[Phase] = []
    for clients in CLIENTS:
        with _bridge(stand, clients) as bridge:
            phases += _phases(bridge, clients)
        if missing is None:
            with NchanServer(stand) as nchan:
                phases += _phases(nchan, clients)
    notes = [f"Nchan was not measured: {missing}"] if missing else []
    return _section(phases, notes)


def _bridge(stand: Stand, clients: int) -> FedServer:
    # A collection of its own each time: at its start the bridge reads what was written before.
    collection = f"{COLLECTION}_{clients}"
    stand.collection(collection, images=False)
    return start_bridge(stand, collection=collection, mode="full")


def _phases(server: Server, clients: int) -> Iterator[Phase]:
    server.run(1, count=WARM, rate=RATES[-1], arguments=["-d", "10"])
    for rate in RATES:
        arguments = ["--hold", "1", "-d", str(SECONDS + GRACE)]
        yield _phase(server, clients, rate, rate * SECONDS, arguments)
    yield _phase(server, clients, 0, server.bursts[clients], ["-d", str(PATIENCE)])


def _phase(server: Server, clients: int, rate: int, count: int, arguments: list[str]) -> Phase:
    found, after_ack = server.run(clients, count=count, rate=rate, arguments=arguments)
    return Phase(server.name, clients, rate, count, found, after_ack)


def _section(phases: Sequence[Phase], notes: Sequence[str]) -> Section:
    columns = (
        "clients", "messages", "server", "messages/s", "deliveries/s", "delivered",
        "CPU µs per delivery", "p50 ms", "p99 ms", "after ack p50 / p99 ms",
        "KiB per connection", "all connected s",
    )  # fmt: skip
    rows = [_row(phase) for phase in sorted(phases, key=lambda p: (p.clients, p.rate or 10**6))]
    return Section("Fan-out", METHOD, columns, rows, list(_aims(phases)), notes)


def _row(phase: Phase) -> Row:
    found = phase.found
    paced, idle = phase.rate > 0, phase.rate == RATES[0]
    share = found.deliveries / (phase.clients * phase.count)
    late = phase.after_ack
    after = f"{percentile(late, 0.5):.1f} / {percentile(late, 0.99):.1f}" if late else ""
    return (
        f"{phase.clients:,}",
        f"{phase.rate}/s" if paced else f"burst of {phase.count:,}",
        phase.server,
        f"{found.per_second / phase.clients:,.0f}",
        f"{found.per_second:,.0f}",
        f"{share:.0%}" + (f", {found.gaps} gaps" if found.gaps else ""),
        f"{found.cpu_us:.2f}",
        f"{found.p50:.1f}" if paced else "",
        f"{found.p99:.1f}" if paced else "",
        after,
        f"{found.idle_bytes / 1024:.1f}" if idle else "",
        f"{found.connect_seconds:.2f}",
    )


def _aims(phases: Sequence[Phase]) -> Iterator[Aim]:
    ours = {(p.clients, p.rate): p.found for p in phases if p.server == NAME}
    theirs = {(p.clients, p.rate): p.found for p in phases if p.server == NchanServer.name}
    for clients, rate in sorted(ours.keys() & theirs.keys()):
        cpu, yardstick = ours[clients, rate].cpu_us, theirs[clients, rate].cpu_us
        when = f"{rate} messages/s" if rate else "a burst"
        what = f"CPU µs per delivery, {clients:,} clients, {when} (Nchan: {yardstick:.2f})"
        yield Aim(what, "less than Nchan", f"{cpu:.2f}", cpu < yardstick)
    speed = ours[FAST, 0].per_second
    what = f"deliveries/s at {FAST:,} clients when messages come fast"
    yield Aim(what, f"≥ {FAST_AIM:,}", f"{speed:,.0f}", speed >= FAST_AIM)
    for clients in CLIENTS[1:]:
        size = ours[clients, RATES[0]].idle_bytes
        what = f"KiB per idle connection at {clients:,}"
        yield Aim(what, f"≤ {MEMORY_AIM // 1024}", f"{size / 1024:.1f}", size <= MEMORY_AIM)

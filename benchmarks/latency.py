"""Latency: from the acknowledged write to the received message."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.arrivals import percentile
from benchmarks.bridge_server import start_bridge
from benchmarks.fed_server import FedServer
from benchmarks.load import Delivered, Load
from benchmarks.node_server import node_missing, start_node
from benchmarks.process import Process
from benchmarks.report import Aim, Row, Section
from benchmarks.stand import Stand

COLLECTION = "latency"
CLIENTS = 100
RATE = 100
SECONDS = 10
COUNT = RATE * SECONDS
WARM = 100
P50_AIM = 3.0
P99_AIM = 5.0
CPU_AIM = 10.0

METHOD = f"""\
{RATE} inserts per second for {SECONDS} s, one after the other, each with w:majority, to {CLIENTS} \
SSE connections on one channel (`mode: full`). The delay of a delivery is from the moment the \
writer's insert returned (the majority has it) to the arrival of the message at the load client, \
both by the clock of this machine; "from the write" starts just before the insert instead. CPU is \
that of the serving process while messages flow, divided by deliveries. Beside the bridge: a \
hand-written Node service with one shared change stream (`benchmarks/node_service`), and the \
floor: asyncio writing ready-made frames of the same length at the same pace, without MongoDB."""


@dataclass(frozen=True, slots=True)
class Served:
    """What one server did."""

    found: Delivered
    late: Sequence[float]
    """Milliseconds after the acknowledgement, sorted."""


def measure_latency(stand: Stand) -> Section:
    """Measures delays and CPU at a moderate rate."""
    for name in ("latency", "latency_node"):
        stand.collection(name, images=False)
    bridge = _served(start_bridge(stand, collection="latency", mode="full"))
    missing = node_missing()
    node = None if missing else _served(start_node(stand, collection="latency_node"))
    rows = [_row("bridge", bridge), *([_row("Node service", node)] if node else [])]
    rows.append(("bare asyncio writes", "", "", "", "", f"{_floor(stand).cpu_us:.2f}"))
    columns = (
        "server", "after ack: p50 ms", "p99 ms", "max ms",
        "from the write: p50 / p99 ms", "CPU µs per delivery",
    )  # fmt: skip
    notes = [f"The Node service was not measured: {missing}."] if missing else []
    return Section("Latency", METHOD, columns, rows, _aims(bridge, node), notes)


def _served(server: FedServer) -> Served:
    with server:
        server.run(1, count=WARM, rate=2 * RATE, arguments=["-d", "10"])
        arguments = ["-d", str(SECONDS + 5)]
        return Served(*server.run(CLIENTS, count=COUNT, rate=RATE, arguments=arguments))


def _floor(stand: Stand) -> Delivered:
    command = [sys.executable, "-m", "benchmarks.bare_writes", str(CLIENTS), str(RATE)]
    log = stand.file("bare-writes.log")
    with Process(command, core=stand.server_core, log=log) as process:
        port = int(process.wait_for(r"listening on http://127\.0\.0\.1:(\d+)")[1])
        arguments = ["-n", str(CLIENTS), "--messages", "--live", "live", "-d", "4"]
        arguments += ["--pid", str(process.pid)]
        load = Load(stand.load, stand.directory, port=port, path="/", arguments=arguments)
        return load.result()


def _row(name: str, served: Served) -> Row:
    found, late = served.found, served.late
    return (
        name,
        f"{percentile(late, 0.5):.2f}",
        f"{percentile(late, 0.99):.2f}",
        f"{percentile(late, 1):.2f}",
        f"{found.p50:.2f} / {found.p99:.2f}",
        f"{found.cpu_us:.2f}",
    )


def _aims(bridge: Served, node: Served | None) -> list[Aim]:
    found, late = bridge.found, bridge.late
    p50, p99, cpu = percentile(late, 0.5), percentile(late, 0.99), found.cpu_us
    whole = found.deliveries == CLIENTS * COUNT and not found.gaps and not found.repeats
    delay = "ms from acknowledged write to message"
    cost = f"CPU µs per delivery, {RATE} writes/s to {CLIENTS} clients"
    aims = [
        Aim(f"{delay}, p50", f"≤ {P50_AIM:.0f}", f"{p50:.2f}", p50 <= P50_AIM),
        Aim(f"{delay}, p99", f"≤ {P99_AIM:.0f}", f"{p99:.2f}", p99 <= P99_AIM),
        Aim(cost, f"≤ {CPU_AIM:.0f}", f"{cpu:.2f}", cpu <= CPU_AIM),
    ]
    if node:
        yardstick = node.found.cpu_us
        aim = f"less than the Node service ({yardstick:.2f})"
        aims.append(Aim(cost, aim, f"{cpu:.2f}", cpu < yardstick))
    return [*aims, Aim("every message once, in order", "all", f"{found.deliveries:,}", whole)]

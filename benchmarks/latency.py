"""Latency: from the acknowledged write to the received message."""

from benchmarks.arrivals import percentile
from benchmarks.bridge_server import BridgeServer
from benchmarks.report import Aim, Section
from benchmarks.stand import Stand

COLLECTION = "latency"
CLIENTS = 100
RATE = 100
SECONDS = 10
WARM = 100
P50_AIM = 3.0
P99_AIM = 5.0
CPU_AIM = 10.0
NODE_CPU = 21
"""µs per delivery of a hand-written Node service with one shared stream."""

METHOD = f"""\
{RATE} inserts per second for {SECONDS} s, one after the other, each with w:majority, to {CLIENTS} \
SSE connections on one channel in `full` mode. The delay of a delivery is from the moment the \
writer's insert returned (the majority has it) to the arrival of the message at the load client, \
both by the clock of this machine; it is negative where the message came first. "From the write" \
starts just before the insert instead. CPU is that of the bridge's process over the whole \
{SECONDS} s, divided by deliveries."""


def measure_latency(stand: Stand) -> Section:
    """Measures delays and CPU at a moderate rate."""
    stand.collection(COLLECTION, images=False)
    count = RATE * SECONDS
    with BridgeServer(stand, collection=COLLECTION, mode="full") as server:
        server.run(1, count=WARM, rate=2 * RATE, arguments=["-d", "10"])
        arguments = ["-d", str(SECONDS + 5)]
        found, late = server.run(CLIENTS, count=count, rate=RATE, arguments=arguments)
    p50, p99, cpu = percentile(late, 0.5), percentile(late, 0.99), found.cpu_us
    whole = found.deliveries == CLIENTS * count and not found.gaps and not found.repeats
    rows = [
        ("acknowledged write to message", f"{p50:.2f}", f"{p99:.2f}", f"{late[-1]:.2f}"),
        ("from the write to the message", f"{found.p50:.2f}", f"{found.p99:.2f}", ""),
    ]
    delay = "ms from acknowledged write to message"
    cost = f"CPU µs per delivery, {RATE} writes/s to {CLIENTS} clients (Node service: {NODE_CPU})"
    aims = [
        Aim(f"{delay}, p50", f"≤ {P50_AIM:.0f}", f"{p50:.2f}", p50 <= P50_AIM),
        Aim(f"{delay}, p99", f"≤ {P99_AIM:.0f}", f"{p99:.2f}", p99 <= P99_AIM),
        Aim(cost, f"≤ {CPU_AIM:.0f}", f"{cpu:.2f}", cpu <= CPU_AIM),
        Aim("every message once, in order", "all", f"{found.deliveries:,}", whole),
    ]
    return Section("Latency", METHOD, ("delay", "p50 ms", "p99 ms", "max ms"), rows, aims)

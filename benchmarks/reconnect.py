"""Reconnect storm: all clients come back at once, each with its cursor."""

from benchmarks.bridge_server import start_bridge
from benchmarks.fed_server import FedServer
from benchmarks.load import Delivered
from benchmarks.report import Aim, Section
from benchmarks.stand import Stand

COLLECTION = "reconnect"
CLIENTS = 5_000
SEEN = 50
"""Messages before the clients lose their connections."""
MISSED = 100
"""Messages while they are away."""
AFTER = 100
"""Messages from when they start to come back."""
RATE = 20
LIVE_AIM = 3.0

METHOD = f"""\
{CLIENTS:,} SSE connections see {SEEN} messages and are closed; {MISSED} more are written; then \
all connect at once, each with `Last-Event-ID` set to the last id seen, while {AFTER} more are \
written at {RATE} per second. A connection is live when its `live` event has arrived, after its \
{MISSED} missed messages. Every client must get every message after its cursor once and in order: \
the load client checks the running number in each."""


def measure_reconnect(stand: Stand) -> Section:
    """Measures the seconds until all are live again, and that nothing is lost."""
    stand.collection(COLLECTION, images=False)
    with start_bridge(stand, collection=COLLECTION, mode="full") as server:
        arguments = ["-e", str(CLIENTS * SEEN), "-d", "20"]
        with server.connected(CLIENTS, *arguments) as load:
            server.write(SEEN, 2 * RATE)
            before = load.result()
        server.write(MISSED, 10 * RATE)
        after = _come_back(server, before.last_id)
    return _section(before, after)


def _come_back(server: FedServer, cursor: str) -> Delivered:
    expected = CLIENTS * (MISSED + AFTER)
    arguments = ["-c", str(CLIENTS), "-H", f"Last-Event-ID: {cursor}"]
    arguments += ["--first", str(SEEN + 1), "-e", str(expected), "-d", "20"]
    with server.connecting(CLIENTS, *arguments) as load:
        server.write(AFTER, RATE)
        return load.result()


def _section(before: Delivered, after: Delivered) -> Section:
    expected = CLIENTS * (MISSED + AFTER)
    lost = expected - after.deliveries - after.early
    seconds = after.connect_seconds
    rows = [
        ("connecting without a cursor, 256 at a time", *_row(before)),
        ("reconnecting, all at once, with cursors", *_row(after)),
    ]
    aims = [
        Aim(
            f"s until {CLIENTS:,} reconnecting clients are live",
            f"≤ {LIVE_AIM:.0f}",
            f"{seconds:.2f}",
            seconds <= LIVE_AIM,
        ),
        Aim(
            "messages lost or repeated in the reconnect",
            "0",
            f"{lost + after.repeats:,}",
            not lost and not after.gaps and not after.repeats,
        ),
    ]
    columns = ("what", "s until all live", "server CPU µs per connection", "messages")
    return Section("Reconnect storm", METHOD, columns, rows, aims)


def _row(found: Delivered) -> tuple[str, str, str]:
    cpu = found.cpu_connect * 1e6 / CLIENTS
    return f"{found.connect_seconds:.2f}", f"{cpu:.0f}", f"{found.deliveries + found.early:,}"

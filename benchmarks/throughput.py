"""Throughput: how fast a watcher works off a backlog, beside PyMongo's bare loop."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from pymongo import InsertOne, UpdateOne

from benchmarks.bridge_server import start_bridge
from benchmarks.fed_server import FedServer
from benchmarks.node_server import NAME as NODE
from benchmarks.node_server import node_missing, start_node
from benchmarks.process import Process, cpu_seconds
from benchmarks.report import Aim, Row, Section
from benchmarks.stand import DATABASE, Stand
from benchmarks.writer import documents

COLLECTION = "throughput"
INSERTS = 20_000
UPDATES = 20_000
CHANGES = INSERTS + UPDATES
CHUNK = 1_000
MODES = ("full", "delta", "patch")
RATIO = {"full": 0.5, "delta": None, "patch": 0.4}
CPU_LIMIT = 26.0
"""µs per change."""

METHOD = f"""\
{INSERTS:,} inserts of 500-byte documents and {UPDATES:,} updates (two `$set`, one `$inc`), in \
a collection with pre- and post-images. Each reader has its change stream open, then is stopped \
(SIGSTOP) while all changes are written, and goes on alone (SIGCONT): so it reads a backlog as \
fast as it can. The bridge is done when one SSE subscriber has all messages; the bare loop is \
`async for change in stream` of PyMongo's AsyncMongoClient with both images, in its own process, \
once before and once after the bridge, and the ratio is to the mean of both. CPU is that of the \
reader's process from SIGCONT to the last change."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How one reader worked off the backlog."""

    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        return CHANGES / self.seconds

    @property
    def cpu_us(self) -> float:
        return self.cpu * 1e6 / CHANGES


class BareReader:
    """PyMongo's bare loop, stopped until it is its turn."""

    def __init__(self, stand: Stand, name: str, running: ExitStack) -> None:
        command = [sys.executable, "-m", "benchmarks.bare"]
        command += [stand.uri, DATABASE, COLLECTION, str(CHANGES)]
        process = Process(command, core=stand.server_core, log=stand.file(f"{name}.log"))
        self.process = running.enter_context(process)
        self.process.wait_for("open")
        self.process.pause()

    def read(self) -> Reading:
        cpu, begin = cpu_seconds(self.process.pid), time.time_ns()
        self.process.go_on()
        end = int(self.process.wait_for(r"read (\d+)\n", 120)[1])
        used = cpu_seconds(self.process.pid) - cpu
        self.process.pause()
        return Reading((end - begin) / 1e9, used)


class FedReader:
    """A server with one subscriber, stopped until it is its turn."""

    def __init__(self, server: FedServer, running: ExitStack) -> None:
        self.process = running.enter_context(server).process
        arguments = ["-e", str(CHANGES), "-d", "180"]
        self._load = running.enter_context(server.connected(1, *arguments))
        self.process.pause()

    def read(self) -> Reading:
        cpu, begin = cpu_seconds(self.process.pid), time.time_ns()
        self.process.go_on()
        found = self._load.result(180)
        used = cpu_seconds(self.process.pid) - cpu
        self.process.pause()
        if not found.complete:
            raise RuntimeError(f"the subscriber got {found.deliveries} of {CHANGES} messages")
        return Reading((found.last_ns - begin) / 1e9, used)


def measure_throughput(stand: Stand) -> Section:
    """Runs all readers over one backlog."""
    stand.collection(COLLECTION, images=True)
    missing = node_missing()
    with ExitStack() as running:
        before = BareReader(stand, "bare-before", running)
        fed = {
            mode: FedReader(start_bridge(stand, collection=COLLECTION, mode=mode), running)
            for mode in MODES
        }
        if missing is None:
            fed[NODE] = FedReader(start_node(stand, collection=COLLECTION), running)
        after = BareReader(stand, "bare-after", running)
        _write(stand)
        first = before.read()
        found = {name: reader.read() for name, reader in fed.items()}
        notes = [f"The Node service was not measured: {missing}."] if missing else []
        return _section([first, after.read()], found, notes)


def _write(stand: Stand) -> None:
    collection = documents(stand.client, COLLECTION)
    inserts = [InsertOne(_document(number)) for number in range(1, INSERTS + 1)]
    updates = [_update(number) for number in range(1, UPDATES + 1)]
    for requests in (inserts, updates):
        for start in range(0, len(requests), CHUNK):
            collection.bulk_write(requests[start : start + CHUNK])


def _document(number: int) -> dict[str, Any]:
    return {
        "_id": number,
        "state": "open",
        "version": 1,
        "customer": {"name": f"customer {number}", "city": "Lisbon", "vip": number % 7 == 0},
        "lines": [{"sku": f"S-{number}-{line}", "count": line} for line in range(4)],
        "pad": "x" * 230,
    }


def _update(number: int) -> UpdateOne:
    change = {"$set": {"state": "paid", "customer.city": "Porto"}, "$inc": {"version": 1}}
    return UpdateOne({"_id": number}, change)


def _section(bare: Sequence[Reading], found: dict[str, Reading], notes: Sequence[str]) -> Section:
    yardstick = sum(reading.rate for reading in bare) / len(bare)
    rows = [
        _row(f"bare loop, {when}", reading, yardstick)
        for when, reading in zip(("before", "after"), bare, strict=True)
    ]
    rows += [
        _row(name if name == NODE else f"bridge, {name}", reading, yardstick)
        for name, reading in found.items()
    ]
    columns = ("reader", "changes/s", "of the bare loop", "CPU µs per change")
    node = found.pop(NODE, None)
    aims = [aim for mode, reading in found.items() for aim in _aims(mode, reading, yardstick, node)]
    return Section("Throughput of a watcher", METHOD, columns, rows, aims, notes)


def _row(name: str, reading: Reading, yardstick: float) -> Row:
    ratio = f"{reading.rate / yardstick:.2f}"
    return name, f"{reading.rate:,.0f}", ratio, f"{reading.cpu_us:.1f}"


def _aims(mode: str, reading: Reading, yardstick: float, node: Reading | None) -> Iterator[Aim]:
    ratio, least, cpu = reading.rate / yardstick, RATIO[mode], reading.cpu_us
    if least is not None:
        what = f"changes/s in {mode} mode, of PyMongo's bare loop"
        yield Aim(what, f"≥ {least}", f"{ratio:.2f}", ratio >= least)
    what = f"CPU µs per change in {mode} mode, reading as fast as it goes"
    yield Aim(what, f"< {CPU_LIMIT:.0f}", f"{cpu:.1f}", cpu < CPU_LIMIT)
    if node:
        aim = f"less than the Node service ({node.cpu_us:.1f})"
        yield Aim(what, aim, f"{cpu:.1f}", cpu < node.cpu_us)

"""The load client: many SSE connections in one C process."""

import itertools
import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("sse_load.c")
BUILD = Path(__file__).with_name("build")
_numbers = itertools.count(1)


def build_load() -> Path:
    """Compiles the load client where it is older than its source."""
    binary = BUILD / "sse_load"
    if not binary.exists() or binary.stat().st_mtime < SOURCE.stat().st_mtime:
        BUILD.mkdir(exist_ok=True)
        command = ["gcc", "-O2", "-Wall", "-pthread", "-o", str(binary), str(SOURCE)]
        subprocess.run(command, check=True)
    return binary


@dataclass(frozen=True, slots=True)
class Delivered:
    """What the load client counted between "all connected" and its end."""

    connections: int
    connect_seconds: float
    """From the first connection attempt until all answered (or said ``live``)."""
    deliveries: int
    early: int
    """Deliveries before all were connected; not among ``deliveries``."""
    complete: bool
    """Whether every expected message reached every connection in time."""
    seconds: float
    """From the first delivery to the last."""
    last_ns: int
    """When the last one arrived, Unix time in ns."""
    p50: float
    p99: float
    """Milliseconds from the time written in the message to its arrival."""
    gaps: int
    repeats: int
    cpu: float
    """CPU seconds of the server."""
    idle_bytes: float
    """Growth of the server's resident memory per idle connection."""
    cpu_connect: float
    """CPU seconds of the server until all were connected."""
    last_id: str

    @property
    def per_second(self) -> float:
        return self.deliveries / self.seconds if self.seconds else 0.0

    @property
    def cpu_us(self) -> float:
        """Server CPU per delivery in µs."""
        return self.cpu * 1e6 / self.deliveries if self.deliveries else 0.0


class Load:
    """A running load client; arguments as in ``sse_load.c``."""

    def __init__(
        self, binary: Path, directory: Path, *, port: int, path: str, arguments: Sequence[str]
    ) -> None:
        name = f"load-{next(_numbers)}"
        self._ready = directory / f"{name}.ready"
        command = [str(binary), "-p", str(port), "-P", path, "--ready", str(self._ready)]
        self._errors = (directory / f"{name}.err").open("w+")
        self._child = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, stderr=self._errors, text=True
        )

    def wait_ready(self, limit: float = 60.0) -> None:
        """Returns once all are connected; raises RuntimeError if that fails."""
        deadline = time.monotonic() + limit
        while not self._ready.exists() or not self._ready.read_text():
            if self._child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the load client did not connect: {self._said()}")
            time.sleep(0.002)

    def result(self, limit: float = 120.0) -> Delivered:
        """Waits for its end; raises RuntimeError if it failed."""
        output, _ = self._child.communicate(timeout=limit)
        if self._child.returncode:
            raise RuntimeError(f"the load client failed: {self._said()}")
        self._errors.close()
        return _delivered(json.loads(output))

    def kill(self) -> None:
        self._child.kill()
        self._child.wait()
        self._errors.close()

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read()[-2000:]


def _delivered(found: dict[str, Any]) -> Delivered:
    if found["failed"]:
        raise RuntimeError(f"{found['failed']} of {found['n']} connections failed")
    return Delivered(
        connections=found["connected"],
        connect_seconds=found["live_s"],
        deliveries=found["events"],
        early=found["events_before_window"],
        complete=found["ended"] == "complete",
        seconds=found["active_s"],
        last_ns=found["last_ns"],
        p50=found["lat_ms"]["p50"],
        p99=found["lat_ms"]["p99"],
        gaps=found["gaps"],
        repeats=found["dups"],
        cpu=found.get("server_cpu_ns_s", 0.0),
        idle_bytes=found.get("rss_bytes_per_idle_conn", 0.0),
        cpu_connect=found.get("server_cpu_connect_s", 0.0),
        last_id=found["last_id"].removeprefix("id:").strip(),
    )

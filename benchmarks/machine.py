"""The machine and the versions that a run belongs to."""

import datetime
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import bridge
from benchmarks.process import cpu_seconds
from benchmarks.stand import Stand

PACKAGES = ("pymongo", "aiohttp", "orjson")


def describe(stand: Stand) -> list[str]:
    """Date, machine and versions, a sentence each."""
    mongod = stand.client.server_info()["version"]
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return [
        f"Date: {today}",
        f"Machine: {_processor()}, {os.cpu_count()} cores, {_memory()} GiB, {platform.system()} "
        f"{platform.release()}",
        f"Versions: Python {platform.python_version()}, {', '.join(_packages())}, "
        f"mongod {mongod}, {_nginx()}",
        f"The server under measurement runs on core {stand.server_core}; mongod, the writer and "
        "the load client share the rest.",
    ]


class Bystanders:
    """What else the machine did while we measured."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._begin = _times()
        self._own_begin = self._own()

    def describe(self) -> str:
        """The share of all cores' time that went to others since the start, in a sentence."""
        times = _times()
        spent = [after - before for before, after in zip(self._begin, times, strict=True)]
        user, nice, system, _idle, _waiting, irq, softirq, stolen, *_ = spent
        busy = user + nice + system + irq + softirq
        ours = (self._own() - self._own_begin) * os.sysconf("SC_CLK_TCK")
        others = max(0.0, busy - ours) / sum(spent)
        return (
            f"During the run {others:.0%} of all cores' time went to other processes and "
            f"{stolen / sum(spent):.0%} to other machines on the same host; above a few per cent, "
            "latencies and rates suffer from it"
        )

    def _own(self) -> float:
        """CPU seconds of this process, of its ended children, and of mongod."""
        return sum(os.times()[:4]) + cpu_seconds(self._stand.mongod)


def _times() -> list[int]:
    return [int(text) for text in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]


def _processor() -> str:
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def _memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def _packages() -> list[str]:
    own = f"livesync-bridge {bridge.__version__}"
    return [own, *(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)]


def _nginx() -> str:
    if not shutil.which("nginx"):
        return "no nginx"
    told = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=False).stderr
    return told.strip().removeprefix("nginx version: ") + " with Nchan"

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
from benchmarks.stand import Stand

PACKAGES = ("pymongo", "aiohttp", "orjson")


def describe(stand: Stand) -> list[str]:
    """Date, machine and versions, a sentence each."""
    mongod = stand.client.server_info()["version"]
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return [
        f"Date: {today}",
        f"Machine: {_processor()}, {os.cpu_count()} cores, {_memory()} GiB, {platform.system()} "
        f"{platform.release()}; load average before the run {os.getloadavg()[0]:.2f}",
        f"Versions: Python {platform.python_version()}, {', '.join(_packages())}, "
        f"mongod {mongod}, {_nginx()}",
        f"The server under measurement has core {stand.server_core} to itself; mongod, the writer "
        "and the load client share the other.",
    ]


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

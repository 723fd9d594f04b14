"""The command line: runs the measurements and writes the report."""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from pymongo import MongoClient
from rich.console import Console

from benchmarks.fanout import measure_fanout
from benchmarks.latency import measure_latency
from benchmarks.load import build_load
from benchmarks.machine import Bystanders, describe
from benchmarks.patches import measure_patches
from benchmarks.reconnect import measure_reconnect
from benchmarks.report import Section, markdown, show
from benchmarks.stand import Stand
from benchmarks.throughput import measure_throughput
from bridge.demo.mongod import Mongod

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
MEASUREMENTS: dict[str, Callable[[Stand], Section]] = {
    "throughput": measure_throughput,
    "fanout": measure_fanout,
    "latency": measure_latency,
    "reconnect": measure_reconnect,
    "patches": measure_patches,
}


def main() -> int:
    """Runs what is asked for; 0 whether or not the aims are met."""
    asked = _arguments()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        print("needs two cores: one for the server, one for everything else", file=sys.stderr)
        return 2
    # Children inherit it; only the servers under measurement are moved to the first core.
    os.sched_setaffinity(0, cores[1:])
    with tempfile.TemporaryDirectory(prefix="bridge-bench-") as directory, Mongod() as mongod:
        stand = Stand(
            uri=mongod.uri,
            mongod=mongod.pid,
            directory=Path(directory),
            server_core=cores[0],
            load=build_load(),
            client=MongoClient(mongod.uri),
        )
        with stand.client:
            _run(stand, asked)
    return 0


def _run(stand: Stand, asked: argparse.Namespace) -> None:
    console = Console()
    heading = describe(stand)
    bystanders = Bystanders(stand)
    for line in heading:
        console.print(line, highlight=False)
    sections = []
    for name in asked.only:
        with console.status(f"measuring {name}"):
            sections.append(MEASUREMENTS[name](stand))
        show(console, sections[-1])
    heading.append(bystanders.describe())
    console.print(heading[-1])
    if output := asked.output or (PAGE if set(asked.only) == set(MEASUREMENTS) else None):
        output.write_text(markdown(heading, sections))
        console.print(f"written to {output}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = ", ".join(MEASUREMENTS)
    parser.add_argument(
        "--only", type=_names, default=list(MEASUREMENTS), help=f"a comma-separated part of {known}"
    )
    parser.add_argument(
        "--output", type=Path, help="the Markdown page (by default a whole run's only)"
    )
    return parser.parse_args()


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(MEASUREMENTS):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return names


if __name__ == "__main__":
    sys.exit(main())

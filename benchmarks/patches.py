"""Patches in the browser client: how fast one is applied."""

import json
import subprocess
from pathlib import Path

from benchmarks.report import Aim, Section
from benchmarks.stand import Stand

ROOT = Path(__file__).parent.parent
NODE = ROOT / ".venv" / "bin" / "node"
SCRIPT = Path(__file__).with_name("patches.js")
YARDSTICK = "fast-json-patch"
SECONDS = 1.0
"""For each case and each of the two."""

METHOD = f"""\
The client's `applyPatch` and {YARDSTICK}'s (validating, `mutateDocument` false: the state before \
may still be shown or rolled back to), in turns in one Node process, {SECONDS:g} s for each case; \
the best of all rounds of 200 calls counts. Both must give the same document. In place: what \
{YARDSTICK} does by default, which leaves no state before to go back to."""


def measure_patches(_stand: Stand) -> Section:
    """Measures nanoseconds per patch, for documents and patches of several kinds."""
    columns = ("patch", "ns, client", f"ns, {YARDSTICK}", "times as fast", "ns, in place")
    if missing := _missing():
        return Section("Patches in the client", METHOD, columns, (), (), (missing,))
    command = [str(NODE), str(SCRIPT), str(SECONDS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    found = json.loads(done.stdout)
    rows = [
        (
            each["name"],
            f"{each['ours']:,.0f}",
            f"{each['other']:,.0f}",
            f"{each['other'] / each['ours']:.1f}",
            f"{each['inPlace']:,.0f}" if "inPlace" in each else "",
        )
        for each in found
    ]
    slowest = min(each["other"] / each["ours"] for each in found)
    aim = Aim(f"patches/s in the client, of {YARDSTICK}'s", "≥ 1", f"{slowest:.1f}", slowest >= 1)
    return Section("Patches in the client", METHOD, columns, rows, (aim,))


def _missing() -> str | None:
    if NODE.exists() and (ROOT / "tests" / "client" / "node_modules" / YARDSTICK).is_dir():
        return None
    return "not measured: `make check` installs what it needs"

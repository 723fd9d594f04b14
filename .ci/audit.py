"""Asks whether vulnerabilities are known in what is installed beside the bridge and its client.

Exit codes: 0 none are known, 1 some are (each with its fix), 3 not everything could be asked: what
was not asked is named, and that is not the same as 0.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SERVICES = "pypi", "osv"
"""Asked for Python packages in this order, the next where one does not know all versions."""

FOUND, UNKNOWN = 1, 3
_LIMIT = 300


def main() -> int:
    """The exit code; what it means is printed."""
    answers = [_of_python(), _of_node()]
    found = [line for lines, _ in answers for line in lines]
    unknown = [why for _, why in answers if why]
    if found:
        print("audit: known vulnerabilities", *found, sep="\n  ")
        return FOUND
    if unknown:
        print("audit: NOT AUDITED, neither good nor bad:", *unknown, sep="\n  ")
        return UNKNOWN
    print("audit: no known vulnerabilities")
    return 0


def _of_python() -> tuple[list[str], str]:
    """Vulnerabilities of the Python packages; and why not all are known."""
    why = ""
    with tempfile.TemporaryDirectory() as directory:
        requirements = Path(directory, "requirements.txt")
        freeze = _run(sys.executable, "-m", "pip", "freeze", "--exclude-editable")
        requirements.write_text(freeze.stdout)
        for service in SERVICES:
            found, missing = _ask(service, requirements)
            if found or not missing:
                return found, ""
            why += f"Python packages, {service}: {missing}. "
    return [], why


def _ask(service: str, requirements: Path) -> tuple[list[str], str]:
    done = _run(
        *(sys.executable, "-m", "pip_audit", "--requirement", str(requirements), "--no-deps"),
        *("--disable-pip", "--format", "json", "--progress-spinner", "off"),
        *("--vulnerability-service", service),
    )
    try:
        answers: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        return [], (done.stderr.strip().splitlines() or ["no answer"])[-1].split("(Caused")[0]
    skipped = [answer for answer in answers if "skip_reason" in answer]
    found = [
        f"{answer['name']} {answer['version']}: {each['id']}, "
        f"fixed in {' or '.join(each['fix_versions']) or 'no version yet'}"
        for answer in answers
        for each in answer.get("vulns", [])
    ]
    return found, f"{len(skipped)} of {len(answers)} are not known" if skipped else ""


def _of_node() -> tuple[list[str], str]:
    """Vulnerabilities of the client's test tools; and why they are not known."""
    npm = [str(ROOT / ".venv" / "bin" / "node"), str(ROOT / ".venv" / "npm.js")]
    arguments = ["audit", "--package-lock-only", "--json"]
    done = _run(*npm, *arguments, cwd=ROOT / "tests" / "client")
    try:
        answer = json.loads(done.stdout)
        found = answer["vulnerabilities"]
    except ValueError:
        return [], "the client's test tools, npm: no answer"
    except KeyError:
        return [], f"the client's test tools, npm: {answer.get('message', 'no answer')}"
    return [
        f"{name} {each['range']} ({each['severity']}), by npm" for name, each in found.items()
    ], ""


def _run(*command: str, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, capture_output=True, text=True, timeout=_LIMIT, check=False, cwd=cwd
    )


if __name__ == "__main__":
    sys.exit(main())

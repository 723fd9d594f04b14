"""Asks whether known vulnerabilities are in what is installed beside the bridge.

Exit codes: 0 none are known, 1 some are (each with its fix), 3 nobody could be asked: then nothing
is known, which is said and is not the same as 0.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SERVICES = "pypi", "osv"
"""Asked in this order, the next where one does not know all versions."""

FOUND, UNKNOWN = 1, 3
_LIMIT = 300


def main() -> int:
    """The exit code; what it means is printed."""
    with tempfile.TemporaryDirectory() as directory:
        requirements = Path(directory, "requirements.txt")
        requirements.write_text(_run("-m", "pip", "freeze", "--exclude-editable").stdout)
        open_questions = "nothing is installed"
        for service in SERVICES:
            answers, open_questions = _ask(service, requirements)
            found = [line for answer in answers for line in _vulnerabilities(answer)]
            if found:
                print("audit: known vulnerabilities", *found, sep="\n  ")
                return FOUND
            if not open_questions:
                print(f"audit: {len(answers)} packages, no known vulnerabilities ({service})")
                return 0
            print(f"audit: {service}: {open_questions}", file=sys.stderr)
    print("audit: NOT AUDITED, neither good nor bad: run it where an advisory service answers")
    return UNKNOWN


def _ask(service: str, requirements: Path) -> tuple[list[dict[str, Any]], str]:
    """What the service says of each package; and why it does not say all."""
    done = _run(
        *("-m", "pip_audit", "--requirement", str(requirements), "--no-deps", "--disable-pip"),
        *("--format", "json", "--progress-spinner", "off", "--vulnerability-service", service),
    )
    try:
        answers: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        return [], (done.stderr.strip().splitlines() or ["no answer"])[-1]
    skipped = [answer for answer in answers if "skip_reason" in answer]
    first = f"; the first: {skipped[0]['skip_reason']}" if skipped else ""
    return answers, f"{len(skipped)} of {len(answers)} not known{first}" if skipped else ""


def _vulnerabilities(answer: dict[str, Any]) -> list[str]:
    return [
        f"{answer['name']} {answer['version']}: {each['id']}, "
        f"fixed in {' or '.join(each['fix_versions']) or 'no version yet'}"
        for each in answer.get("vulns", [])
    ]


def _run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False)


if __name__ == "__main__":
    sys.exit(main())

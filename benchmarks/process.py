"""A server under measurement: a child process on a core of its own."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

END_LIMIT = 20.0
"""Seconds for a clean exit before it is killed."""


class Process:
    """A command pinned to one core, its output in a log file; ended on leaving the context."""

    def __init__(self, command: Sequence[str], *, core: int, log: Path) -> None:
        self.log = log
        with log.open("wb") as output:
            self._child = subprocess.Popen(
                ["taskset", "-c", str(core), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    def wait_for(self, pattern: str, limit: float = 30.0) -> re.Match[str]:
        """The first match in the log; raises RuntimeError if it ends or takes too long."""
        deadline = time.monotonic() + limit
        while True:
            text = self.log.read_text(errors="replace")
            if found := re.search(pattern, text):
                return found
            if self._child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no {pattern!r} from the process; its log:\n{text[-3000:]}")
            time.sleep(0.01)

    def worker(self, limit: float = 5.0) -> int:
        """The pid of its first child process; raises RuntimeError if none comes."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        deadline = time.monotonic() + limit
        while self._child.poll() is None and time.monotonic() < deadline:
            if found := children.read_text().split():
                return int(found[0])
            time.sleep(0.01)
        raise RuntimeError(f"no worker process; the log:\n{self.log.read_text()[-3000:]}")

    def pause(self) -> None:
        self._child.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._child.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.go_on()
        self._child.terminate()
        try:
            self._child.wait(END_LIMIT)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process so far, to the nanosecond."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    return total / 1e9

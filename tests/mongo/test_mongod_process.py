"""The embedded mongod as a process: crashes, returns, and never outlives us."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from bridge.demo.mongod import Mongod
from bridge.errors import MongoError

ORPHAN = """
import os, sys, threading
from pathlib import Path
from bridge.demo.mongod import Mongod

mongod = Mongod(directory=Path(sys.argv[1]))
starter = threading.Thread(target=mongod.start)
starter.start()
starter.join()
with open(f"/proc/{mongod.pid}/stat") as alive:
    print(mongod.pid, alive.read().split()[2], flush=True)
os.kill(os.getpid(), 9)
"""


def connect(mongod: Mongod) -> MongoClient[dict[str, Any]]:
    return MongoClient(mongod.uri, serverSelectionTimeoutMS=5000)


def is_running(pid: int) -> bool:
    """A process that nobody has collected yet is dead all the same."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def eventually_gone(pid: int, limit: float = 10) -> bool:
    deadline = time.monotonic() + limit
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_running(pid)


def test_what_was_written_is_there_after_kill_9_and_a_new_start() -> None:
    with Mongod() as mongod, connect(mongod) as client:
        orders = client.shop.orders
        orders.insert_one({"_id": 1, "state": "new"})
        first, port, directory = mongod.pid, mongod.port, mongod.directory

        mongod.kill()
        assert not is_running(first)
        mongod.start()

        assert (mongod.port, mongod.directory) == (port, directory)
        assert mongod.pid != first
        assert orders.find_one() == {"_id": 1, "state": "new"}
        orders.insert_one({"_id": 2})


def test_it_is_a_replica_set_whose_changes_can_be_watched_with_images(mongod: Mongod) -> None:
    with connect(mongod) as client:
        database = client["test_mongod_images"]
        database.create_collection("orders", changeStreamPreAndPostImages={"enabled": True})
        with database.orders.watch(full_document_before_change="required") as changes:
            database.orders.insert_one({"_id": 1, "n": 1})
            database.orders.update_one({"_id": 1}, {"$set": {"n": 2}})
            changes.next()
            assert changes.next()["fullDocumentBeforeChange"] == {"_id": 1, "n": 1}
        client.drop_database(database)


def test_stop_removes_a_directory_of_its_own() -> None:
    mongod = Mongod().start()
    directory = mongod.directory
    assert directory is not None
    assert directory.exists()
    mongod.stop()
    assert not directory.exists()


def test_a_given_directory_stays_and_may_come_back_on_another_port(tmp_path: Path) -> None:
    with Mongod(directory=tmp_path) as mongod, connect(mongod) as client:
        client.shop.orders.insert_one({"_id": 1})
    with Mongod(directory=tmp_path) as again, connect(again) as client:
        assert again.port != mongod.port
        assert client.shop.orders.find_one() == {"_id": 1}


def test_a_start_that_fails_shows_why(tmp_path: Path) -> None:
    mongod = Mongod(directory=tmp_path, parameters={"noSuchParameter": 1})
    with pytest.raises(MongoError, match=r"(?s)ended while starting.*noSuchParameter"):
        mongod.start()


def test_a_second_start_is_refused(mongod: Mongod) -> None:
    with pytest.raises(MongoError, match="already running"):
        mongod.start()


def test_it_outlives_the_thread_that_started_it_but_not_the_process(tmp_path: Path) -> None:
    starter = subprocess.run(
        [sys.executable, "-c", ORPHAN, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    pid, state = starter.stdout.split()
    assert state != "Z"
    assert eventually_gone(int(pid))

"""What every kind of test can ask for: a real mongod, and a database of its own in it."""

import os
import secrets
from collections.abc import Iterator

import pytest

from bridge.demo.mongod import Mongod


@pytest.fixture(scope="session")
def mongod() -> Iterator[Mongod]:
    parameters = {"enableTestCommands": 1, "ttlMonitorSleepSecs": 1}
    binary = Mongod.find(os.environ.get("BRIDGE_MONGOD"))
    with Mongod(binary=binary, parameters=parameters) as running:
        yield running


@pytest.fixture
def database_name() -> str:
    return f"test_{secrets.token_hex(6)}"

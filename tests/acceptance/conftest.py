"""What acceptance tests ask for: a database, and bridges that end with the test."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from pymongo import AsyncMongoClient

from bridge.demo.mongod import Mongod
from tests.acceptance.bridge_process import BridgeProcess
from tests.acceptance.traffic import Database

MakeBridge: TypeAlias = Callable[..., BridgeProcess]


@pytest.fixture
async def database(mongod: Mongod, database_name: str) -> AsyncIterator[Database]:
    async with AsyncMongoClient[dict[str, Any]](mongod.uri, tz_aware=True) as client:
        yield client[database_name]
        await client.drop_database(database_name)


@pytest.fixture
def bridge(mongod: Mongod, tmp_path: Path) -> Iterator[MakeBridge]:
    """Makes a bridge for some watchers, with more of the configuration where a test needs it."""
    made: list[BridgeProcess] = []

    def make(watchers: Mapping[str, Any], *, uri: str = mongod.uri, **more: Any) -> BridgeProcess:
        name = f"bridge{len(made)}"
        config = configuration(uri, watchers, **more)
        made.append(BridgeProcess(config=config, directory=tmp_path, name=name))
        return made[-1]

    yield make
    for process in made:
        process.end()


def configuration(uri: str, watchers: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A configuration in which everybody reads every channel."""
    plenty = {"max_connections_per_client": 10_000}  # all clients here have one address
    server = {"port": 0, "heartbeat": 1, "drain": 0.5, **plenty, **more.pop("server", {})}
    return {
        "mongo": {"uri": uri},
        "server": server,
        "admin": {"port": 0},
        "auth": {"anonymous": ["**"]},
        "watchers": dict(watchers),
        **more,
    }


async def until(met: Callable[[], Any], limit: float = 10.0) -> None:
    """Returns once it holds."""
    async with asyncio.timeout(limit):
        while not met():
            await asyncio.sleep(0.05)

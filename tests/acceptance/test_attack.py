"""While clients that mean no good do their worst, honest ones miss nothing and wait no longer."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any

import orjson
import pytest

from tests.acceptance.attackers import ATTACKS
from tests.acceptance.bridge_process import BridgeProcess
from tests.acceptance.conftest import MakeBridge
from tests.acceptance.sse_client import SseClient
from tests.acceptance.traffic import Database, create_with_images, now
from tests.acceptance.witness import Witness
from tests.acceptance.ws_client import SocketWitness, WsClient

HONEST = 50
ROUND = 9.0
"""Seconds of each round of writes: a quiet one, then one under attack."""

WRITES_PER_SECOND = 40
CHANNELS = ["full:one", "full:two"]
MOST_MORE_MEMORY = 128 * 1024 * 1024


class Late:
    """How long after the write each message came, in seconds."""

    def __init__(self) -> None:
        self.delays: list[float] = []

    def note(self, message: dict[str, Any]) -> None:
        written = datetime.fromisoformat(message["time"]).timestamp()
        self.delays.append(time.time() - written)

    def percentile(self, share: float) -> float:
        return sorted(self.delays)[int(share * (len(self.delays) - 1))]


class TimedWitness(Witness):
    late: Late

    def _keep(self, message: dict[str, Any]) -> None:
        super()._keep(message)
        self.late.note(message)


class TimedSocketWitness(SocketWitness):
    late: Late

    def _change(self, data: dict[str, Any]) -> None:
        super()._change(data)
        self.late.note(data)


KINDS: tuple[Any, ...] = ((SseClient, TimedWitness), (WsClient, TimedSocketWitness))


@pytest.fixture
async def process(database: Database, bridge: MakeBridge) -> AsyncIterator[BridgeProcess]:
    await create_with_images(database, "full")
    watchers = {"full": {"watch": f"{database.name}.full", "channel": "full:{room}"}}
    server = {"patience": 3, "write_buffer": 256 * 1024}
    made = await bridge(watchers, server=server).start()
    yield made
    assert "Traceback" not in made.log
    assert made.running


async def write(database: Database, start: int, number: int) -> None:
    """So many documents, evenly, alternating between the channels."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    acknowledged = database["full"].with_options()
    for count in range(number):
        await asyncio.sleep(max(0.0, began + count / WRITES_PER_SECOND - loop.time()))
        room = ("one", "two")[count % 2]
        text = "x" * 2000
        await acknowledged.insert_one({"_id": start + count, "room": room, "text": text})


async def attacked(process: BridgeProcess, seconds: float) -> dict[str, int]:
    """What was done, once they are done."""
    made = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.acceptance.attackers",
        process.url,
        str(seconds),
        *CHANNELS,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await made.communicate()
    assert made.returncode == 0, err.decode()
    done: dict[str, int] = orjson.loads(out)
    return done


async def test_honest_clients_stay_exact_while_others_attack(
    database: Database, process: BridgeProcess
) -> None:
    since = await now(database)
    quiet, loud = Late(), Late()
    number = int(ROUND * WRITES_PER_SECOND)
    async with AsyncExitStack() as stack:
        clients = []
        for index in range(HONEST):
            kind, witness = KINDS[index % 2]
            seen: Any = witness(channels=CHANNELS, since=since)
            seen.late = quiet
            client = kind(urls=lambda: [process.url], witness=seen, seed=index)
            clients.append(await stack.enter_async_context(client))
        for client in clients:
            await client.live()
        await write(database, 0, number)
        memory = process.resident()
        for client in clients:
            client.witness.late = loud
        attack = asyncio.create_task(attacked(process, ROUND))
        await write(database, number, number)
        done = await attack
        for client in clients:
            await client.until(
                lambda seen: sum(map(len, seen.messages.values())) >= 2 * number, limit=30
            )
    for client in clients:
        for place, channel in enumerate(CHANNELS):
            keys = [message["key"] for message in client.witness.messages[channel]]
            assert keys == list(range(place, 2 * number, 2))
        assert client.witness.connections == 1, "nobody was cut who did no harm"
    assert {each.__name__ for each in ATTACKS} <= done.keys(), done
    assert process.resident() < memory + MOST_MORE_MEMORY
    told = {share: (quiet.percentile(share), loud.percentile(share)) for share in (0.5, 0.99)}
    print("seconds from write to message, quiet and under attack:", told, done)  # noqa: T201

"""Honest clients do not notice what the others do."""

import asyncio
import json
import re
import sys
import time
from contextlib import AsyncExitStack
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
import orjson

from tests.acceptance.attackers import HALF_OPEN, NEVER_READING
from tests.acceptance.bridge_process import BridgeProcess
from tests.acceptance.conftest import MakeBridge
from tests.acceptance.rooms import metric
from tests.acceptance.sse_parser import SseParser
from tests.acceptance.traffic import Database, create_with_images, now

HONEST = 50
ROUNDS = 3
"""Of quiet and attack in turn: whatever else the machine does makes only some of them worse."""

SECONDS = 3.0
"""That are measured, of quiet and of attack."""

BEGINNING = 1.5
"""Seconds before that, for processes to start and connections to be made."""

PAUSE = 0.02
"""Seconds between two writes."""

OLD = 1500
"""Documents of 4 KB that clients who do not read ask for."""

NOISE = 0.03
"""Seconds: what two cores add that bridge, MongoDB, clients and attackers share here. The bridge's
own loop is late by about a millisecond (99th percentile) during all of this."""

GROWTH = 120 * 2**20
"""Bytes: four readings of the oplog with a batch each, decoded; 16 MiB of unfinished requests and
their parsing; a write buffer and one write for each client that does not read."""


class Honest:
    """A client that reads everything at once, and notes how late it comes."""

    def __init__(self, bridge: BridgeProcess, since: str) -> None:
        self._url = f"{bridge.url}/sse?channel=room:a&since={since}"
        self.numbers: list[int] = []
        self.late: list[tuple[float, float]] = []
        """When a message was written, and the seconds until it was here."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        parser = SseParser()
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(self._url) as got:
            assert got.status == 200
            async for data in got.content.iter_any():
                here = time.time()
                for event in parser.feed(data):
                    if event.type == "message":
                        self._take(orjson.loads(event.data)["document"], here)
                    else:
                        assert event.type in ("ready", "live", "heartbeat"), event

    def _take(self, document: dict[str, Any], here: float) -> None:
        self.numbers.append(document["_id"])
        self.late.append((document["at"], here - document["at"]))

    def until(self, number: int) -> bool:
        if self._task.done():
            self._task.result()
        return bool(self.numbers) and self.numbers[-1] == number


class Writer:
    """Writes one document every 20 ms."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.number = 0
        """Of the last one."""

    async def write(self, seconds: float) -> tuple[float, float]:
        """Writes for so long; returns when it began and ended."""
        begun = time.time()
        while time.time() < begun + seconds:
            self.number += 1
            document = {"_id": self.number, "room": "a", "at": time.time()}
            await self._database["room"].insert_one(document)
            await asyncio.sleep(PAUSE)
        return begun, time.time()


def p99(clients: list[Honest], since: float, until: float) -> float:
    found = sorted(late for c in clients for at, late in c.late if since <= at < until)
    assert len(found) > HONEST * SECONDS / PAUSE / 4
    return found[int(len(found) * 0.99)]


async def attack(bridge: BridgeProcess, seconds: float) -> dict[str, int]:
    address = urlsplit(bridge.url)
    arguments = [str(address.hostname), str(address.port), "room:a", str(seconds)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.acceptance.attackers", *arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), seconds + 20)
    finally:
        if process.returncode is None:
            process.kill()
    did: dict[str, int] = json.loads(said)
    return did


async def test_fifty_honest_clients_do_not_notice_an_attack(
    database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "room")
    old = [{"_id": -n, "room": "a", "at": 0.0, "pad": "x" * 4000} for n in range(1, OLD + 1)]
    watcher = {"watch": f"{database.name}.room", "channel": "room:{room}"}
    server = {"patience": 2, "write_buffer": 262_144, "max_connections": 2000, "heartbeat": 15}
    process = await bridge({"room": watcher}, server=server).start()
    await database["room"].insert_many(old)
    since = await now(database)
    writer, quiet, loud, resident = Writer(database), [], [], 0
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Honest(process, since)) for _ in range(HONEST)]
        for _ in range(ROUNDS):
            await writer.write(BEGINNING)
            quiet.append(await writer.write(SECONDS))
            resident = resident or process.resident()
            attacking = asyncio.create_task(attack(process, BEGINNING + SECONDS))
            await writer.write(BEGINNING)
            loud.append(await writer.write(SECONDS))
            grown = process.resident() - resident
            did = await attacking
        async with asyncio.timeout(10):
            while not all(client.until(writer.number) for client in clients):
                await asyncio.sleep(0.05)
    assert all(client.numbers == [*range(1, writer.number + 1)] for client in clients)
    calm = min(p99(clients, *span) for span in quiet)
    attacked = min(p99(clients, *span) for span in loud)
    assert did.pop("half_open") >= HALF_OPEN
    assert did.pop("never_reading") >= NEVER_READING
    assert min(did.values()) >= 3, did
    assert attacked <= max(2 * calm, calm + NOISE), (calm, attacked)
    assert grown < GROWTH
    assert await metric(process, "bridge_cut_connections_total") > 0
    assert not re.search('Traceback|"level": ?"(error|critical)"', process.log), process.log

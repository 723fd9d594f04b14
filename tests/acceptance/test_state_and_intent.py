"""The state and what follows it, and own writes that come back: on the process, from outside."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import orjson
import pytest
from pymongo import WriteConcern

from tests.acceptance.bridge_process import BridgeProcess
from tests.acceptance.conftest import MakeBridge, until
from tests.acceptance.oracle import changes_since, due_by_template
from tests.acceptance.rooms import has_the_end, metric, stored, write_the_end
from tests.acceptance.sse_parser import SseParser
from tests.acceptance.state_client import StateClient
from tests.acceptance.test_convergence import channel_of
from tests.acceptance.traffic import Collection, Database, Traffic, bare, create_with_images, now
from tests.acceptance.workload import ROOMS

WRITES = 4_500
STORM = 500


def routed(coll: str) -> Any:
    def route(document: Any) -> str | None:
        room = (document or {}).get("room")
        return channel_of(coll, room) if isinstance(room, str) and room else None

    return route


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_state_and_stream_meet_exactly_while_others_write(
    seed: int, database: Database, bridge: MakeBridge
) -> None:
    await create_with_images(database, "docs")
    watcher = {"watch": f"{database.name}.docs", "channel": "docs:{room}", "mode": "patch"}
    process = await bridge({"docs": watcher}).start()
    since = await now(database)
    traffic = Traffic(database=database, names=["docs"] * 3, count=WRITES, seconds=2.0, seed=seed)
    channels = [channel_of("docs", room) for room in ROOMS]
    clients: list[StateClient] = []
    async with AsyncExitStack() as open_clients:
        writing = asyncio.create_task(traffic.run())
        for number in range(6):
            await asyncio.sleep(0.2)
            some = channels if number % 2 else channels[number % 4 : number % 4 + 1]
            client = StateClient(urls=lambda: [process.url], channels=some, seed=number)
            clients.append(await open_clients.enter_async_context(client))
        await writing
        await write_the_end(database, "docs")
        for client in clients:
            await client.until(has_the_end)
    changes = await changes_since(database, since, last=len(ROOMS))
    assert len(changes) >= 4_000
    due, documents = due_by_template(changes, routed("docs")), await stored(database, "docs")
    followed = 0
    for client in clients:
        for channel in client.channels:
            position = client.stands_at[channel][9:]
            wanted = [each.position for each in due[channel] if each.position > position]
            assert client.messages[channel] == wanted, "lost or given twice"
            assert client.held(channel) == documents[channel]
            followed += len(wanted)
        assert client.kinds[0] == "ready"
        assert (client.resyncs, client.connections) == ([], 1)
    assert followed > 4_000, "the clients came while much was written"


class Counter:
    """A document that counts up, and what it was at each position."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._at: list[tuple[str, int]] = []
        self._stop = asyncio.Event()

    async def run(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            change = {"q": {"_id": "counter"}, "u": {"$set": {"n": number}}}
            reply = await self._database.command({"update": "docs", "updates": [change]})
            self._at.append((bare(reply["operationTime"]) + "ffffff", number))
            await asyncio.sleep(0.02)

    def stop(self) -> None:
        self._stop.set()

    def assert_was(self, number: int, cursor: str) -> None:
        """That it could be so at a cursor: a write's operation time is no earlier than it."""
        position = cursor[9:]
        least = max((n for at, n in self._at if at <= position), default=0)
        assert least <= number <= least + 1, f"{number} at {cursor}"


async def get_state(session: aiohttp.ClientSession, process: BridgeProcess) -> tuple[str, Any]:
    async with session.get(f"{process.url}/channels/docs%3Aa/snapshot") as answer:
        assert answer.status == 200, await answer.text()
        body = await answer.json()
        assert body["channel"] == "docs:a"
        return body["cursor"], body["documents"]


async def stream_state(session: aiohttp.ClientSession, process: BridgeProcess) -> tuple[str, Any]:
    asked = {"channel": "docs:a", "snapshot": "1"}
    documents: list[Any] = []
    parser = SseParser()
    async with session.get(f"{process.url}/sse", params=asked) as answer:
        async for chunk in answer.content.iter_any():
            for event in parser.feed(chunk):
                if event.type == "snapshot":
                    documents += orjson.loads(event.data)["documents"]
                    if event.id:
                        return event.id, documents
    raise AssertionError("the stream ended")


async def test_a_storm_of_requests_is_a_handful_of_readings(
    database: Database, bridge: MakeBridge, record_property: Callable[[str, object], None]
) -> None:
    await create_with_images(database, "docs")
    await database["docs"].insert_many([{"_id": n, "room": "a", "n": n} for n in range(299)])
    await database["docs"].insert_one({"_id": "counter", "room": "a", "n": 0})
    watcher = {"watch": f"{database.name}.docs", "channel": "docs:{room}"}
    process = await bridge({"docs": watcher}).start()
    counter = Counter(database)
    counting = asyncio.create_task(counter.run())
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def later(number: int, ask: Any) -> tuple[str, Any]:
            await asyncio.sleep(number / STORM)
            found: tuple[str, Any] = await ask(session, process)
            return found

        began = time.monotonic()
        states = await asyncio.gather(
            *(later(n, ask) for n in range(STORM) for ask in (get_state, stream_state))
        )
        took = time.monotonic() - began
    counter.stop()
    await counting
    readings = await metric(process, "bridge_snapshots_total")
    record_property("readings of a storm", readings)
    record_property("storm s", round(took, 1))
    assert len(states) == 2 * STORM
    for cursor, documents in states:
        held = {each["key"]: each["document"]["n"] for each in documents}
        counter.assert_was(held.pop("counter"), cursor)
        assert held == {n: n for n in range(299)}
    assert readings <= 12


class OwnWrites:
    """Writes with a mutation id each, and how long after it began each came back."""

    def __init__(self) -> None:
        self.began: dict[str, float] = {}
        self.took: dict[str, list[float]] = {}
        self.leaked: list[str] = []

    def begin(self, number: int) -> str:
        mutation = f"m{number:05d}"
        self.began[mutation] = time.monotonic()
        return mutation

    def confirm(self, text: str) -> None:
        mutation = orjson.loads(text).get("mutationId", "")
        self.took.setdefault(mutation, []).append(time.monotonic() - self.began[mutation])
        if text.count(mutation) != 1 or "_mutationId" in text or "mutationId" not in text:
            self.leaked.append(text)

    async def listen(self, url: str, live: asyncio.Event) -> None:
        parser = SseParser()
        asked = {"channel": "docs:a"}
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{url}/sse", params=asked) as answer,
        ):
            async for chunk in answer.content.iter_any():
                for event in parser.feed(chunk):
                    if event.type == "live":
                        live.set()
                    elif event.type == "message":
                        self.confirm(event.data)

    async def write(self, docs: Collection) -> None:
        for number in range(500):
            mutation, key = self.begin(number), number - number % 5
            if number == key:
                await docs.insert_one({"_id": key, "room": "a", "_mutationId": mutation})
            elif number % 5 == 4:
                await docs.update_one({"_id": key}, {"$set": {"_meta.mutationId": mutation}})
            else:
                change = {"$set": {"n": number, "_mutationId": mutation}}
                await docs.update_one({"_id": key}, change)


async def test_every_own_write_comes_back_once_with_its_mutation_id(
    database: Database, bridge: MakeBridge, record_property: Callable[[str, object], None]
) -> None:
    await create_with_images(database, "docs")
    watcher = {"watch": f"{database.name}.docs", "channel": "docs:{room}", "mode": "patch"}
    process = await bridge({"docs": watcher}).start()
    own, live = OwnWrites(), asyncio.Event()
    listening = asyncio.create_task(own.listen(process.url, live))
    await asyncio.wait_for(live.wait(), 10)
    await own.write(database["docs"].with_options(write_concern=WriteConcern("majority")))
    await until(lambda: len(own.took) == 500 or listening.done())
    listening.cancel()
    spent = sorted(each * 1000 for found in own.took.values() for each in found)
    record_property("own write p50 ms", round(spent[250], 1))
    record_property("own write p99 ms", round(spent[495], 1))
    assert {which: len(found) for which, found in own.took.items()} == dict.fromkeys(own.began, 1)
    assert own.leaked == []

"""What collections of rooms hold, channel by channel; and the end of a run, and its numbers."""

import re

import aiohttp

from tests.acceptance.bridge_process import BridgeProcess
from tests.acceptance.plain_json import canonical, plain
from tests.acceptance.replica import name_of
from tests.acceptance.state_client import StateClient
from tests.acceptance.test_convergence import channel_of
from tests.acceptance.traffic import Database
from tests.acceptance.workload import ROOMS


async def metric(process: BridgeProcess, name: str) -> float:
    """The sum of a metric over its labels."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{process.admin_url}/metrics") as answer,
    ):
        lines = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", await answer.text(), re.MULTILINE)
    return sum(map(float, lines))


async def stored(database: Database, coll: str) -> dict[str, dict[str, str]]:
    """Channel -> name of a document -> its JSON, from the database itself."""
    found: dict[str, dict[str, str]] = {channel_of(coll, room): {} for room in ROOMS}
    async for document in database[coll].find():
        if document.get("room") in ROOMS:
            name = name_of({"key": plain(document["_id"])})
            found[channel_of(coll, document["room"])][name] = canonical(plain(document))
    return found


async def write_the_end(database: Database, coll: str) -> None:
    for room in ROOMS:
        await database[coll].insert_one({"_id": f"end:{channel_of(coll, room)}", "room": room})


def has_the_end(client: StateClient) -> bool:
    return all(
        name_of({"key": f"end:{channel}"}) in client.held(channel) for channel in client.channels
    )

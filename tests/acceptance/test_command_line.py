"""The command line: exit codes, and one line that says what to do."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.demo.mongod import Mongod
from tests.acceptance.bridge_process import command
from tests.acceptance.conftest import configuration
from tests.acceptance.traffic import Database

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config.example.yaml"
NOWHERE = "mongodb://127.0.0.1:1/?replicaSet=rs0&serverSelectionTimeoutMS=500"
TODOS = {"watch": "app.todos", "channel": "todos:{room}"}


def changed(*path: str, value: Any) -> dict[str, Any]:
    """A good configuration with one value changed."""
    config = configuration(NOWHERE, {"todos": dict(TODOS)})
    inner = config
    for name in path[:-1]:
        inner = inner.setdefault(name, {})
    inner[path[-1]] = value
    return config


def watcher(**more: Any) -> dict[str, Any]:
    return changed("watchers", "todos", value={**TODOS, **more})


WRONG = {
    "unknown key": (changed("server", "prot", value=1), ["server.prot", "port"]),
    "unknown section": (changed("sever", value={}), ["sever", "server"]),
    "unknown watcher key": (watcher(chanel="x"), ["watchers.todos.chanel", "channel"]),
    "wrong type": (changed("server", "port", value="http"), ["server.port", "http"]),
    "out of range": (changed("server", "port", value=70000), ["server.port", "70000", "65535"]),
    "wrong uri": (changed("mongo", "uri", value="postgres://x"), ["mongo.uri", "mongodb://"]),
    "wrong mode": (watcher(mode="diff"), ["mode", "diff", "patch"]),
    "wrong image option": (watcher(full_document="on"), ["full_document", "updateLookup"]),
    "wrong template": (watcher(channel="todos:{room"), ["watchers.todos", "channel"]),
    "unknown template type": (watcher(channel="todos:{room:strnig}"), ["todos", "strnig"]),
    "wrong scope": (watcher(watch="app."), ["watchers.todos.watch"]),
    "system database": (watcher(watch="local.x"), ["watchers.todos.watch", "local"]),
    "wrong name": (changed("watchers", "To Dos", value=TODOS), ["To Dos"]),
    "no watchers": (changed("watchers", value={}), ["watchers"]),
    "unknown pipeline": (watcher(pipelines=["none"]), ["none"]),
    "forbidden stage": (watcher(pipelines=[{"$lookup": {}}]), ["todos", "$lookup"]),
    "pipeline without _id": (
        watcher(pipelines=[{"$unset": "documentKey"}]),
        ["todos", "documentKey"],
    ),
    "overlapping channels": (
        changed("watchers", "more", value={"watch": "app.more", "channel": "todos:{owner}"}),
        ["todos", "more"],
    ),
    "wrong origin": (changed("server", "cors_origins", value=["example.com"]), ["cors_origins"]),
    "wrong pattern": (changed("auth", "anonymous", value=["a b"]), ["auth.anonymous"]),
    "no mapping": ([1, 2], ["config.yaml"]),
    "empty": (None, ["config.yaml"]),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_bad_configuration_is_one_line_that_names_it(kind: str, tmp_path: Path) -> None:
    config, named = WRONG[kind]
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    expect_refusal(file, *named)


def expect_refusal(file: Path, *named: str, **variables: str) -> None:
    done = command("run", "-c", str(file), **variables)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert [name for name in named if name not in line] == [], line


def test_bad_yaml_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("watchers: {todos: [\n")
    expect_refusal(file, "config.yaml")


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    expect_refusal(tmp_path / "missing.yaml", "missing.yaml")


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("BRIDGE_SERVER__PROT", "1", "BRIDGE_SERVER__PROT"),
        ("BRIDGE_SEVER__PORT", "1", "BRIDGE_SEVER__PORT"),
        ("BRIDGE_SERVER__PORT", "http", "http"),
        ("BRIDGE_AUTH__ANONYMOUS", "[", "ANONYMOUS"),
    ],
)
def test_a_wrong_variable_is_one_line(name: str, value: str, named: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(configuration(NOWHERE, {"todos": TODOS})))
    expect_refusal(file, named, **{name: value})


@pytest.mark.parametrize(
    "wrong",
    [
        ["fly"],
        ["run", "--fast"],
        ["images", "enable"],
        ["tail", "a", "--url", "127.0.0.1:8080"],
        ["token", "--channels", "a", "--claim", "admin"],
        ["token", "--channels", "a", "--claim", "exp:0"],
    ],
)
def test_a_wrong_command_line_is_exit_code_2(wrong: list[str]) -> None:
    assert command(*wrong).returncode == 2


def test_a_mongodb_that_does_not_answer_is_exit_code_3(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(configuration(NOWHERE, {"todos": TODOS})))
    done = command("run", "-c", str(file))
    assert done.returncode == 3
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("livesync-bridge")]
    assert "mongo.uri: 127.0.0.1:1" in line


def test_a_check_without_mongodb_fails_and_says_why(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(configuration(NOWHERE, {"todos": TODOS})))
    done = command("check", "-c", str(file))
    assert done.returncode in (1, 3)
    assert "127.0.0.1:1" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_check_says_commands_in_one_piece_however_narrow_the_terminal(
    mongod: Mongod, database: Database, tmp_path: Path
) -> None:
    name = f"{database.name}.todos"
    file = tmp_path / "config.yaml"
    watchers = {"todos": {"watch": name, "channel": "todos:{room}", "mode": "patch"}}
    file.write_text(yaml.safe_dump(configuration(mongod.uri, watchers)))
    done = command("check", "-c", str(file), COLUMNS="40")
    assert done.returncode == 1
    assert f"✗ watcher todos: livesync-bridge images enable {name}" in done.stdout.splitlines()


async def test_a_watcher_that_lacks_images_is_refused_with_the_command_that_enables_them(
    mongod: Mongod, database: Database, tmp_path: Path
) -> None:
    await database.create_collection("todos")
    name = f"{database.name}.todos"
    file = tmp_path / "config.yaml"
    watchers = {"todos": {"watch": name, "channel": "todos:{room}", "mode": "patch"}}
    file.write_text(yaml.safe_dump(configuration(mongod.uri, watchers)))
    expect_refusal(file, f"images enable {name}")
    assert f"off {name}".split() in [line.split() for line in status(file)]
    assert command("images", "enable", "-c", str(file), name).returncode == 0
    assert f"on {name}".split() in [line.split() for line in status(file)]
    assert command("check", "-c", str(file)).returncode == 0


def status(file: Path) -> list[str]:
    done = command("images", "status", "-c", str(file))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


async def test_the_example_configuration_passes_the_check_once_images_are_enabled(
    mongod: Mongod, database: Database
) -> None:
    example = yaml.safe_load(EXAMPLE.read_text())
    free = {"BRIDGE_SERVER__PORT": "0", "BRIDGE_ADMIN__PORT": "0"}
    variables = {"BRIDGE_MONGO__URI": mongod.uri, **free}
    scopes = [watcher["watch"] for watcher in example["watchers"].values()]
    collections = [scope for scope in scopes if "." in scope]
    enabled = command("images", "enable", "-c", str(EXAMPLE), *collections, **variables)
    assert enabled.returncode == 0, enabled.stderr
    checked = command("check", "-c", str(EXAMPLE), **variables)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "✗" not in checked.stdout
    assert "✓" in checked.stdout
    for scope in scopes:
        await database.client.drop_database(scope.partition(".")[0])

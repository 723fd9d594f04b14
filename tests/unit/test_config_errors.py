"""Wrong configurations, one of every kind, and the one line that each gets."""

import os
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.config import load_config
from bridge.errors import ConfigError

WATCHER = "watchers: {todos: {watch: app.todos, channel: 'todos:{workspace}'}}\n"
PASSWORD = "hunter2"

Refusal = Callable[[str], str]


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("BRIDGE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def refusal(tmp_path: Path) -> Refusal:
    """The line that refuses a configuration, without the directory of its file."""

    def refusal(text: str) -> str:
        file = tmp_path / "bridge.yaml"
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            load_config(file)
        assert PASSWORD not in "".join(traceback.format_exception(caught.value))
        return str(caught.value).replace(f"{tmp_path}/", "")

    return refusal


def watcher(**keys: str) -> str:
    known = {"watch": "app.todos", "channel": "todos"} | keys
    return "watchers: {w: {" + ", ".join(f"{key}: {value}" for key, value in known.items()) + "}}"


FILES = {
    "": "bridge.yaml: the file is empty",
    "# nothing yet\n": "bridge.yaml: the file is empty",
    "- todos": "bridge.yaml: its top level is a list, expected a mapping of keys",
    "server: [1": "bridge.yaml: line 1, column 11: expected ',' or ']', but got '<stream end>'",
    f"mongo:\n  uri: a: mongodb://u:{PASSWORD}@h": (
        "bridge.yaml: line 2, column 9: mapping values are not allowed here"
    ),
    "server:\n  port: 1\n  port: 2": (
        'bridge.yaml: line 3, column 3: the key "port" stands twice in one mapping'
    ),
    "server: {on: 1}": "bridge.yaml: line 1, column 10: the key on is not text: put it in quotes",
    "since: 2026-13-01": "bridge.yaml: not YAML: month must be in 1..12",
}


@pytest.mark.parametrize(("text", "line"), FILES.items())
def test_a_file_that_is_no_mapping_is_refused(refusal: Refusal, text: str, line: str) -> None:
    assert refusal(text) == line


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "nowhere.yaml")

    assert str(caught.value) == f"{tmp_path}/nowhere.yaml: no such file"


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path)

    assert str(caught.value) == f"{tmp_path}: cannot be read: Is a directory"


SECTIONS = "admin, auth, history, mongo, pipelines, server, watchers"
WATCHER_KEYS = (
    "watch, pipelines, channel, mode, full_document, full_document_before_change, json, "
    "snapshot, mutation_id, outbox, batch"
)
PORT = "a whole number from 0 to 65535"
WATCH = '"db.coll", "db" (all its collections) or "*" (the whole deployment)'
ORIGINS = (
    'exact origins such as "https://app.example.com" (lower case, no path), '
    '"https://*.example.com", or "*" alone'
)

KEYS = {
    "unknown section": (
        WATCHER + "serve: {}",
        f'serve: unknown key, did you mean "server"? Allowed here: {SECTIONS}',
    ),
    "unknown key": (
        WATCHER + "admin: {prot: 1}",
        'admin.prot: unknown key, did you mean "port"? Allowed here: host, port',
    ),
    "unlike any key": (
        WATCHER + "admin: {x: 1}",
        "admin.x: unknown key; allowed here: host, port",
    ),
    "unknown key of a watcher": (
        watcher(modus="full"),
        'watchers.w.modus: unknown key, did you mean "mode"? '
        f"Allowed here: {', '.join(sorted(WATCHER_KEYS.split(', ')))}",
    ),
    "instruction to the settings library": (
        WATCHER + "_env_file: .env",
        f"_env_file: unknown key; allowed here: {SECTIONS}",
    ),
    "number too large": (
        WATCHER + "server: {port: 70000}",
        f"server.port: 70000 is wrong; expected {PORT}",
    ),
    "number too small": (
        WATCHER + "history: {backfills: 0}",
        "history.backfills: 0 is wrong; expected a whole number from 1 to 64",
    ),
    "not a number": (
        WATCHER + "history: {window: .nan}",
        "history.window: NaN is wrong; expected seconds from 1 to 604800",
    ),
    "text for a number": (
        WATCHER + "server: {port: '8080'}",
        f'server.port: "8080" is wrong; expected {PORT}',
    ),
    "truth for a number": (
        WATCHER + "server: {patience: yes}",
        "server.patience: true is wrong; expected seconds from 0.1 to 3600",
    ),
    "fraction for a whole number": (
        WATCHER + "server: {max_message: 1e3.5}",
        'server.max_message: "1e3.5" is wrong; expected whole bytes from 256 to 67108864',
    ),
    "number for text": (
        WATCHER + "server: {host: 1}",
        "server.host: 1 is wrong; expected a host name or an IP address",
    ),
    "text for a list": (
        WATCHER + "auth: {anonymous: 'todos:*'}",
        'auth.anonymous: "todos:*" is wrong; expected a list of channel patterns',
    ),
    "number in a list": (
        WATCHER + "auth: {anonymous: [a, 1]}",
        "auth.anonymous[1]: 1 is wrong; expected a list of channel patterns",
    ),
    "blank in a pattern": (
        WATCHER + "auth: {anonymous: ['a b']}",
        'auth.anonymous: ["a b"] is wrong; expected channel patterns such as "todos:*", '
        "not empty and without blanks",
    ),
    "empty section": (
        WATCHER + "admin:",
        "admin: null is wrong; expected a mapping with the keys host, port",
    ),
    "unknown word": (
        watcher(mode="ful"),
        'watchers.w.mode: "ful" is wrong; expected one of full, delta, patch',
    ),
    "yes for an image option": (
        watcher(full_document="on"),
        "watchers.w.full_document: true is wrong; "
        "expected one of auto, off, updateLookup, whenAvailable, required",
    ),
    "unknown form of JSON": (
        watcher(json="strict"),
        'watchers.w.json: "strict" is wrong; expected one of plain, relaxed',
    ),
    "pipeline that is no name": (
        watcher(pipelines="[a, 1]"),
        "watchers.w.pipelines[1]: 1 is wrong; expected a list of pipeline names and stages",
    ),
    "no watchers": (
        "server: {port: 1}",
        "watchers: missing; expected at least one watcher, each under its name",
    ),
    "empty watchers": (
        "watchers: {}",
        "watchers: {} is wrong; expected at least one watcher, each under its name",
    ),
    "watchers as a list": (
        "watchers: [a]",
        'watchers: ["a"] is wrong; expected at least one watcher, each under its name',
    ),
    "watcher that is no mapping": (
        "watchers: {w: app.todos}",
        f'watchers.w: "app.todos" is wrong; expected a mapping with the keys {WATCHER_KEYS}',
    ),
    "name of a watcher": (
        "watchers: {My Todos: {watch: app.todos, channel: c}}",
        "watchers.My Todos: not a watcher's name; expected 1 to 64 of a-z 0-9 _ -, "
        "beginning with a-z or 0-9",
    ),
    "no channel": (
        "watchers: {w: {watch: app.todos}}",
        'watchers.w.channel: missing; expected a channel template such as "todos:{workspace}"',
    ),
    "nothing to watch": (
        watcher(watch="''"),
        f'watchers.w.watch: "" is wrong; expected {WATCH}',
    ),
    "no collection after the dot": (
        watcher(watch="app."),
        f'watchers.w.watch: "app." is wrong; expected {WATCH}',
    ),
    "pattern of databases": (
        watcher(watch="'app*'"),
        f'watchers.w.watch: "app*" is wrong; expected {WATCH}',
    ),
    "system database": (
        watcher(watch="local.oplog.rs"),
        'watchers.w.watch: "local.oplog.rs" is wrong; '
        "expected a database that MongoDB lets be watched, which local is not",
    ),
    "system collection": (
        watcher(watch="app.system.views"),
        'watchers.w.watch: "app.system.views" is wrong; '
        "expected a collection that MongoDB lets be watched, which system.* is not",
    ),
    "dollar in a collection": (
        watcher(watch="app.a$b"),
        'watchers.w.watch: "app.a$b" is wrong; '
        "expected a collection name, which has no $ and no NUL",
    ),
    "origin with a path": (
        WATCHER + "server: {cors_origins: ['https://a.example/']}",
        'server.cors_origins: ["https://a.example/"] is wrong; '
        f"expected {ORIGINS}; 'https://a.example/' is none of them",
    ),
    "any origin beside another": (
        WATCHER + "server: {cors_origins: ['*', 'https://a.example']}",
        'server.cors_origins: ["*", "https://a.example"] is wrong; '
        f"expected {ORIGINS}; '*' is none of them",
    ),
    "origins of a top-level domain": (
        WATCHER + "server: {cors_origins: ['https://*.com']}",
        'server.cors_origins: ["https://*.com"] is wrong; '
        f"expected {ORIGINS}; 'https://*.com' is none of them",
    ),
    "not a MongoDB URI": (
        WATCHER + f"mongo: {{uri: 'http://u:{PASSWORD}@h'}}",
        "mongo.uri: the value (not shown) is wrong; "
        "expected a MongoDB URI, which begins with mongodb:// or mongodb+srv://",
    ),
    "the URI in the wrong place": (
        WATCHER + f"mongo: mongodb://u:{PASSWORD}@h",
        "mongo: the value (not shown) is wrong; "
        "expected a mapping with the keys uri, uri_file, driver",
    ),
    "the URI under a wrong name": (
        WATCHER + f"mongo: {{url: 'mongodb://u:{PASSWORD}@h'}}",
        'mongo.url: unknown key, did you mean "uri"? Allowed here: driver, uri, uri_file',
    ),
    "the URI as a port": (
        WATCHER + f"admin: {{port: 'mongodb://u:{PASSWORD}@h'}}",
        f"admin.port: the value (not shown: it may hold a password) is wrong; expected {PORT}",
    ),
    "unknown driver": (
        WATCHER + "mongo: {driver: mongoengine}",
        'mongo.driver: "mongoengine" is wrong; expected one of pymongo, motor',
    ),
    "missing secret file": (
        WATCHER + "mongo: {uri_file: nowhere}",
        "mongo.uri_file: nowhere cannot be read: No such file or directory",
    ),
    "secret file that holds something else": (
        WATCHER + "mongo: {uri_file: bridge.yaml}",
        "mongo.uri_file: bridge.yaml does not hold a MongoDB URI",
    ),
    "the secret twice": (
        WATCHER + "mongo: {uri: 'mongodb://h', uri_file: secret}",
        "mongo.uri_file: mongo.uri is set too; expected only one of them",
    ),
    "several": (
        WATCHER + "server: {port: -1, heartbeat: 0}\nadmin: {x: 1}",
        f"server.port: -1 is wrong; expected {PORT} (and 2 more)",
    ),
}


@pytest.mark.parametrize(("text", "line"), KEYS.values(), ids=KEYS.keys())
def test_a_wrong_key_is_named_with_what_it_was_and_what_is_allowed(
    refusal: Refusal, text: str, line: str
) -> None:
    assert refusal(text) == line


VARIABLES = {
    ("BRIDGE_SERVR__PORT", "1"): (
        'BRIDGE_SERVR__PORT: unknown environment variable, did you mean "BRIDGE_SERVER__PORT"?'
    ),
    ("BRIDGE_SERVER_PORT", "1"): (
        'BRIDGE_SERVER_PORT: unknown environment variable, did you mean "BRIDGE_SERVER__PORT"?'
    ),
    ("BRIDGE_WATCHERS__TODOS__MODUS", "full"): (
        "BRIDGE_WATCHERS__TODOS__MODUS: unknown environment variable, "
        'did you mean "BRIDGE_WATCHERS__TODOS__MODE"?'
    ),
    ("BRIDGE_WATCHERS__TODO__MODE", "full"): (
        "watchers.todo.watch: missing (its mapping comes from BRIDGE_WATCHERS__TODO__MODE); "
        'expected "db.coll", "db" or "*" (and 1 more)'
    ),
    ("BRIDGE_SERVER__PORT", "many"): (
        f'server.port (from BRIDGE_SERVER__PORT): "many" is wrong; expected {PORT}'
    ),
    ("BRIDGE_ADMIN", '{"port": -1}'): (
        f"admin.port (from BRIDGE_ADMIN): -1 is wrong; expected {PORT}"
    ),
    ("BRIDGE_AUTH__ANONYMOUS", "todos:*"): (
        "auth.anonymous (from BRIDGE_AUTH__ANONYMOUS): not JSON; "
        "expected a list of channel patterns, as JSON"
    ),
    ("BRIDGE_MONGO__URI", f"u:{PASSWORD}@h"): (
        "mongo.uri (from BRIDGE_MONGO__URI): the value (not shown) is wrong; "
        "expected a MongoDB URI, which begins with mongodb:// or mongodb+srv://"
    ),
}


@pytest.mark.parametrize(("variable", "line"), VARIABLES.items())
def test_a_wrong_variable_is_named(
    refusal: Refusal, monkeypatch: pytest.MonkeyPatch, variable: tuple[str, str], line: str
) -> None:
    monkeypatch.setenv(*variable)

    assert refusal(WATCHER) == line

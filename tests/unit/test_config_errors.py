"""Wrong configurations, one of every kind, and the one line that each gets."""

import os
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.algorithms import ALGORITHMS
from bridge.config import load_config
from bridge.errors import ConfigError

WATCHER = "watchers: {todos: {watch: app.todos, channel: 'todos:{workspace}'}}\n"
PASSWORD = "hunter2"
LONG = PASSWORD + 33 * "x"
MAKE_SECRET = "make one with: openssl rand -base64 48"

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
    "snapshot, redact, mutation_id, outbox, batch"
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
    "short secret": (
        WATCHER + f"auth: {{jwt: {{secret: {PASSWORD}}}}}",
        f"auth.jwt.secret: 7 bytes are too few for HS256; expected at least 32: {MAKE_SECRET}",
    ),
    "secret too short for one of the algorithms": (
        WATCHER + f"auth: {{jwt: {{algorithms: [HS256, HS512], secret: {LONG}}}}}",
        f"auth.jwt.secret: 40 bytes are too few for HS512; expected at least 64: {MAKE_SECRET}",
    ),
    "short ticket secret": (
        WATCHER + f"auth: {{jwt: {{secret: {LONG}}}, ticket_secret: {PASSWORD}}}",
        f"auth.ticket_secret: 7 bytes are too few; expected at least 32: {MAKE_SECRET}",
    ),
    "secret that is no text": (
        WATCHER + f"auth: {{jwt: {{secret: [{PASSWORD}]}}}}",
        "auth.jwt.secret: the value (not shown) is wrong; expected a secret text",
    ),
    "secret in the place of its section": (
        WATCHER + f"auth: {{jwt: {PASSWORD}}}",
        "auth.jwt: the value (not shown) is wrong; expected a mapping with the keys algorithms, "
        "secret, secret_file, public_key_file, jwks_url, issuer, audience, leeway",
    ),
    "secret one section too high": (
        WATCHER + f"auth: {PASSWORD}",
        "auth: the value (not shown) is wrong; expected a mapping with the keys anonymous, jwt, "
        "cookie, ticket_secret, ticket_secret_file",
    ),
    "leeway": (
        WATCHER + "auth: {jwt: {leeway: -1}}",
        "auth.jwt.leeway: -1 is wrong; expected seconds from 0 to 300",
    ),
    "two keys": (
        WATCHER + f"auth: {{jwt: {{secret: {LONG}, jwks_url: 'https://a.example/keys'}}}}",
        "auth.jwt: secret and jwks_url are set; expected only one of them",
    ),
    "no key": (
        WATCHER + "auth: {jwt: {issuer: me}}",
        "auth.jwt: no key to verify tokens with; set one of secret, public_key_file, jwks_url",
    ),
    "secret and its file": (
        WATCHER + f"auth: {{jwt: {{secret: {LONG}, secret_file: bridge.yaml}}}}",
        "auth.jwt.secret_file: auth.jwt.secret is set too; expected only one of them",
    ),
    "missing file of a ticket secret": (
        WATCHER + f"auth: {{jwt: {{secret: {LONG}}}, ticket_secret_file: nowhere}}",
        "auth.ticket_secret_file: nowhere cannot be read: No such file or directory",
    ),
    "unknown algorithm": (
        WATCHER + f"auth: {{jwt: {{algorithms: [none], secret: {LONG}}}}}",
        f"auth.jwt.algorithms: none cannot be used; expected some of {', '.join(ALGORITHMS)}",
    ),
    "no algorithm": (
        WATCHER + f"auth: {{jwt: {{algorithms: [], secret: {LONG}}}}}",
        f"auth.jwt.algorithms: there is none; expected some of {', '.join(ALGORITHMS)}",
    ),
    "shared algorithm with published keys": (
        WATCHER + "auth: {jwt: {jwks_url: 'https://a.example/keys'}}",
        "auth.jwt.algorithms: HS256 cannot be verified by auth.jwt.jwks_url; expected some of "
        "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA",
    ),
    "public algorithm with a secret": (
        WATCHER + f"auth: {{jwt: {{algorithms: [HS256, RS256], secret: {LONG}}}}}",
        "auth.jwt.algorithms: RS256 cannot be verified by auth.jwt.secret; expected some of "
        "HS256, HS384, HS512",
    ),
    "no URL of keys": (
        WATCHER + "auth: {jwt: {algorithms: [RS256], jwks_url: 'file:///keys'}}",
        'auth.jwt.jwks_url: "file:///keys" is wrong; '
        'expected a URL such as "https://login.example.com/.well-known/jwks.json"',
    ),
    "cookie without tokens": (
        WATCHER + "auth: {cookie: session}",
        "auth.cookie: needs auth.jwt, which says how tokens are verified",
    ),
    "tickets without tokens": (
        WATCHER + f"auth: {{ticket_secret: {LONG}}}",
        "auth.ticket_secret: needs auth.jwt, which says how tokens are verified",
    ),
    "name of a cookie": (
        WATCHER + "auth: {cookie: 'a b'}",
        'auth.cookie: "a b" is wrong; '
        'expected the name of a cookie such as "session": letters, digits, - and _',
    ),
    "tokens and any origin": (
        WATCHER + f"server: {{cors_origins: ['*']}}\nauth: {{jwt: {{secret: {LONG}}}}}",
        'server.cors_origins: "*" goes only with anonymous access; with auth.jwt, '
        "expected the origins whose pages may use their users' tokens",
    ),
    "misspelt and so missing": (
        "watchers: {w: {watch: app.todos, chanel: 'todos:{workspace}'}}",
        'watchers.w.chanel: unknown key, did you mean "channel"? Allowed here: batch, channel, '
        "full_document, full_document_before_change, json, mode, mutation_id, outbox, pipelines, "
        "redact, snapshot, watch (and 1 more)",
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
    ("BRIDGE_AUTH__JWT__SECERT", PASSWORD): (
        "BRIDGE_AUTH__JWT__SECERT: unknown environment variable, "
        'did you mean "BRIDGE_AUTH__JWT__SECRET"?'
    ),
    ("BRIDGE_AUTH__JWT__SECRET", PASSWORD): (
        f"auth.jwt.secret: 7 bytes are too few for HS256; expected at least 32: {MAKE_SECRET}"
    ),
    ("BRIDGE_AUTH__JWT__LEEWAY", "soon"): (
        'auth.jwt.leeway (from BRIDGE_AUTH__JWT__LEEWAY): "soon" is wrong; '
        "expected seconds from 0 to 300"
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

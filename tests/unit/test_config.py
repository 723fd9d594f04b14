"""Configurations as operators write them: what they mean, and the example."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from bridge.auth_config import JwtConfig
from bridge.config import Config, load_config
from bridge.events import Namespace
from bridge.pipelines import load_stages
from bridge.watcher_config import WatcherConfig

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
WATCHER = "watchers: {todos: {watch: app.todos, channel: 'todos:{workspace}'}}\n"
PASSWORD = "hunter2"

Load = Callable[[str], Config]


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("BRIDGE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(text: str) -> Config:
        file = tmp_path / "bridge.yaml"
        file.write_text(text, encoding="utf-8")
        return load_config(file)

    return load


def test_one_watcher_is_a_whole_configuration(load: Load, tmp_path: Path) -> None:
    config = load(WATCHER)

    assert config.mongo.uri.get_secret_value() == "mongodb://127.0.0.1:27017/?replicaSet=rs0"
    assert (config.server.host, config.server.port, config.admin.port) == ("127.0.0.1", 8080, 8081)
    assert config.auth.anonymous == ()
    assert config.pipelines == tmp_path / "pipelines"
    todos = config.watchers["todos"]
    assert (todos.mode, todos.full_document, todos.json_form) == ("full", "auto", "plain")


def test_nothing_can_be_changed_afterwards(load: Load) -> None:
    config = load(WATCHER)

    with pytest.raises(ValidationError):
        config.server.port = 1


@pytest.mark.parametrize(
    ("watch", "scope"),
    [
        ("app.todos", Namespace("app", "todos")),
        ("app.a.b", Namespace("app", "a.b")),
        ("app", Namespace("app", "")),
        ("*", Namespace("", "")),
    ],
)
def test_a_scope_is_a_collection_a_database_or_everything(watch: str, scope: Namespace) -> None:
    assert WatcherConfig(watch=watch, channel="c").scope == scope


def test_off_may_be_written_without_quotes(load: Load) -> None:
    options = "full_document: off, full_document_before_change: off"

    config = load(f"watchers: {{w: {{watch: app, channel: c, {options}}}}}")

    assert config.watchers["w"].full_document == "off"
    assert config.watchers["w"].full_document_before_change == "off"


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "https://app.example.com",
        "http://localhost:3000",
        "http://[::1]:8080",
        "https://*.example.com",
        "https://*.example.com:8443",
    ],
)
def test_an_origin_may_be_exact_or_of_a_domain_or_any(load: Load, origin: str) -> None:
    config = load(WATCHER + f"server: {{cors_origins: ['{origin}']}}")

    assert config.server.cors_origins == (origin,)


def test_the_environment_wins_over_the_file(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_MONGO__URI", "mongodb://elsewhere")
    monkeypatch.setenv("BRIDGE_SERVER__PORT", "9000")
    monkeypatch.setenv("BRIDGE_SERVER__HEARTBEAT", "2.5")
    monkeypatch.setenv("BRIDGE_AUTH__ANONYMOUS", '["todos:*"]')
    monkeypatch.setenv("BRIDGE_PIPELINES", "/srv/pipelines")
    monkeypatch.setenv("BRIDGE_WATCHERS__TODOS__MODE", "patch")
    monkeypatch.setenv("BRIDGE_WATCHERS__TODOS__JSON", "relaxed")
    monkeypatch.setenv("BRIDGE_WATCHERS__TODOS__PIPELINES", '["a", {"$match": {"x": 1}}]')

    config = load(WATCHER + "server: {port: 1, drain: 3}\nmongo: {uri: 'mongodb://here'}")

    assert config.mongo.uri.get_secret_value() == "mongodb://elsewhere"
    assert (config.server.port, config.server.heartbeat, config.server.drain) == (9000, 2.5, 3)
    assert config.auth.anonymous == ("todos:*",)
    assert config.pipelines == Path("/srv/pipelines")
    todos = config.watchers["todos"]
    assert (todos.watch, todos.mode, todos.json_form) == ("app.todos", "patch", "relaxed")
    assert todos.pipelines == ("a", {"$match": {"x": 1}})


def test_the_program_of_the_embedded_mongod_is_no_configuration(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_MONGOD", "/usr/bin/mongod")

    assert load(WATCHER).watchers.keys() == {"todos"}


def test_the_uri_may_come_from_a_file(load: Load, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("mongodb://from-a-file\n")

    config = load(WATCHER + "mongo: {uri_file: secret}")

    assert config.mongo.uri.get_secret_value() == "mongodb://from-a-file"


def test_a_uri_file_in_the_environment_wins_over_a_uri_in_the_file(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("mongodb://from-a-file")
    monkeypatch.setenv("BRIDGE_MONGO__URI_FILE", str(tmp_path / "secret"))

    config = load(WATCHER + "mongo: {uri: 'mongodb://here'}")

    assert config.mongo.uri.get_secret_value() == "mongodb://from-a-file"


SECRET = "an example of a secret that has 32 bytes"


def test_without_keys_no_tokens_are_taken(load: Load) -> None:
    assert not load(WATCHER).auth.jwt.configured


def test_secrets_may_come_from_files(load: Load, tmp_path: Path) -> None:
    (tmp_path / "jwt").write_text(f"{SECRET}\n")
    (tmp_path / "tickets").write_text(SECRET[::-1])

    auth = load(WATCHER + "auth: {jwt: {secret_file: jwt}, ticket_secret_file: tickets}").auth

    assert auth.jwt.configured
    assert auth.jwt.secret is not None
    assert auth.jwt.secret.get_secret_value() == SECRET
    assert auth.ticket_secret is not None
    assert auth.ticket_secret.get_secret_value() == SECRET[::-1]


def test_a_secret_in_the_environment_wins_over_a_file_of_one(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_AUTH__JWT__SECRET", SECRET)

    auth = load(WATCHER + "auth: {jwt: {secret_file: nowhere, issuer: me}, cookie: session}").auth

    assert auth.jwt.secret is not None
    assert auth.jwt.secret.get_secret_value() == SECRET
    assert (auth.jwt.issuer, auth.cookie) == ("me", "session")


def test_a_public_key_file_is_beside_the_configuration(load: Load, tmp_path: Path) -> None:
    auth = load(WATCHER + "auth: {jwt: {algorithms: [RS256], public_key_file: key.pem}}").auth

    assert auth.jwt.public_key_file == tmp_path / "key.pem"


def test_secrets_are_not_shown_by_the_configuration(load: Load) -> None:
    config = load(WATCHER + f"auth: {{jwt: {{secret: '{SECRET}'}}, ticket_secret: '{SECRET}'}}")

    assert SECRET not in f"{config!r} {config} {config.model_dump()}"


def test_the_uri_is_not_shown_by_the_configuration(load: Load) -> None:
    config = load(WATCHER + f"mongo: {{uri: 'mongodb://u:{PASSWORD}@h'}}")

    assert PASSWORD not in f"{config!r} {config} {config.model_dump()}"


def sections() -> list[type[BaseModel]]:
    inner = [type(field.get_default()) for field in Config.model_fields.values()]
    return [
        Config,
        WatcherConfig,
        JwtConfig,
        *(model for model in inner if issubclass(model, BaseModel)),
    ]


def test_the_example_loads_and_its_pipelines_too() -> None:
    config = load_config(EXAMPLE)

    assert config.watchers.keys() == {"todos", "orders", "events"}
    for name, found in config.watchers.items():
        stages = load_stages(config.pipelines, found.pipelines, watcher=name)
        assert bool(stages) == bool(found.pipelines)


def test_the_example_shows_the_defaults() -> None:
    config = load_config(EXAMPLE)

    for name, field in Config.model_fields.items():
        if isinstance(field.default, BaseModel):
            assert getattr(config, name).model_dump() == field.default.model_dump()


@pytest.mark.parametrize("model", sections())
def test_the_example_names_every_key(model: type[BaseModel]) -> None:
    keys = [field.alias or name for name, field in model.model_fields.items()]
    text = EXAMPLE.read_text(encoding="utf-8")

    assert [key for key in keys if not re.search(rf"^ *(# )?{key}:", text, re.MULTILINE)] == []

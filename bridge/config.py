"""The configuration: one YAML file, overridden by the environment. ``docs/configuration.md``."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bridge.config_errors import environment_errors, one_line, unknown_key, validation_errors
from bridge.errors import ConfigError
from bridge.events import Namespace
from bridge.yamlfile import read_yaml

PREFIX = "BRIDGE_"
"""What the names of environment variables that configure the bridge begin with."""

RESERVED = frozenset({"BRIDGE_MONGOD"})
"""Variables with the prefix that are no configuration: the embedded mongod's program."""

_SYSTEM_DATABASES = frozenset({"admin", "config", "local"})
_DATABASE = re.compile(r'[^/\\. "$*<>:|?\x00]{1,63}')
_PORT = r"(:[0-9]{1,5})?"
_ORIGIN = re.compile(
    rf"https?://([a-z0-9-]+(\.[a-z0-9-]+)*|\[[0-9a-f:.]+\]){_PORT}"
    rf"|https://\*(\.[a-z0-9-]+){{2,}}{_PORT}"
)
_UNREADABLE = re.compile(r"[\s\x00-\x1f\x7f]")


def _uri(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("mongodb://", "mongodb+srv://")):
        raise ValueError("a MongoDB URI, which begins with mongodb:// or mongodb+srv://")
    return value


def _watch(value: str) -> str:
    database, dot, collection = value.partition(".")
    if value == "*":
        return value
    if not _DATABASE.fullmatch(database) or (dot and not collection):
        raise ValueError('"db.coll", "db" (all its collections) or "*" (the whole deployment)')
    if database in _SYSTEM_DATABASES:
        raise ValueError(f"a database that MongoDB lets be watched, which {database} is not")
    if collection.startswith("system."):
        raise ValueError("a collection that MongoDB lets be watched, which system.* is not")
    if "$" in collection or "\x00" in collection:
        raise ValueError("a collection name, which has no $ and no NUL")
    return value


def _origins(value: tuple[str, ...]) -> tuple[str, ...]:
    wrong = [origin for origin in value if not _ORIGIN.fullmatch(origin)]
    if value != ("*",) and wrong:
        raise ValueError(
            f'exact origins such as "https://app.example.com" (lower case, no path), '
            f'"https://*.example.com", or "*" alone; {wrong[0]!r} is none of them'
        )
    return value


def _patterns(value: tuple[str, ...]) -> tuple[str, ...]:
    if any(not pattern or _UNREADABLE.search(pattern) for pattern in value):
        raise ValueError('channel patterns such as "todos:*", not empty and without blanks')
    return value


def _fields(value: tuple[str, ...]) -> tuple[str, ...]:
    if any("" in field.split(".") or "$" in field for field in value):
        raise ValueError('dotted fields such as "_meta.mutationId", no part empty or with a $')
    return value


def _off(value: object) -> object:
    # YAML 1.1 reads a bare off as false.
    return "off" if value is False else value


def _number(default: float | None, least: float, most: float, unit: str) -> Any:
    allowed = f"{unit} from {least} to {most}"
    return Field(default=default, ge=least, le=most, description=allowed)


def _one_of(default: str, *names: str, **more: Any) -> Any:
    return Field(default=default, description="one of " + ", ".join(names), **more)


class Section(BaseModel):
    """A part of the configuration: frozen, no unknown keys, no conversions.

    The description of a field says what is allowed there; error lines quote it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class MongoConfig(Section):
    """Where MongoDB is."""

    uri: Annotated[SecretStr, AfterValidator(_uri)] = Field(
        default=SecretStr("mongodb://127.0.0.1:27017/?replicaSet=rs0"), description="a MongoDB URI"
    )
    uri_file: Annotated[Path, Field(strict=False)] | None = Field(
        default=None, description="the path of a file that holds the MongoDB URI"
    )
    driver: Literal["pymongo", "motor"] = _one_of("pymongo", "pymongo", "motor")


class ServerConfig(Section):
    """The public listener and how it treats its clients. Times in seconds, sizes in bytes."""

    host: str = Field(default="127.0.0.1", min_length=1, description="a host name or an IP address")
    port: int = _number(8080, 0, 65535, "a whole number")
    cors_origins: Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_origins)] = Field(
        default=(), description="a list of origins"
    )
    heartbeat: float = _number(15.0, 0.1, 3600, "seconds")
    max_channels: int = _number(128, 1, 10000, "a whole number")
    write_buffer: int = _number(1048576, 1024, 1073741824, "whole bytes")
    patience: float = _number(30.0, 0.1, 3600, "seconds")
    drain: float = _number(10.0, 0, 600, "seconds")
    max_message: int = _number(1048576, 256, 67108864, "whole bytes")
    flush_interval: float = _number(0.005, 0, 1, "seconds")


class AdminConfig(Section):
    """The listener for metrics and health."""

    host: str = Field(default="127.0.0.1", min_length=1, description="a host name or an IP address")
    port: int = _number(8081, 0, 65535, "a whole number")


class AuthConfig(Section):
    """Who may read what."""

    anonymous: Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_patterns)] = Field(
        default=(), description="a list of channel patterns"
    )


class HistoryConfig(Section):
    """How much a watcher keeps in memory, and how much is read again from the oplog."""

    window: float = _number(120.0, 1, 604800, "seconds")
    max_messages: int = _number(100000, 1, 100000000, "a whole number")
    max_bytes: int = _number(67108864, 1024, 1099511627776, "whole bytes")
    backfills: int = _number(4, 1, 64, "a whole number")


class SnapshotConfig(Section):
    """Which documents a snapshot holds, and which parts of them."""

    filter: dict[str, Any] = Field(default_factory=dict, description="a MongoDB query")
    projection: Annotated[dict[str, Any] | None, Field(description="a MongoDB projection")] = None
    limit: Annotated[int | None, _number(None, 1, 10_000_000, "a whole number")] = None


class BatchConfig(Section):
    """How messages are collected before they are sent."""

    window: float = _number(0, 0, 60, "seconds")
    max_messages: int = _number(100, 1, 1000, "a whole number")
    conflate: Annotated[bool, Field(description="true or false")] = False


class WatcherConfig(Section):
    """One view of a change stream."""

    watch: Annotated[str, AfterValidator(_watch)] = Field(description='"db.coll", "db" or "*"')
    pipelines: Annotated[tuple[str | dict[str, Any], ...], Field(strict=False)] = Field(
        default=(), description="a list of pipeline names and stages"
    )
    channel: str = Field(
        min_length=1, max_length=1024, description='a channel template such as "todos:{workspace}"'
    )
    mode: Literal["full", "delta", "patch"] = _one_of("full", "full", "delta", "patch")
    full_document: Annotated[
        Literal["auto", "off", "updateLookup", "whenAvailable", "required"], BeforeValidator(_off)
    ] = _one_of("auto", "auto", "off", "updateLookup", "whenAvailable", "required")
    full_document_before_change: Annotated[
        Literal["auto", "off", "whenAvailable", "required"], BeforeValidator(_off)
    ] = _one_of("auto", "auto", "off", "whenAvailable", "required")
    # The attribute has another name than the key since pydantic's models have a method json.
    json_form: Literal["plain", "relaxed"] = _one_of("plain", "plain", "relaxed", alias="json")

    snapshot: bool | SnapshotConfig = Field(
        True, description="true, false or a mapping of filter, projection and limit"
    )
    mutation_id: Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_fields)] = Field(
        ("_mutationId", "_meta.mutationId"), description="a list of dotted fields"
    )
    outbox: bool | str = Field(
        False, description="true, false or, in a scope wider than a collection, one's name"
    )
    batch: BatchConfig = BatchConfig()

    @property
    def scope(self) -> Namespace:
        """What is watched; no collection: the whole database; no database: the deployment."""
        database, _, collection = self.watch.partition(".")
        return Namespace("" if database == "*" else database, collection)


WatcherName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class Config(BaseSettings):
    """The whole configuration, as the operator wrote it, with paths made absolute."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
    )

    mongo: MongoConfig = MongoConfig()
    server: ServerConfig = ServerConfig()
    admin: AdminConfig = AdminConfig()
    auth: AuthConfig = AuthConfig()
    history: HistoryConfig = HistoryConfig()
    pipelines: Annotated[Path, Field(strict=False)] = Field(
        default=Path("pipelines"), description="the path of a directory"
    )
    watchers: dict[WatcherName, WatcherConfig] = Field(
        min_length=1, description="at least one watcher, each under its name"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment first, then what was read from the file; nothing else."""
        return env_settings, init_settings


def load_config(path: Path) -> Config:
    """The configuration in a YAML file and the environment, which wins.

    Raises ConfigError with one line: the first thing wrong (its key, what it was, what is
    allowed) and how many more there are. It never shows the MongoDB URI.
    """
    data = read_yaml(path)
    variables = {name: value for name, value in os.environ.items() if _is_ours(name)}
    wrong = environment_errors(Config, PREFIX, variables)
    if wrong:
        raise ConfigError(one_line(wrong))
    origins = {name[len(PREFIX) :].lower().replace("__", "."): name for name in variables}
    config = _validated(_without_overridden_secret(data, origins), origins)
    return config.model_copy(
        update={
            "mongo": _with_secret(config.mongo, path.parent),
            "pipelines": (path.parent / config.pipelines).absolute(),
        }
    )


def _is_ours(name: str) -> bool:
    return name.upper().startswith(PREFIX) and name.upper() not in RESERVED


def _validated(data: Mapping[str, Any], origins: Mapping[str, str]) -> Config:
    # BaseSettings would take keys that begin with _ as instructions to itself.
    private = {key for key in data if key.startswith("_")}
    wrong = dict(unknown_key(Config, [key]) for key in sorted(private))
    if wrong:
        raise ConfigError(one_line(wrong))
    try:
        return Config(**data)
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise ConfigError(one_line(validation_errors(Config, found, origins))) from error


def _without_overridden_secret(data: dict[str, Any], origins: Mapping[str, str]) -> dict[str, Any]:
    # A secret set in the environment, in either form, replaces both forms in the file.
    mongo = data.get("mongo")
    if not origins.keys() & {"mongo.uri", "mongo.uri_file"} or not isinstance(mongo, dict):
        return data
    kept = {key: value for key, value in mongo.items() if key not in ("uri", "uri_file")}
    return {**data, "mongo": kept}


def _with_secret(mongo: MongoConfig, directory: Path) -> MongoConfig:
    if mongo.uri_file is None:
        return mongo
    if "uri" in mongo.model_fields_set:
        raise ConfigError("mongo.uri_file: mongo.uri is set too; expected only one of them")
    file = directory / mongo.uri_file
    try:
        uri = _uri(SecretStr(file.read_text(encoding="utf-8").strip()))
    except OSError as error:
        raise ConfigError(f"mongo.uri_file: {file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"mongo.uri_file: {file} does not hold a MongoDB URI") from error
    return mongo.model_copy(update={"uri": uri, "uri_file": file})

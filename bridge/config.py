"""The configuration: one YAML file, overridden by the environment. ``docs/configuration.md``."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bridge.auth_config import AuthConfig, resolved
from bridge.clients import networks
from bridge.config_errors import environment_errors, one_line, unknown_key, validation_errors
from bridge.errors import ConfigError
from bridge.secret_file import with_secret, without_overridden
from bridge.section import Section, number, one_of
from bridge.watcher_config import WatcherConfig, WatcherName
from bridge.yamlfile import read_yaml

PREFIX = "BRIDGE_"
"""What the names of environment variables that configure the bridge begin with."""

RESERVED = frozenset({"BRIDGE_MONGOD"})
"""Variables with the prefix that are no configuration: the embedded mongod's program."""

_SECRETS = ("mongo.uri", "auth.jwt.secret", "auth.ticket_secret")
_PORT = r"(:[0-9]{1,5})?"
_ORIGIN = re.compile(
    rf"https?://([a-z0-9-]+(\.[a-z0-9-]+)*|\[[0-9a-f:.]+\]){_PORT}"
    rf"|https://\*(\.[a-z0-9-]+){{2,}}{_PORT}"
)


def _uri(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("mongodb://", "mongodb+srv://")):
        raise ValueError("a MongoDB URI, which begins with mongodb:// or mongodb+srv://")
    return value


def _origins(value: tuple[str, ...]) -> tuple[str, ...]:
    wrong = [origin for origin in value if not _ORIGIN.fullmatch(origin)]
    if value != ("*",) and wrong:
        raise ValueError(
            f'exact origins such as "https://app.example.com" (lower case, no path), '
            f'"https://*.example.com", or "*" alone; {wrong[0]!r} is none of them'
        )
    return value


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    try:
        networks(value)
    except ValueError as error:
        raise ValueError(f"addresses and networks such as 10.0.0.0/8; {error}") from error
    return value


class MongoConfig(Section):
    """Where MongoDB is."""

    uri: Annotated[SecretStr, AfterValidator(_uri)] = Field(
        default=SecretStr("mongodb://127.0.0.1:27017/?replicaSet=rs0"), description="a MongoDB URI"
    )
    uri_file: Annotated[Path, Field(strict=False)] | None = Field(
        default=None, description="the path of a file that holds the MongoDB URI"
    )
    driver: Literal["pymongo", "motor"] = one_of("pymongo", "pymongo", "motor")


class ServerConfig(Section):
    """The public listener and how it treats its clients. Times in seconds, sizes in bytes."""

    host: str = Field(default="127.0.0.1", min_length=1, description="a host name or an IP address")
    port: int = number(8080, 0, 65535, "a whole number")
    cors_origins: Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_origins)] = Field(
        default=(), description="a list of origins"
    )
    heartbeat: float = number(15.0, 0.1, 3600, "seconds")
    max_connections: int = number(10000, 1, 10_000_000, "a whole number")
    max_connections_per_client: int = number(64, 1, 10_000_000, "a whole number")
    max_channels: int = number(128, 1, 10000, "a whole number")
    write_buffer: int = number(1048576, 1024, 1073741824, "whole bytes")
    patience: float = number(30.0, 0.1, 3600, "seconds")
    max_age: float = number(0.0, 0, 31_536_000, "seconds")
    drain: float = number(10.0, 0, 600, "seconds")
    max_message: int = number(1048576, 256, 67108864, "whole bytes")
    flush_interval: float = number(0.005, 0, 1, "seconds")
    trusted_proxies: Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_networks)] = (
        Field(default=(), description="a list of addresses and networks")
    )


class AdminConfig(Section):
    """The listener for metrics and health."""

    host: str = Field(default="127.0.0.1", min_length=1, description="a host name or an IP address")
    port: int = number(8081, 0, 65535, "a whole number")


class HistoryConfig(Section):
    """How much a watcher keeps in memory, and how much is read again from the oplog."""

    window: float = number(120.0, 1, 604800, "seconds")
    max_messages: int = number(100000, 1, 100000000, "a whole number")
    max_bytes: int = number(67108864, 1024, 1099511627776, "whole bytes")
    backfills: int = number(4, 1, 64, "a whole number")


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
    allowed) and how many more there are. It never shows a secret.
    """
    data = read_yaml(path)
    variables = {name: value for name, value in os.environ.items() if _is_ours(name)}
    wrong = environment_errors(Config, PREFIX, variables)
    if wrong:
        raise ConfigError(one_line(wrong))
    origins = {name[len(PREFIX) :].lower().replace("__", "."): name for name in variables}
    for secret in _SECRETS:
        data = without_overridden(data, secret, origins)
    config = _validated(data, origins)
    auth = resolved(config.auth, path.parent)
    if auth.jwt.configured and "*" in config.server.cors_origins:
        raise ConfigError(
            'server.cors_origins: "*" goes only with anonymous access; with auth.jwt, '
            "expected the origins whose pages may use their users' tokens"
        )
    return config.model_copy(
        update={
            "mongo": with_secret(
                config.mongo,
                "mongo.uri",
                directory=path.parent,
                what="a MongoDB URI",
                read=_uri,
            ),
            "auth": auth,
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

"""The configuration of one watcher."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from bridge.events import Namespace
from bridge.redaction import MOST_RULES
from bridge.section import Section, number, one_of

_SYSTEM_DATABASES = frozenset({"admin", "config", "local"})
_DATABASE = re.compile(r'[^/\\. "$*<>:|?\x00]{1,63}')


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


def _fields(value: tuple[str, ...]) -> tuple[str, ...]:
    if any("" in field.split(".") or "$" in field for field in value):
        raise ValueError('dotted fields such as "_meta.mutationId", no part empty or with a $')
    return value


def _hidden(value: tuple[str, ...]) -> tuple[str, ...]:
    parts = [field.split(".") for field in _fields(value)]
    if not parts or any(part[0] == "_id" for part in parts):
        raise ValueError("dotted fields such as address.street; _id is the key of every message")
    if any(name.isdecimal() for part in parts for name in part):
        raise ValueError("names of fields, without numbers: a field is hidden in every element")
    return value


def _claim(value: str) -> str:
    claim, colon, held = value.rpartition(":")
    if not (claim and colon and held):
        raise ValueError('a claim and its value, such as "role:admin"')
    return value


def _off(value: object) -> object:
    # YAML 1.1 reads a bare off as false.
    return "off" if value is False else value


class SnapshotConfig(Section):
    """Which documents a snapshot holds, and which parts of them."""

    filter: dict[str, Any] = Field(default_factory=dict, description="a MongoDB query")
    projection: Annotated[dict[str, Any] | None, Field(description="a MongoDB projection")] = None
    limit: Annotated[int | None, number(None, 1, 10_000_000, "a whole number")] = None


class BatchConfig(Section):
    """How messages are collected before they are sent."""

    window: float = number(0, 0, 60, "seconds")
    max_messages: int = number(100, 1, 1000, "a whole number")
    conflate: Annotated[bool, Field(description="true or false")] = False


class RedactConfig(Section):
    """Fields that only some clients see."""

    unless: Annotated[str, AfterValidator(_claim)] = Field(
        description='a claim and its value, such as "role:admin"'
    )
    fields: Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_hidden)] = Field(
        description="a list of dotted fields"
    )


class WatcherConfig(Section):
    """One view of a change stream."""

    watch: Annotated[str, AfterValidator(_watch)] = Field(description='"db.coll", "db" or "*"')
    pipelines: Annotated[tuple[str | dict[str, Any], ...], Field(strict=False)] = Field(
        default=(), description="a list of pipeline names and stages"
    )
    channel: str = Field(
        min_length=1, max_length=1024, description='a channel template such as "todos:{workspace}"'
    )
    mode: Literal["full", "delta", "patch"] = one_of("full", "full", "delta", "patch")
    full_document: Annotated[
        Literal["auto", "off", "updateLookup", "whenAvailable", "required"], BeforeValidator(_off)
    ] = one_of("auto", "auto", "off", "updateLookup", "whenAvailable", "required")
    full_document_before_change: Annotated[
        Literal["auto", "off", "whenAvailable", "required"], BeforeValidator(_off)
    ] = one_of("auto", "auto", "off", "whenAvailable", "required")
    # The attribute has another name than the key since pydantic's models have a method json.
    json_form: Literal["plain", "relaxed"] = one_of("plain", "plain", "relaxed", alias="json")

    snapshot: bool | SnapshotConfig = Field(
        default=True, description="true, false or a mapping of filter, projection and limit"
    )
    redact: Annotated[tuple[RedactConfig, ...], Field(strict=False)] = Field(
        default=(),
        max_length=MOST_RULES,
        description=f"a list of up to {MOST_RULES} mappings of unless and fields",
    )
    mutation_id: Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_fields)] = Field(
        default=("_mutationId", "_meta.mutationId"), description="a list of dotted fields"
    )
    outbox: bool | str = Field(
        default=False, description="true, false or, in a scope wider than a collection, one's name"
    )
    batch: BatchConfig = BatchConfig()

    @property
    def scope(self) -> Namespace:
        """What is watched; no collection: the whole database; no database: the deployment."""
        database, _, collection = self.watch.partition(".")
        return Namespace("" if database == "*" else database, collection)


WatcherName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]

"""MongoDB: the only module that talks to the driver. Commands, and what the cluster is like."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from inspect import isawaitable
from typing import Any

from bson import CodecOptions, DBRef, Timestamp, json_util
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient
from pymongo.errors import ConfigurationError, OperationFailure, PyMongoError

from bridge.errors import ConfigError, HistoryLost, MongoError, MongoRefused
from bridge.events import (
    Document,
    Namespace,
    cluster_time,
)

ANSWER = 30.0
"""Seconds without an answer after which MongoDB counts as unreachable."""

READ: "CodecOptions[Document]" = CodecOptions(
    uuid_representation=UuidRepresentation.STANDARD,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
READ_DAMAGED = READ.with_options(
    unicode_decode_error_handler="replace", uuid_representation=UuidRepresentation.UNSPECIFIED
)
_RAW: "CodecOptions[RawBSONDocument]" = CodecOptions(document_class=RawBSONDocument)

_SYSTEM_DATABASES = frozenset({"admin", "config", "local"})
_LOST = frozenset({136, 260, 280, 286})
_REFUSED = frozenset({13, 18, 20, 40324, 40415, 40573, 8000})
_TOO_LARGE = 10334
_NOT_RESUMABLE = "NonResumableChangeStreamError"


class EventTooLarge(Exception):
    """An event over 16 MB is next; the events before it in its batch went with it."""


def translated(error: PyMongoError) -> MongoError:
    """The driver's error as one of ours."""
    if isinstance(error, OperationFailure):
        text = str((error.details or {}).get("errmsg", error))
        if error.code in _LOST or error.has_error_label(_NOT_RESUMABLE):
            return HistoryLost(f"{text} (code {error.code})", code=error.code or 0)
        if error.code in _REFUSED:
            return MongoRefused(f"{text} (code {error.code})", code=error.code or 0)
        return MongoError(f"{text} (code {error.code})", code=error.code or 0)
    return MongoError(_brief(error))


def _brief(error: PyMongoError) -> str:
    """The first sentence: the driver appends the whole topology to some of its errors."""
    return re.split(r",? ?\(?(?:configured timeouts|Timeout:|Topology Description)", str(error))[0]


class Mongo:
    """A deployment: one client for the whole service. ``driver`` is pymongo or motor."""

    def __init__(self, uri: str, *, driver: str = "pymongo", timeout: float = 10.0) -> None:
        options: dict[str, Any] = {
            "appname": "livesync-bridge",
            "server_selector": _always_the_same_router,
        }
        if "serverselectiontimeoutms=" not in uri.lower():
            options["serverSelectionTimeoutMS"] = int(timeout * 1000)
        try:
            self._client: Any = _client_class(driver)(uri, **options)
            self._database = lru_cache(maxsize=256)(self._client.__getitem__)
        except (ConfigurationError, PyMongoError, ValueError) as error:
            raise ConfigError(f"mongo.uri: {error}") from error

    async def close(self) -> None:
        """Closes all connections."""
        closing = self._client.close()
        if isawaitable(closing):  # motor closes at once
            await closing

    async def session(self) -> Any:
        """A session: a cursor belongs to the one that it was opened in."""
        starting = self._client.start_session(causal_consistency=False)
        return await starting if isawaitable(starting) else starting

    async def command(
        self,
        database: str,
        command: Mapping[str, Any],
        *,
        session: Any = None,
        raw: bool = False,
        limit: float = ANSWER,
    ) -> Any:
        """A command's reply within ``limit`` seconds; ``raw``: its documents not yet decoded.

        Raises HistoryLost, MongoRefused or MongoError.
        """
        try:
            async with asyncio.timeout(limit):
                reply = await self._database(database).command(
                    command, codec_options=_RAW if raw else READ, session=session
                )
            _heed_cancellation()
            return reply
        except TimeoutError as error:
            raise MongoError(f"no answer from MongoDB for {limit:.0f} s") from error
        except OperationFailure as error:
            if error.code == _TOO_LARGE:
                raise EventTooLarge from error
            raise translated(error) from error
        except PyMongoError as error:
            raise translated(error) from error

    async def now(self) -> str:
        """The newest cluster time; raises MongoRefused where there is none."""
        reply = await self.command("admin", {"hello": 1})
        if "setName" not in reply and reply.get("msg") != "isdbgrid":
            raise MongoRefused(
                "MongoDB runs as a standalone server: change streams need a replica set "
                "(one member is enough: --replSet rs0, then rs.initiate())"
            )
        return hex_of(reply["operationTime"])

    async def version(self) -> tuple[int, ...]:
        """The server's version."""
        reply = await self.command("admin", {"buildInfo": 1})
        return tuple(reply["versionArray"][:3])

    async def first_in_oplog(self) -> str:
        """The time of the oldest oplog entry; raises MongoRefused where it may not be read."""
        find = {"find": "oplog.rs", "filter": {}, "sort": {"$natural": 1}, "limit": 1}
        reply = await self.command("local", {**find, "projection": {"ts": 1}})
        if not reply["cursor"]["firstBatch"]:
            raise MongoRefused("local.oplog.rs is empty here: a router has none")
        return hex_of(reply["cursor"]["firstBatch"][0]["ts"])

    async def identity(self) -> str:
        """What tells this cluster from every other: its replica set's id.

        Where reading that is refused: the set's name.
        """
        hello = await self.command("admin", {"hello": 1})
        try:
            if "setName" not in hello:
                found = await self.command("config", {"find": "version", "limit": 1})
                return str(found["cursor"]["firstBatch"][0]["clusterId"])
            config = await self.command("admin", {"replSetGetConfig": 1})
            return str(config["config"]["settings"]["replicaSetId"])
        except MongoRefused:
            return str(hello.get("setName", "sharded"))

    async def imaged(self, scope: Namespace) -> dict[str, bool]:
        """The collections in a scope ("db.coll") and whether each has pre- and post-images."""
        databases = [scope.db] if scope.db else await self._databases()
        found: dict[str, bool] = {}
        for database in databases:
            found.update(await self._imaged_in(database, scope.coll))
        return found

    async def _databases(self) -> list[str]:
        reply = await self.command("admin", {"listDatabases": 1, "nameOnly": True})
        return [d["name"] for d in reply["databases"] if d["name"] not in _SYSTEM_DATABASES]

    async def _imaged_in(self, database: str, collection: str) -> dict[str, bool]:
        only = {"type": "collection", **({"name": collection} if collection else {})}
        command = {"listCollections": 1, "filter": only, "cursor": {"batchSize": 100_000}}
        reply = await self.command(database, command)
        return {
            f"{database}.{found['name']}": bool(
                found.get("options", {}).get("changeStreamPreAndPostImages", {}).get("enabled")
            )
            for found in reply["cursor"]["firstBatch"]
            if not found["name"].startswith(("system.", "tmp.agg_out."))
        }

    async def enable_images(self, namespace: Namespace) -> None:
        """Turns pre- and post-images on; creates the collection where there is none."""
        images = {"changeStreamPreAndPostImages": {"enabled": True}}
        exists = await self.imaged(namespace)
        verb = "collMod" if exists else "create"
        await self.command(namespace.db, {verb: namespace.coll, **images})


def _heed_cancellation() -> None:
    """The driver can lose a cancellation that comes while it connects (Python 3.11's wait_for)."""
    task = asyncio.current_task()
    if task and task.cancelling():
        raise asyncio.CancelledError


def _client_class(driver: str) -> Any:
    if driver == "pymongo":
        return AsyncMongoClient
    try:
        return import_module("motor.motor_asyncio").AsyncIOMotorClient
    except ImportError as error:
        raise ConfigError(
            "mongo.driver: motor is not installed: pip install 'livesync-bridge[motor]'"
        ) from error


def _always_the_same_router(servers: Any) -> Any:
    """Of several mongos the first by name: a cursor lives on the one that opened it."""
    routers = [s for s in servers if s.server_type_name == "Mongos"]
    return sorted(routers, key=lambda server: server.address)[:1] or servers


def hex_of(timestamp: Timestamp) -> str:
    """A BSON timestamp as 16 hex digits."""
    return cluster_time(timestamp.time, timestamp.inc)


def describe(stages: Sequence[Document]) -> str:
    """Stages as canonical text, for the tag and for telling whether two streams are one."""
    return json_util.dumps(stages, sort_keys=False)


def whole(document: Any) -> Any:
    """A document as a dict, also where bson takes its fields ``$ref`` and ``$id`` for a DBRef."""
    return dict(document.as_doc()) if isinstance(document, DBRef) else document

"""MongoDB: the only module that talks to the driver. Change streams, read as raw batches.

A stream is one ``aggregate`` and its ``getMore`` commands: unlike the driver's own change
stream object, this shows each batch whole and never resumes behind our back. Streams are
always opened by cluster time, so that changes are numbered alike on every reading.
https://www.mongodb.com/docs/manual/changeStreams/
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import lru_cache
from importlib import import_module
from inspect import isawaitable
from typing import Any

import bson
from bson import CodecOptions, Int64, Timestamp, json_util
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient
from pymongo.errors import ConfigurationError, OperationFailure, PyMongoError

from bridge.documents import to_json
from bridge.errors import ConfigError, HistoryLost, MongoError, MongoRefused
from bridge.events import (
    START_OF_INSTANT,
    Batch,
    Change,
    Document,
    Namespace,
    after_change,
    cluster_time,
    seconds_of,
    time_of,
)

AWAIT = 500
"""Milliseconds after which an idle stream learns that time has moved on."""

BATCH = 1000
"""Changes read at once: bounds how long the loop is busy with one batch."""

ANSWER = 30.0
"""Seconds without an answer after which MongoDB counts as unreachable."""

_READ = CodecOptions(
    uuid_representation=UuidRepresentation.STANDARD,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
_READ_DAMAGED = _READ.with_options(unicode_decode_error_handler="replace")
_RAW: "CodecOptions[RawBSONDocument]" = CodecOptions(document_class=RawBSONDocument)

_SYSTEM_DATABASES = frozenset({"admin", "config", "local"})
_LOST = frozenset({136, 260, 280, 286})
_REFUSED = frozenset({13, 18, 20, 40324, 40415, 40573, 8000})
_TOO_LARGE = 10334
_ENDINGS = frozenset({"drop", "rename", "dropDatabase", "invalidate"})
_NOT_RESUMABLE = "NonResumableChangeStreamError"


class _EventTooLarge(Exception):
    """An event over 16 MB is next; the events before it in its batch went with it."""


def translated(error: PyMongoError) -> MongoError:
    """The driver's error as one of ours."""
    if isinstance(error, OperationFailure):
        text = str((error.details or {}).get("errmsg", error))
        if error.code in _LOST or error.has_error_label(_NOT_RESUMABLE):
            return HistoryLost(f"{text} (code {error.code})")
        if error.code in _REFUSED:
            return MongoRefused(f"{text} (code {error.code})")
        return MongoError(f"{text} (code {error.code})")
    return MongoError(_brief(error))


def _brief(error: PyMongoError) -> str:
    """The first sentence: the driver appends the whole topology to some of its errors."""
    return re.split(r",? ?\(?(?:configured timeouts|Timeout:|Topology Description)", str(error))[0]


class Mongo:
    """A deployment: one client for the whole service. ``driver`` is pymongo or motor."""

    def __init__(self, uri: str, *, driver: str = "pymongo", timeout: float = 10.0) -> None:
        options: dict[str, Any] = {
            "serverSelectionTimeoutMS": int(timeout * 1000),
            "appname": "livesync-bridge",
            "server_selector": _always_the_same_router,
        }
        try:
            self._client: Any = _client_class(driver)(uri, **options)
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
        self, database: str, command: Mapping[str, Any], *, session: Any = None
    ) -> Any:
        """A command's reply, raw where it is part of a session.

        Raises HistoryLost, MongoRefused or MongoError.
        """
        try:
            async with asyncio.timeout(ANSWER):
                return await self._client[database].command(
                    command, codec_options=_RAW if session else _READ, session=session
                )
        except TimeoutError as error:
            raise MongoError(f"no answer from MongoDB for {ANSWER:.0f} s") from error
        except OperationFailure as error:
            if error.code == _TOO_LARGE:
                raise _EventTooLarge from error
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
        return _hex(reply["operationTime"])

    async def oldest(self) -> str:
        """The time of the oldest oplog entry; the newest cluster time where it may not be read."""
        find = {"find": "oplog.rs", "filter": {}, "sort": {"$natural": 1}, "limit": 1}
        try:
            reply = await self.command("local", {**find, "projection": {"ts": 1}})
            return _hex(reply["cursor"]["firstBatch"][0]["ts"])
        except (MongoRefused, IndexError):
            return await self.now()

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
        only = {"name": collection} if collection else {"type": "collection"}
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


class MongoSource:
    """A change stream over a scope, with a pipeline and image options."""

    def __init__(
        self,
        mongo: Mongo,
        *,
        scope: Namespace,
        stages: Sequence[Document],
        full_document: str,
        full_document_before_change: str,
    ) -> None:
        self._mongo = mongo
        self._scope = scope
        self._stages = list(stages)
        self._images = _image_options(full_document, full_document_before_change)

    async def now(self) -> str:
        """The newest cluster time."""
        return await self._mongo.now()

    async def oldest(self) -> str:
        """The oldest cluster time that a stream can start from, or about now."""
        return await self._mongo.oldest()

    async def read(self, start: str) -> AsyncGenerator[Batch, None]:
        """Batches of changes from a cluster time on (inclusive), in order, for ever.

        What ends a stream (drop, rename) is passed, and what is too large for an event is
        stepped over as a change without documents. Raises HistoryLost, MongoRefused,
        MongoError.
        """
        point = _Point(start)
        while True:
            try:
                async with aclosing(self._batches(point)) as batches:
                    async for batch in batches:
                        yield batch
            except _EventTooLarge:
                point.be_careful()

    async def _batches(self, point: "_Point") -> AsyncGenerator[Batch, None]:
        """One server-side cursor's batches; ends where the stream has to be opened anew."""
        options = {**point.options(), **({} if point.blind else self._images)}
        cursor = await _Cursor.open(self._mongo, self._scope, options, self._stages)
        async with aclosing(cursor.replies(1 if point.careful else BATCH)) as replies:
            async for events, token in replies:
                changes = [self._change(event, point) for event in events]
                new = [c for c in changes if after_change(c.time, c.ordinal) > point.head]
                if point.blind and new:
                    point.step_over(events[changes.index(new[0])]["_id"], new[0])
                    yield Batch([new[0]], point.head)
                    return
                point.reach(token)
                yield Batch(new, point.head)
        if not point.told:
            yield Batch([point.silent_drop(self._scope)], point.head)
        point.pass_end()

    def _change(self, raw: RawBSONDocument, point: "_Point") -> Change:
        withheld = "too_large" if point.blind else ""
        try:
            event = bson.decode(raw.raw, _READ)
        except InvalidBSON:
            event = bson.decode(raw.raw, _READ_DAMAGED)
            withheld = "no_document"
        time, ordinal = point.number(event["clusterTime"])
        point.told = event["operationType"] in _ENDINGS
        ns = event.get("ns")
        wall = event.get("wallTime")
        key = event.get("documentKey")
        return Change(
            time,
            ordinal,
            event["operationType"],
            _namespace(ns["db"], ns.get("coll", "")) if ns else self._scope,
            key.get("_id") if key else None,
            event.get("fullDocument"),
            event.get("fullDocumentBeforeChange"),
            event.get("updateDescription"),
            to_json(wall or event["clusterTime"].as_datetime().replace(tzinfo=None), "plain"),
            event.get("_channel"),
            event.get("_event"),
            event.get("_headers"),
            withheld or ("too_large" if "_tooLarge" in event else ""),
        )


class _Point:
    """Where in the oplog a reading stands, and how it opens its next cursor."""

    def __init__(self, start: str) -> None:
        self.head = start + START_OF_INSTANT
        self.careful = False
        """Reads one event at a time: an event too large to be read is near."""
        self.blind = False
        """Asks for no images: the next event is too large to be read with them."""
        self.told = False
        """The last change read says why a stream ends."""
        self._start = start
        self._token: Any = None
        self._time = ""
        self._ordinal = 0

    def options(self) -> Document:
        """How the change stream is to start."""
        if self._token is not None:
            return {"resumeAfter": self._token}
        self._time, self._ordinal = "", 0
        return {"startAtOperationTime": _timestamp(self._start)}

    def number(self, timestamp: Timestamp) -> tuple[str, int]:
        """The next change's cluster time and its ordinal there."""
        time = _hex(timestamp)
        self._ordinal = self._ordinal + 1 if time == self._time else 1
        self._time = time
        return time, self._ordinal

    def reach(self, token: Mapping[str, Any]) -> None:
        """Everything numbered so far and all before the token's time has been given."""
        given = after_change(self._time, self._ordinal) if self._time else ""
        self.head = max(self.head, given, _time_of_token(token) + START_OF_INSTANT)
        self._start, self._token = time_of(self.head), None

    def step_over(self, token: Any, change: Change) -> None:
        """Goes on right behind a change that was too large to be read."""
        self.head = after_change(change.time, change.ordinal)
        self._time, self._ordinal = change.time, change.ordinal
        self._start, self._token = change.time, token
        self.careful = self.blind = False

    def be_careful(self) -> None:
        """An event too large to be read has been met: look closer, then step over it."""
        self.careful, self.blind = True, self.careful
        self._token = None

    def silent_drop(self, scope: Namespace) -> Change:
        """Stands for the drop that ended the stream but was hidden by the pipeline."""
        time, ordinal = self.number(_timestamp(time_of(self.head)))
        self.head = after_change(time, ordinal)
        return Change(time, ordinal, "drop", scope)

    def pass_end(self) -> None:
        """The stream ended (invalidated): the next one starts right after its last instant."""
        self._start = _next(time_of(self.head))
        self.head = max(self.head, self._start + START_OF_INSTANT)
        self._token = None


class _Cursor:
    """A change stream's cursor on the server."""

    def __init__(self, mongo: Mongo, session: Any, database: str, reply: Any) -> None:
        self._mongo = mongo
        self._session = session
        self._database = database
        self._first = reply
        self._id = Int64(reply["id"])
        self._collection = str(reply["ns"]).partition(".")[2]

    @classmethod
    async def open(
        cls, mongo: Mongo, scope: Namespace, options: Document, stages: Sequence[Document]
    ) -> "_Cursor":
        database = scope.db or "admin"
        whole = {} if scope.db else {"allChangesForCluster": True}
        aggregate = {
            "aggregate": scope.coll or 1,
            "pipeline": [{"$changeStream": {**options, **whole}}, *stages],
            "cursor": {"batchSize": 0},
        }
        session = await mongo.session()
        try:
            reply = await mongo.command(database, aggregate, session=session)
        except MongoError:
            await session.end_session()
            raise
        return cls(mongo, session, database, reply["cursor"])

    async def replies(
        self, batch_size: int
    ) -> AsyncGenerator[tuple[Sequence[RawBSONDocument], Any], None]:
        """Batches of raw events, each with its post-batch resume token, until the stream ends.

        The next batch is asked for before one is given, so that MongoDB works meanwhile.
        """
        yield self._first["firstBatch"], self._first["postBatchResumeToken"]
        more = self._ask(batch_size)
        try:
            while self._id:
                reply = (await more)["cursor"]
                self._id = Int64(reply["id"])
                more = self._ask(batch_size)
                await asyncio.sleep(0)  # lets the question leave first
                yield reply["nextBatch"], reply["postBatchResumeToken"]
        finally:
            more.cancel()
            with suppress(asyncio.CancelledError, MongoError, _EventTooLarge):
                await more
            await self._session.end_session()

    def _ask(self, batch_size: int) -> "asyncio.Task[Any]":
        return asyncio.create_task(self._more(batch_size), name="getMore")

    async def _more(self, batch_size: int) -> Any:
        if not self._id:
            return None
        command = {
            "getMore": self._id,
            "collection": self._collection,
            "batchSize": batch_size,
            "maxTimeMS": AWAIT,
        }
        return await self._mongo.command(self._database, command, session=self._session)


def _image_options(full_document: str, before_change: str) -> Document:
    # MongoDB's own "required" loses events and fails on every resume: it is never asked for.
    options = {"fullDocument": full_document, "fullDocumentBeforeChange": before_change}
    return {
        name: "whenAvailable" if value == "required" else value
        for name, value in options.items()
        if value != "off"
    }


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


@lru_cache(maxsize=4096)
def _namespace(db: str, coll: str) -> Namespace:
    return Namespace(db, coll)


def _hex(timestamp: Timestamp) -> str:
    return cluster_time(timestamp.time, timestamp.inc)


def _timestamp(time: str) -> Timestamp:
    return Timestamp(seconds_of(time), int(time[8:16], 16))


def _next(time: str) -> str:
    return f"{int(time, 16) + 1:016x}"


def _time_of_token(token: Mapping[str, Any]) -> str:
    """The cluster time inside a resume token (characters 2 to 18 of its hex string)."""
    return str(token["_data"])[2:18].lower()


def describe(stages: Sequence[Document]) -> str:
    """Stages as canonical text, for the tag and for telling whether two streams are one."""
    return json_util.dumps(stages, sort_keys=False)

"""The state of channels: their documents, all at one cluster time.

Read with read concern ``snapshot``, whose time is the position that the documents stand at:
a change is in them if and only if its cluster time is not above it. Where MongoDB cannot do
that (capped collections), what is read is no older than the position, so a message can repeat
what the state already has.
https://www.mongodb.com/docs/manual/reference/read-concern-snapshot/
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import bson
from bson import Int64, Timestamp
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument

from bridge.encode import NO_DOCUMENT, TOO_LARGE
from bridge.errors import MongoError
from bridge.events import END_OF_INSTANT, Document, Namespace, seconds_of
from bridge.mongo import READ, READ_DAMAGED, EventTooLarge, Mongo, hex_of, whole
from bridge.pipelines import Stage
from bridge.templates import Template

BATCH = 500
"""Documents read at once."""

ATTEMPTS = 6
PAUSE = 0.2
"""Seconds between attempts: right after a collection was made there is no snapshot of it."""

LARGEST = 15_000_000
"""Bytes of BSON above which a document is told by its key alone, as in a change stream."""

_UNAVAILABLE = 246
_EXACTLY = {"locale": "simple"}
"""Channels are compared letter by letter, whatever the collection's own collation is."""

_WHOLE = {"$cond": [{"$gt": [{"$bsonSize": "$$ROOT"}, LARGEST]}, "$$REMOVE", "$$ROOT"]}

Entry: TypeAlias = tuple[Namespace, Any, Document | None, str]
"""Namespace, key and document; or no document, and why."""


@dataclass(frozen=True, slots=True)
class Portion:
    """Some documents of a channel; the last portion of a channel says so."""

    channel: str
    position: str
    documents: list[Entry]
    more: bool


class State:
    """Reads what a watcher's channels hold now.

    ``rule`` is the channel template, or None where the pipeline names the channels. The
    watcher's ``stages`` see each document as the insert of it, so that what they filter or
    hide is filtered and hidden here too. ``outbox`` is a collection of the scope whose
    documents are messages and no state. ``limit`` holds for each collection.
    """

    def __init__(
        self,
        mongo: Mongo,
        *,
        scope: Namespace,
        rule: Template | None,
        stages: Sequence[Stage],
        filter: Mapping[str, Any],  # noqa: A002 - the configuration's own word
        projection: Mapping[str, Any] | None,
        limit: int | None,
        outbox: str = "",
    ) -> None:
        self._mongo = mongo
        self._scope = scope
        self._rule = rule
        self._stages = list(stages)
        self._filter = dict(filter)
        self._projection = {**projection, "_id": 1} if projection else None
        self._limit = limit
        self._outbox = outbox

    async def read(self, channels: Sequence[str]) -> AsyncGenerator[Portion, None]:
        """The documents of each channel in turn, all at one time; raises MongoError."""
        reading = _Reading(self._mongo)
        for channel in channels:
            query, parts = self._rule.query(channel) if self._rule else ({}, {})
            if not self._scope.coll:
                await reading.position()  # before looking which collections there are
            for ns in await self._collections(parts):
                batches = reading.documents(ns, self._pipeline(channel, query, ns))
                async with aclosing(batches):
                    async for batch in batches:
                        documents = [_entry(ns, raw) for raw in batch]
                        yield Portion(channel, await reading.position(), documents, more=True)
            yield Portion(channel, await reading.position(), [], more=False)

    async def scans(self) -> list[Namespace]:
        """The collections that each snapshot reads whole, for want of an index on ``fields``."""
        if not self.fields:
            return []
        query: Document = {field: {"$in": ["x"]} for field in self.fields}
        return [ns for ns in await self._collections({}) if await self._scanned(ns, query)]

    @property
    def fields(self) -> tuple[str, ...]:
        """What a channel's documents are found by."""
        return self._rule.fields if self._rule else ()

    async def _scanned(self, ns: Namespace, query: Document) -> bool:
        found = {"$and": [query, self._filter]}
        find = {"find": ns.coll, "filter": found, "collation": _EXACTLY}
        reply = await self._mongo.command(ns.db, {"explain": find, "verbosity": "queryPlanner"})
        return "COLLSCAN" in str(reply["queryPlanner"]["winningPlan"])

    async def _collections(self, parts: Mapping[str, str]) -> list[Namespace]:
        """The collections of the scope that a channel can have documents in, and no others."""
        scope, coll = self._scope, parts.get("ns.coll", self._scope.coll)
        found = [scope]
        if not scope.coll:
            names = await self._mongo.imaged(Namespace(scope.db, coll))
            found = [Namespace(*name.split(".", 1)) for name in sorted(names)]
        db = parts.get("ns.db", scope.db)
        return [
            ns
            for ns in found
            if db in ("", ns.db) and coll in ("", ns.coll) and ns.coll != self._outbox
        ]

    def _pipeline(self, channel: str, query: Document, ns: Namespace) -> list[Stage]:
        event: Stage = {
            "_id": {"_data": ""},
            "operationType": "insert",
            "ns": {"db": {"$literal": ns.db}, "coll": {"$literal": ns.coll}},
            "documentKey": {"_id": "$_id"},
            "fullDocument": "$$ROOT",
        }
        stages: list[Stage] = [{"$match": query}, {"$match": self._filter}]
        if self._stages:
            stages += [{"$replaceWith": event}, *self._stages]
            stages += [] if self._rule else [{"$match": {"_channel": channel}}]
            stages += [{"$match": {"fullDocument": {"$type": "object"}}}]
            stages += [{"$replaceWith": "$fullDocument"}]
        stages += [{"$project": self._projection}] if self._projection else []
        stages += [{"$limit": self._limit}] if self._limit else []
        return [*stages, {"$replaceWith": {"key": "$_id", "document": _WHOLE}}]


def _entry(ns: Namespace, raw: RawBSONDocument) -> Entry:
    try:
        found = bson.decode(raw.raw, READ)
    except InvalidBSON:
        return ns, bson.decode(raw.raw, READ_DAMAGED)["key"], None, NO_DOCUMENT
    return ns, found["key"], whole(found.get("document")), "" if "document" in found else TOO_LARGE


class _Reading:
    """Reads several collections at one time, which the first of them decides."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._time = ""

    async def position(self) -> str:
        """The position that everything read stands at; now, where nothing has been read yet."""
        self._time = self._time or await self._mongo.now()
        return self._time + END_OF_INSTANT

    async def documents(
        self, ns: Namespace, pipeline: list[Stage]
    ) -> AsyncGenerator[Sequence[RawBSONDocument], None]:
        """The documents of one collection in batches, each ``{key, document}``."""
        session = await self._mongo.session()
        cursor: Any = {"id": 0}
        try:
            cursor = await self._open(ns, pipeline, session)
            yield cursor["firstBatch"]
            while cursor["id"]:
                more = {"getMore": Int64(cursor["id"]), "collection": ns.coll, "batchSize": BATCH}
                cursor = await self._ask(ns, more, session)
                yield cursor["nextBatch"]
        finally:
            if cursor["id"]:
                kill = {"killCursors": ns.coll, "cursors": [Int64(cursor["id"])]}
                with suppress(MongoError):
                    await self._mongo.command(ns.db, kill, session=session)
            await session.end_session()

    async def _open(self, ns: Namespace, pipeline: list[Stage], session: Any) -> Any:
        aggregate = {
            "aggregate": ns.coll,
            "pipeline": pipeline,
            "cursor": {"batchSize": BATCH},
            "collation": _EXACTLY,
        }
        concern = self._at("snapshot", "atClusterTime")
        for attempt in range(ATTEMPTS):
            try:
                cursor = await self._ask(ns, {**aggregate, "readConcern": concern}, session)
            except MongoError as error:
                if error.code != _UNAVAILABLE:
                    raise
                if self._time or "capped" in str(error) or attempt == ATTEMPTS - 2:
                    # There is no snapshot of it at that time, and there will be none.
                    await self.position()
                    concern = self._at("majority", "afterClusterTime")
                else:
                    await asyncio.sleep(PAUSE)
                continue
            if "atClusterTime" in cursor:
                self._time = self._time or hex_of(cursor["atClusterTime"])
            return cursor
        raise MongoError(f"{ns.db}.{ns.coll}: MongoDB has no snapshot of it at the moment")

    def _at(self, level: str, when: str) -> Document:
        time = self._time
        at = {when: Timestamp(seconds_of(time), int(time[8:], 16))} if time else {}
        return {"level": level, **at}

    async def _ask(self, ns: Namespace, command: Document, session: Any) -> Any:
        try:
            reply = await self._mongo.command(ns.db, command, session=session, raw=True)
        except EventTooLarge as error:
            raise MongoError(f"{ns.db}.{ns.coll}: a document is above 16 MB") from error
        return reply["cursor"]

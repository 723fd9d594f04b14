"""The state of channels: their documents, all at one cluster time.

Read with read concern ``snapshot``, whose time is the position that the documents stand at:
a change is in them if and only if its cluster time is not above it. Where MongoDB cannot do
that (capped collections), what is read is no older than the position, so a message can repeat
what the state already has.
https://www.mongodb.com/docs/manual/reference/read-concern-snapshot/
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from bson import Int64, Timestamp

from bridge.errors import MongoError
from bridge.events import END_OF_INSTANT, Document, Namespace, seconds_of
from bridge.mongo import Mongo, hex_of
from bridge.pipelines import Stage
from bridge.templates import Template

BATCH = 500
"""Documents read at once."""

ATTEMPTS = 6
PAUSE = 0.2
"""Seconds between attempts: right after a collection was made there is no snapshot of it."""

_UNAVAILABLE = 246


@dataclass(frozen=True, slots=True)
class Portion:
    """Some documents of a channel; the last portion of a channel says so."""

    channel: str
    position: str
    documents: list[tuple[Namespace, Any, Document]]
    """Namespace, key and document of each."""
    more: bool


class State:
    """Reads what a watcher's channels hold now.

    ``rule`` is the channel template, or None where the pipeline names the channels. The
    watcher's ``stages`` see each document as the insert of it, so that what they filter or
    hide is filtered and hidden here too.
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
    ) -> None:
        self._mongo = mongo
        self._scope = scope
        self._rule = rule
        self._stages = list(stages)
        self._filter = dict(filter)
        self._projection = {**projection, "_id": 1} if projection else None
        self._limit = limit

    async def read(self, channels: Sequence[str]) -> AsyncGenerator[Portion, None]:
        """The documents of each channel in turn, all at one time; raises MongoError."""
        reading = _Reading(self._mongo)
        for channel in channels:
            query, parts = self._rule.query(channel) if self._rule else ({}, {})
            for ns in await self._collections(parts):
                batches = reading.documents(ns, self._pipeline(channel, query, ns))
                async with aclosing(batches):
                    async for batch in batches:
                        documents = [(ns, found["key"], found["document"]) for found in batch]
                        yield Portion(channel, await reading.position(), documents, more=True)
            yield Portion(channel, await reading.position(), [], more=False)

    async def scans(self, channel: str) -> list[Namespace]:
        """The collections that have to be read whole for a channel, for want of an index."""
        query, parts = self._rule.query(channel) if self._rule else ({}, {})
        if not query:
            return []
        return [ns for ns in await self._collections(parts) if await self._scanned(ns, query)]

    async def _scanned(self, ns: Namespace, query: Document) -> bool:
        find = {"find": ns.coll, "filter": query | self._filter}
        reply = await self._mongo.command(ns.db, {"explain": find, "verbosity": "queryPlanner"})
        return "COLLSCAN" in str(reply)

    async def _collections(self, parts: Mapping[str, str]) -> list[Namespace]:
        db, coll = parts.get("ns.db", self._scope.db), parts.get("ns.coll", self._scope.coll)
        if db and coll:
            return [Namespace(db, coll)]
        names = await self._mongo.imaged(Namespace(db, coll))
        found = [Namespace(*name.split(".", 1)) for name in sorted(names)]
        return [ns for ns in found if not coll or ns.coll == coll]

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
        return [*stages, {"$replaceWith": {"key": "$_id", "document": "$$ROOT"}}]


class _Reading:
    """Reads several collections at one time, which the first of them decides."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._time = ""
        self._concern: Document = {"level": "snapshot"}

    async def position(self) -> str:
        """The position that what has been read stands at."""
        self._time = self._time or await self._mongo.now()
        return self._time + END_OF_INSTANT

    async def documents(
        self, ns: Namespace, pipeline: list[Stage]
    ) -> AsyncGenerator[list[Document], None]:
        """The documents of one collection in batches."""
        session = await self._mongo.session()
        try:
            cursor = await self._open(ns, pipeline, session)
            batch = cursor["firstBatch"]
            while batch or cursor["id"]:
                yield batch
                if not cursor["id"]:
                    return
                more = {"getMore": Int64(cursor["id"]), "collection": ns.coll, "batchSize": BATCH}
                cursor = (await self._mongo.command(ns.db, more, session=session))["cursor"]
                batch = cursor["nextBatch"]
        finally:
            await session.end_session()

    async def _open(self, ns: Namespace, pipeline: list[Stage], session: Any) -> Document:
        aggregate = {"aggregate": ns.coll, "pipeline": pipeline, "cursor": {"batchSize": BATCH}}
        for attempt in range(ATTEMPTS):
            command = {**aggregate, "readConcern": self._concern}
            try:
                reply = await self._mongo.command(ns.db, command, session=session)
            except MongoError as error:
                if error.code != _UNAVAILABLE:
                    raise
                await self._give_way(str(error), last=attempt == ATTEMPTS - 1)
                continue
            cursor: Document = reply["cursor"]
            if not self._time and "atClusterTime" in cursor:
                self._time = hex_of(cursor["atClusterTime"])
                self._concern = {"level": "snapshot", "atClusterTime": cursor["atClusterTime"]}
            return cursor
        raise MongoError(f"{ns.db}.{ns.coll}: MongoDB has no snapshot of it at the moment")

    async def _give_way(self, why: str, *, last: bool) -> None:
        """Waits until there is a snapshot; does without one where there never will be."""
        if "capped" not in why and not last:
            await asyncio.sleep(PAUSE)
            return
        position = await self.position()
        time = Timestamp(seconds_of(position), int(position[8:16], 16))
        self._concern = {"level": "majority", "afterClusterTime": time}

"""Change streams, read as raw batches.

A stream is one ``aggregate`` and its ``getMore`` commands: unlike the driver's own change
stream object, this shows each batch whole and never resumes behind our back. Streams are
opened by cluster time, so that changes are numbered alike on every reading.
https://www.mongodb.com/docs/manual/changeStreams/
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from functools import lru_cache
from hashlib import sha256
from typing import Any
from uuid import UUID

import bson
from bson import DBRef, Int64
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument

from bridge.documents import iso_date
from bridge.errors import HistoryLost, MongoError, MongoRefused
from bridge.events import (
    Batch,
    Change,
    Document,
    Namespace,
)
from bridge.mongo import READ, READ_DAMAGED, EventTooLarge, Mongo, whole
from bridge.pipelines import TOO_LARGE
from bridge.point import Point, instant

AWAIT = 500
"""Milliseconds after which an idle stream learns that time has moved on."""

BATCH = 1000
"""Changes read at once: bounds how long the loop is busy with one batch."""

GENTLE = 100
"""The same for readings of the past, where live traffic goes first: a few milliseconds each."""

MANY = 50
"""Changes in a batch from which on it pays to ask for the next one ahead of time."""

SEARCH = 300.0
"""Seconds without an answer after which a stream counts as dead.

A long stretch of oplog without a change for this stream is searched in one go; that MongoDB
cannot be reached, the driver's own monitor notices much earlier.
"""

_PASSING = frozenset(
    {0, 6, 7, 50, 63, 89, 91, 133, 150, 189, 202, 211, 234, 262, 317}
    | {9001, 10107, 11600, 11601, 11602, 13388, 13435, 13436}
)
"""Codes of errors that pass by themselves: elections, shutdowns, networks, time-outs. An opening
that fails with any other will fail again until somebody changes something.
https://github.com/mongodb/specifications/blob/master/source/change-streams/change-streams.md
"""


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
        """The oldest cluster time that a stream can start from, or now where that is secret."""
        try:
            return await self._mongo.first_in_oplog()
        except MongoRefused:
            return await self._mongo.now()

    async def read(self, start: str, *, most: int = BATCH) -> AsyncGenerator[Batch, None]:
        """Batches of changes from a cluster time on (inclusive), in order, for ever.

        A batch has at ``most`` so many. What ends a stream (drop, rename) is passed, and what
        is too large for an event is stepped over as a change without documents. Raises
        HistoryLost, MongoRefused, MongoError.
        """
        point = Point(start, most)
        while True:
            try:
                async with aclosing(self._batches(point)) as batches:
                    async for batch in batches:
                        yield batch
            except EventTooLarge:
                point.be_careful()

    async def _batches(self, point: "Point") -> AsyncGenerator[Batch, None]:
        """One server-side cursor's batches; ends where the stream has to be opened anew."""
        options = {**point.options(), **({} if point.blind else self._images)}
        cursor = await _Cursor.open(self._mongo, self._scope, options, self._stages)
        async with aclosing(cursor.replies(point)) as replies:
            async for events, token in replies:
                batch = Batch([self._change(event, point) for event in events], "")
                new = batch.after(point.head)
                if point.blind and new:
                    point.step_over(events[batch.changes.index(new[0])]["_id"], new[0])
                    yield Batch(new[:1], point.head)
                    return
                point.reach(token)
                yield Batch(new, point.head)
        if not point.told:
            yield Batch([point.silent_drop(self._scope)], point.head)
        point.pass_end()

    def _change(self, raw: RawBSONDocument, point: "Point") -> Change:
        withheld = "too_large" if point.blind else ""
        try:
            event = bson.decode(raw.raw, READ)
        except InvalidBSON:
            event = _salvaged(raw)
            withheld = "no_document"
        get = event.get
        op = event["operationType"]
        time, ordinal = point.number(event["_id"], op)
        ns, key, wall = get("ns"), get("documentKey"), get("wallTime")
        return Change(
            time,
            ordinal,
            op,
            _namespace(ns["db"], ns.get("coll", "")) if ns else self._scope,
            key.get("_id") if key else None,
            whole(get("fullDocument")),
            whole(get("fullDocumentBeforeChange")),
            _description(get("updateDescription")),
            iso_date(wall) if wall else instant(time),
            get("_channel"),
            get("_event"),
            get("_headers"),
            _transaction(event["lsid"]["id"], event["txnNumber"]) if "txnNumber" in event else "",
            withheld or ("too_large" if TOO_LARGE in event else ""),
        )


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
            reply = await mongo.command(database, aggregate, session=session, raw=True)
        except MongoError as error:
            await session.end_session()
            if error.code in _PASSING or isinstance(error, HistoryLost):
                raise
            raise MongoRefused(str(error), code=error.code) from error
        return cls(mongo, session, database, reply["cursor"])

    async def replies(
        self, point: Point
    ) -> AsyncGenerator[tuple[Sequence[RawBSONDocument], Any], None]:
        """Batches of raw events, each with its post-batch resume token, until the stream ends.

        Where much is to be read, the next batch is asked for before one is given, so that
        MongoDB works meanwhile.
        """
        yield self._first["firstBatch"], self._first["postBatchResumeToken"]
        ahead: asyncio.Task[Any] | None = None
        try:
            while self._id:
                reply = (await (ahead or self._more(point)))["cursor"]
                self._id = Int64(reply["id"])
                events = reply["nextBatch"]
                ahead = None
                if len(events) >= MANY and self._id:
                    ahead = asyncio.create_task(self._more(point), name="getMore")
                    await asyncio.sleep(0)  # lets the question leave first
                yield events, reply["postBatchResumeToken"]
        finally:
            if ahead:
                ahead.cancel()
                with suppress(asyncio.CancelledError, MongoError, EventTooLarge):
                    await ahead
            await self._session.end_session()

    async def _more(self, point: Point) -> Any:
        command = {
            "getMore": self._id,
            "collection": self._collection,
            "batchSize": 1 if point.careful else point.most,
            "maxTimeMS": AWAIT,
        }
        return await self._mongo.command(
            self._database, command, session=self._session, raw=True, limit=SEARCH
        )


def _image_options(full_document: str, before_change: str) -> Document:
    # MongoDB's own "required" loses events and fails on every resume: it is never asked for.
    options = {"fullDocument": full_document, "fullDocumentBeforeChange": before_change}
    return {
        name: "whenAvailable" if value == "required" else value
        for name, value in options.items()
        if value != "off"
    }


def _salvaged(raw: RawBSONDocument) -> Document:
    """What can be read of an event that cannot be read whole."""
    event: Document = {}
    for name, value in raw.items():
        with suppress(InvalidBSON):
            nested = isinstance(value, RawBSONDocument)
            event[name] = bson.decode(value.raw, READ_DAMAGED) if nested else value
    return event


def _description(description: Document | None) -> Document | None:
    if description is None or not isinstance(description.get("updatedFields"), DBRef):
        return description
    return {**description, "updatedFields": whole(description["updatedFields"])}


@lru_cache(maxsize=4096)
def _namespace(db: str, coll: str) -> Namespace:
    return Namespace(db, coll)


@lru_cache(maxsize=256)
def _transaction(session: UUID, number: int) -> str:
    """Names a transaction without giving away the session that it ran in."""
    return sha256(session.bytes + b"%d" % number).hexdigest()[:16]

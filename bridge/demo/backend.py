"""The demo's back end, written as any application's own would be: it knows of no bridge.

Each write is one transaction over two collections: the tasks, and the outbox that says what
happened. The answer says when, so that a page knows which messages show its own write.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from aiohttp import web
from bson import Timestamp
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession as Session
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from bridge.demo.intent import Intent, board_of, refusal
from bridge.demo.sample import DATABASE, OUTBOX, TASKS

MOST_TASKS = 30
"""Of a board."""
MOST_EVENTS = 30
"""Of a board: the oldest goes in the transaction that brings a new one."""

Document: TypeAlias = dict[str, Any]


class Backend:
    """The tasks of all boards, and what was done with them last."""

    def __init__(self, client: AsyncMongoClient[Document]) -> None:
        self._client = client
        self._database = client[DATABASE]
        self._tasks = self._database[TASKS]
        self._outbox = self._database[OUTBOX]

    def routes(self) -> list[web.RouteDef]:
        """To be added to an application."""
        task = "/api/boards/{board}/tasks/{key}"
        return [
            web.get("/api/boards/{board}/activity", self.activity),
            web.put(task, self.add),
            web.patch(task, self.change),
            web.delete(task, self.remove),
        ]

    async def activity(self, request: web.Request) -> web.Response:
        """The newest events of a board, newest first, and the moment of which that is true."""
        reply = await self._database.command(
            {
                "find": OUTBOX,
                "filter": {"channel": f"activity:{board_of(request)}"},
                "projection": {"_id": 0, "name": 1, "data": 1},
                "sort": {"_id": -1},
                "limit": MOST_EVENTS,
                "readConcern": {"level": "snapshot"},
            }
        )
        cursor = reply["cursor"]
        position = _position(cursor["atClusterTime"])
        return web.json_response({"events": cursor["firstBatch"], "position": position})

    async def add(self, request: web.Request) -> web.Response:
        """Makes a task, under the id that the page has given it."""
        intent = await Intent.read(request)
        task = {"_id": intent.key, "board": intent.board, **intent.fields, **intent.mark}

        async def write(session: Session) -> Document:
            known = await self._tasks.count_documents({"board": intent.board}, session=session)
            if known >= MOST_TASKS:
                raise refusal(web.HTTPConflict, "The board is full: delete a task first")
            await self._tasks.insert_one({**task, "version": 1}, session=session)
            return _event("added", intent, task)

        try:
            return await self._commit(write)
        except DuplicateKeyError as error:
            raise refusal(web.HTTPConflict, "There is a task with this id") from error

    async def change(self, request: web.Request) -> web.Response:
        """Moves or renames the version of a task that the page has seen, and no other."""
        intent = await Intent.read(request)
        update = {"$set": {**intent.fields, **intent.mark}, "$inc": {"version": 1}}

        async def write(session: Session) -> Document:
            task = await self._tasks.find_one_and_update(_seen(intent), update, session=session)
            if task is None:
                raise await self._too_late(intent, session)
            return _event("moved" if "column" in intent.fields else "renamed", intent, task)

        return await self._commit(write)

    async def remove(self, request: web.Request) -> web.Response:
        """Deletes the version of a task that the page has seen, and no other."""
        intent = await Intent.read(request)

        async def write(session: Session) -> Document:
            task = await self._tasks.find_one_and_delete(_seen(intent), session=session)
            if task is None:
                raise await self._too_late(intent, session)
            return _event("deleted", intent, task)

        return await self._commit(write)

    async def _commit(self, write: Callable[[Session], Awaitable[Document]]) -> web.Response:
        """The write and its event, both or neither; answers with the position of both."""

        async def both(session: Session) -> None:
            event = await write(session)
            await self._outbox.insert_one(event, session=session)
            events = self._outbox.find({"channel": event["channel"]}, session=session)
            old = [one["_id"] async for one in events.sort("_id", -1).skip(MOST_EVENTS)]
            await self._outbox.delete_many({"_id": {"$in": old}}, session=session)

        async with self._client.start_session() as session:
            await session.with_transaction(
                both, read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority")
            )
            return web.json_response({"position": _position(session.operation_time)})

    async def _too_late(self, intent: Intent, session: Session) -> web.HTTPException:
        """Why the version that the page saw is not there any more."""
        task = await self._tasks.find_one({"_id": intent.key}, session=session)
        if task is None:
            return refusal(web.HTTPNotFound, "Somebody has deleted this task")
        return refusal(web.HTTPPreconditionFailed, f"{task['by']} was first")


def _seen(intent: Intent) -> Document:
    return {"_id": intent.key, "board": intent.board, "version": intent.version}


def _event(what: str, intent: Intent, task: Mapping[str, Any]) -> Document:
    data = {"by": intent.mark["by"], "title": task["title"], **intent.fields}
    return {"channel": f"activity:{intent.board}", "name": f"task.{what}", "data": data}


def _position(time: Timestamp | None) -> str:
    """A cluster time as the bridge writes positions."""
    return f"{time.time:08x}{time.inc:08x}" if time else ""

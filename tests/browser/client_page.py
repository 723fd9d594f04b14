"""A page of somebody else's site that follows a channel with the client that the bridge serves."""

import json
from typing import Any, Self

from playwright.async_api import Page
from pymongo.asynchronous.collection import AsyncCollection

from tests.acceptance.plain_json import canonical, plain

OPEN = """async ([modules, options, channel]) => {
    const { connect, collection } = await import(`${modules}/client/index.js`);
    if (window.freshToken) options = { ...options, token: () => freshToken() };
    window.bridge = connect(options);
    window.model = bridge.model({ channel, merge: collection() });
    window.told = [];
    window.outcomes = {};
    window.resyncs = [];
    window.lives = 0;
    let wasStale = true;
    model.on("resync", (reason) => resyncs.push(reason));
    model.on("mutation", ({ mutationId, status }) => { outcomes[mutationId] = status; });
    model.subscribe(({ data, isStale, state }) => {
        if (wasStale && !isStale) lives += 1;
        wasStale = isStale;
        told.push({ state, isStale, count: data?.length });
    });
}"""

MUTATE = """([change, how, fields]) => {
    const update = fields && ((document) => ({ ...document, ...fields }));
    const mutation = model.mutate({ ...change, ...(update && { update }) },
        ({ mutationId }) => write({ ...change, how, fields, mutationId }));
    return mutation.mutationId;
}"""

# Random writes against whatever this page shows, as people would make them.
PLAY = """async ([count, name, pause]) => {
    for (let n = 0; n < count; n++) {
        const documents = model.data ?? [];
        const any = documents[Math.floor(Math.random() * documents.length)];
        const dice = Math.random();
        const send = (how, more) => ({ mutationId }) => write({ how, mutationId, ...more });
        if (!any || dice < 0.3) {
            const document = { _id: `${name}-${n}`, room: "one", n, tags: [name] };
            model.mutate({ key: document._id, document }, send("insert", { document }));
        } else if (dice < 0.9) {
            const fields = { [`by_${name}`]: n, text: "x".repeat(n % 40) };
            model.mutate({ key: any._id, update: (one) => ({ ...one, ...fields }) },
                send("update", { key: any._id, fields }));
        } else {
            model.mutate({ op: "delete", key: any._id }, send("delete", { key: any._id }));
        }
        await new Promise((resolve) => setTimeout(resolve, Math.random() * pause));
    }
}"""


class ClientPage:
    """One page, one bridge, one model of the channel ``todos:one``."""

    def __init__(self, page: Page, todos: AsyncCollection[dict[str, Any]]) -> None:
        self.page = page
        self._todos = todos
        self.refuse = False

    async def open(
        self, site: str, modules: str, channel: str = "todos:one", **options: Any
    ) -> Self:
        """Loads the client from ``modules`` and follows the channel."""
        await self.page.goto(site)
        await self.page.expose_function("write", self._write)
        await self.page.evaluate(OPEN, [modules, options, channel])
        return self

    async def _write(self, order: dict[str, Any]) -> dict[str, Any]:
        """What an application's back end does: the write, with its id, and where it stands."""
        if self.refuse:
            raise ValueError("refused by the back end")
        mark = {"_mutationId": order["mutationId"]}
        async with self._todos.database.client.start_session() as session:
            match order["how"]:
                case "insert":
                    await self._todos.insert_one({**order["document"], **mark}, session=session)
                case "update":
                    change = {"$set": {**order["fields"], **mark}}
                    await self._todos.update_one({"_id": order["key"]}, change, session=session)
                case "delete":
                    await self._todos.delete_one({"_id": order["key"]}, session=session)
            time = session.operation_time
            assert time is not None
            return {"operationTime": {"t": time.time, "i": time.inc}}

    async def mutate(self, change: Any, how: str, fields: Any = None) -> str:
        """An optimistic write; its id."""
        made: str = await self.page.evaluate(MUTATE, [change, how, fields])
        return made

    async def play(self, count: int, name: str, pause: int) -> None:
        """Random writes of a person, so many, at most ``pause`` milliseconds apart."""
        await self.page.evaluate(PLAY, [count, name, pause])

    async def until(self, condition: str, limit: float = 20_000) -> None:
        """Returns once a JavaScript expression is true in the page."""
        try:
            await self.page.wait_for_function(condition, timeout=limit)
        except Exception:
            print(await self.page.evaluate(DESCRIBE))  # noqa: T201
            raise

    async def documents(self, of: str = "data") -> dict[str, str]:
        """Key -> document, as the model has them."""
        found = json.loads(await self.page.evaluate(f"JSON.stringify(model.{of})"))
        return {canonical(document["_id"]): canonical(document) for document in found}


DESCRIBE = """() => ({
    status: bridge.status, error: String(bridge.status.error), state: model.state,
    stale: model.isStale, wrong: String(model.error), cause: String(model.error?.cause),
    pending: model.pending.map(({ mutationId, status }) => [mutationId, status]),
    shown: model.data?.length, resyncs, lives,
})"""


async def stored(todos: AsyncCollection[dict[str, Any]]) -> dict[str, str]:
    """Key -> document, as the database has those of the room, without mutation ids."""
    found = {}
    async for document in todos.find({"room": "one"}):
        document.pop("_mutationId", None)
        found[canonical(plain(document["_id"]))] = canonical(plain(document))
    return found

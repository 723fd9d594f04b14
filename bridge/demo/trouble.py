"""What visitors of the demo can switch on: writes that take their time, and writes that fail."""

import asyncio
from collections.abc import Iterable
from typing import Any, cast

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from pymongo.asynchronous.collection import AsyncCollection

from bridge.demo.intent import Intent, refusal

LONGEST = 3000
"""Milliseconds that a write can be held back."""
WHY = "Refused, as you asked for"


class Trouble:
    """Comes before the handlers of writes, for requests that ask for it.

    ``Demo-Latency`` holds a write back for so many milliseconds. ``Demo-Refuse: answer`` refuses
    it with a status; ``event`` accepts it, and then takes that back in the outbox.
    """

    def __init__(self, outbox: AsyncCollection[dict[str, Any]]) -> None:
        self._outbox = outbox

    def before(self, routes: Iterable[web.RouteDef]) -> list[web.RouteDef]:
        """The same routes, those that write with trouble before them."""
        return [
            web.route(route.method, route.path, self._troubled(cast(Handler, route.handler)))
            for route in routes
        ]

    def _troubled(self, handler: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            if request.method != hdrs.METH_GET:
                await asyncio.sleep(_latency(request))
                refuse = request.headers.get("Demo-Refuse")
                if refuse == "answer":
                    raise refusal(web.HTTPUnprocessableEntity, WHY)
                if refuse == "event":
                    return await self._take_back(await Intent.read(request))
            return await handler(request)

        return handle

    async def _take_back(self, intent: Intent) -> web.Response:
        # Inserted and deleted at once: the message is sent, and nothing is kept.
        event = {
            "channel": f"activity:{intent.board}",
            "name": "task.refused",
            "data": {"by": intent.mark["by"], "why": WHY},
            "mutationId": intent.mark["_mutationId"],
            "rejected": True,
        }
        await self._outbox.insert_one(event)
        await self._outbox.delete_one({"_id": event["_id"]})
        return web.json_response({}, status=202)


def _latency(request: web.Request) -> float:
    """Seconds."""
    text = request.headers.get("Demo-Latency", "0")
    if not text.isascii() or not text.isdigit():
        raise refusal(web.HTTPBadRequest, f"Demo-Latency is milliseconds, up to {LONGEST}")
    return min(int(text[:9]), LONGEST) / 1000

"""The admin listener: is the process alive, is it ready, what has it counted."""

from collections.abc import Sequence

import orjson
from aiohttp import web

from bridge.metrics import Metrics
from bridge.stream import Stream


def application(*, streams: Sequence[Stream], metrics: Metrics) -> web.Application:
    """``/health/live``, ``/health/ready`` and ``/metrics``."""

    async def live(request: web.Request) -> web.Response:
        return _json({"status": "live"}, 200)

    async def ready(request: web.Request) -> web.Response:
        settled = all(stream.settled for stream in streams)
        watchers = {
            watcher.feed.name: {"state": stream.state, "why": stream.why}
            for stream in streams
            for watcher in stream.watchers
        }
        status = "ready" if settled else "starting"
        return _json({"status": status, "watchers": watchers}, 200 if settled else 503)

    async def numbers(request: web.Request) -> web.Response:
        return web.Response(body=metrics.exposition(), content_type="text/plain", charset="utf-8")

    app = web.Application()
    app.add_routes(
        [
            web.get("/health/live", live),
            web.get("/health/ready", ready),
            web.get("/metrics", numbers),
        ]
    )
    return app


def _json(body: object, status: int) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(body),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )

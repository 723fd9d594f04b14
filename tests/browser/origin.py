"""A site on an origin of its own: an empty page."""

from typing import Self

from aiohttp import web
from aiohttp.test_utils import TestServer


class Origin:
    """Serves from ``url`` while its context lasts."""

    def __init__(self) -> None:
        application = web.Application()
        application.add_routes([web.get("/", _empty)])
        self._server = TestServer(application)

    async def __aenter__(self) -> Self:
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    @property
    def url(self) -> str:
        return str(self._server.make_url("")).rstrip("/")


async def _empty(request: web.Request) -> web.Response:
    return web.Response(text="<!doctype html><title>empty</title>", content_type="text/html")

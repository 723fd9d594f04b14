"""The demo's own HTTP surface: the page, where to start reading, and a plug to pull."""

from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from bridge import headers

PAGE = Path(__file__).parent / "page"

_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


def routes(*, since: str, drop: Callable[[str], bool]) -> list[web.RouteDef]:
    """The routes of the demo, to be added to the public application.

    ``since`` is the cluster time right before the first order. ``drop`` cuts the connection
    of a session without a goodbye and says whether there was one.
    """
    files = {file.name: file for file in PAGE.iterdir() if file.suffix in _TYPES}

    async def page(request: web.Request) -> web.StreamResponse:
        return _file(files["index.html"])

    async def asset(request: web.Request) -> web.StreamResponse:
        file = files.get(request.match_info["name"])
        if file is None:
            raise web.HTTPNotFound
        return _file(file)

    async def start(request: web.Request) -> web.Response:
        return web.json_response({"since": since}, headers={"Cache-Control": "no-store"})

    async def cut(request: web.Request) -> web.Response:
        if not drop(request.query.get("session", "")):
            raise web.HTTPNotFound(text="no connection has this session")
        return web.Response(status=204)

    return [
        web.get("/", page),
        web.get("/demo/start", start),
        web.post("/demo/drop", cut),
        web.get("/demo/{name}", asset),
    ]


def _file(file: Path) -> web.FileResponse:
    own = {"Content-Type": f"{_TYPES[file.suffix]}; charset=utf-8", "Cache-Control": "no-cache"}
    return web.FileResponse(file, headers={**headers.PAGE, **own})

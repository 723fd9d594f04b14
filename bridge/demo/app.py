"""The demo's page over HTTP."""

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


def page_routes() -> list[web.RouteDef]:
    """The page and what it is made of, to be added to the public application."""
    files = {file.name: file for file in PAGE.iterdir() if file.suffix in _TYPES}

    async def page(request: web.Request) -> web.StreamResponse:
        return _file(files["index.html"])

    async def asset(request: web.Request) -> web.StreamResponse:
        file = files.get(request.match_info["name"])
        if file is None:
            raise web.HTTPNotFound
        return _file(file)

    return [web.get("/", page), web.get("/demo/page/{name}", asset)]


def _file(file: Path) -> web.FileResponse:
    own = {"Content-Type": f"{_TYPES[file.suffix]}; charset=utf-8", "Cache-Control": "no-cache"}
    return web.FileResponse(file, headers={**headers.PAGE, **own})

"""The browser client's modules, as the public listener serves them."""

import gzip
import hashlib
import re
from collections.abc import Mapping
from importlib.resources import files

from aiohttp import hdrs, web

_TYPES = {".js": "text/javascript; charset=utf-8", ".json": "application/json"}

_HEADERS = {
    # Modules of two versions must never meet in one page: each is asked for, and mostly a 304.
    hdrs.CACHE_CONTROL: "no-cache",
    hdrs.VARY: "Accept-Encoding",
    # Code that everybody may have; pages of other origins import it.
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}

_TAKES_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(?:\.0*)?(?:[\s,]|$))")


class Module:
    """One file: its bytes, plain and compressed, each with a strong entity tag."""

    def __init__(self, name: str, body: bytes) -> None:
        self.name = name
        self._type = _TYPES[name[name.rindex(".") :]]
        self._plain = body, _tag(body)
        compressed = gzip.compress(body, mtime=0)
        self._compressed = compressed, _tag(compressed)

    def answer(self, request: web.Request) -> web.Response:
        """The file, or 304 where the client has it."""
        compress = bool(_TAKES_GZIP.search(request.headers.get(hdrs.ACCEPT_ENCODING, "")))
        body, tag = self._compressed if compress else self._plain
        headers = {**_HEADERS, hdrs.ETAG: f'"{tag}"'}
        known = request.if_none_match or ()
        if any(each.value in ("*", tag) for each in known):
            return web.Response(status=304, headers=headers)
        headers[hdrs.CONTENT_TYPE] = self._type
        if compress:
            headers[hdrs.CONTENT_ENCODING] = "gzip"
        return web.Response(body=body, headers=headers)


def read_modules() -> Mapping[str, Module]:
    """The files by their names; there is nothing else to be had under ``/client/``."""
    found = (entry for entry in files("bridge").joinpath("client").iterdir() if entry.is_file())
    return {
        entry.name: Module(entry.name, entry.read_bytes())
        for entry in found
        if entry.name.endswith(tuple(_TYPES))
    }


def _tag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32]

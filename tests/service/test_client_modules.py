"""The browser client's modules under ``/client/``."""

import gzip
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import pytest
from yarl import URL

import bridge
from tests.rig import Rig

Get: TypeAlias = Callable[..., Any]

CLIENT = Path(bridge.__file__).parent / "client"
MODULES = sorted(file.name for file in CLIENT.glob("*.js"))
IMPORT = re.compile(
    r"""^(?:import|export) .*?from "\./([^"]+)";|import\("\./([^"]+\.js)"\)""", re.M | re.S
)


@pytest.fixture
async def get() -> AsyncIterator[Get]:
    async with (
        Rig(cors_origins=["https://app.example"]).running() as rig,
        aiohttp.ClientSession(auto_decompress=False) as session,
    ):

        def asked(path: str, **headers: str) -> Any:
            headers = {"Accept_Encoding": "identity"} | headers
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return session.get(URL(rig.url + path, encoded=True), headers=named)

        yield asked


async def test_every_module_is_served_as_it_is_to_everybody(get: Get) -> None:
    assert {"index.js", "react.js", "websocket.js"} <= set(MODULES)
    for name in MODULES:
        async with get(f"/client/{name}", Origin="https://elsewhere.example") as answer:
            assert answer.status == 200
            assert await answer.read() == (CLIENT / name).read_bytes()
            assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cache-Control"] == "no-cache"
            assert re.fullmatch('"[0-9a-f]{32}"', answer.headers["ETag"])


def test_every_import_of_a_served_module_is_served() -> None:
    for name in MODULES:
        text = (CLIENT / name).read_text()
        for found in IMPORT.finditer(text):
            assert (found[1] or found[2]) in MODULES, (name, found[0])


async def test_a_module_that_the_client_has_is_not_sent_again(get: Get) -> None:
    async with get("/client/index.js") as answer:
        tag = answer.headers["ETag"]
    for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        async with get("/client/index.js", If_None_Match=known) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
            assert answer.headers["ETag"] == tag
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
    async with get("/client/index.js", If_None_Match='"other"') as answer:
        assert answer.status == 200


async def test_a_client_that_takes_gzip_gets_it_under_a_tag_of_its_own(get: Get) -> None:
    tags = set()
    for encodings, compressed in (
        ("gzip, deflate, br", True),
        ("br;q=1.0, gzip;q=0.8", True),
        ("gzip;q=0, identity", False),
        ("identity", False),
    ):
        async with get("/client/model.js", Accept_Encoding=encodings) as answer:
            assert (answer.headers.get("Content-Encoding") == "gzip") is compressed
            assert answer.headers["Vary"] == "Accept-Encoding"
            body = await answer.read()
            plain = gzip.decompress(body) if compressed else body
            assert plain == (CLIENT / "model.js").read_bytes()
            tags.add(answer.headers["ETag"])
    assert len(tags) == 2


@pytest.mark.parametrize(
    "path",
    [
        "",
        "nothing.js",
        "../errors.py",
        "%2e%2e%2ferrors.py",
        "..%2f__init__.py",
        "index.js/",
        "INDEX.JS",
    ],
)
async def test_there_is_nothing_else(get: Get, path: str) -> None:
    async with get(f"/client/{path}") as answer:
        assert answer.status == 404
        assert json.loads(await answer.read())["code"]


async def test_package_and_constant_have_the_version_of_the_bridge(get: Get) -> None:
    async with get("/client/package.json") as answer:
        assert json.loads(await answer.read())["version"] == bridge.__version__
    assert f'export const version = "{bridge.__version__}";' in (CLIENT / "index.js").read_text()

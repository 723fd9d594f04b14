"""Keys fetched from a real server."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge.errors import Unavailable
from bridge.keyset import LARGEST, fetch_keys


async def keys(_: web.Request) -> web.Response:
    return web.Response(body=b'{"keys": []}')


async def large(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(10 * LARGEST // 65536):
        await response.write(b" " * 65536)
    return response


async def moved(_: web.Request) -> web.Response:
    raise web.HTTPFound("/keys")


async def broken(_: web.Request) -> web.Response:
    return web.Response(status=500)


@pytest.fixture
async def provider() -> AsyncIterator[TestServer]:
    application = web.Application()
    for handler in (keys, large, moved, broken):
        application.router.add_get(f"/{handler.__name__}", handler)
    server = TestServer(application)
    async with server:
        yield server


async def test_keys_are_what_the_url_answers(provider: TestServer) -> None:
    assert await fetch_keys(str(provider.make_url("/keys"))) == b'{"keys": []}'


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/large", "it answers more than 262144 bytes"),
        ("/moved", "it answers 302"),
        ("/broken", "it answers 500"),
        ("/missing", "it answers 404"),
    ],
)
async def test_any_other_answer_is_no_key(provider: TestServer, path: str, why: str) -> None:
    with pytest.raises(Unavailable, match=why):
        await fetch_keys(str(provider.make_url(path)))

"""The demo's page over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from bridge.demo.app import PAGE, page_routes

Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    application = web.Application()
    application.add_routes(page_routes())
    async with TestClient(TestServer(application)) as running:
        yield running


def text_of(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")


async def test_the_page_is_served_under_a_policy_that_allows_only_this_origin(
    client: Client,
) -> None:
    answer = await client.get("/")
    assert answer.status == 200
    assert answer.content_type == "text/html"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert await answer.text() == text_of("index.html")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("app.js", "text/javascript"), ("style.css", "text/css"), ("icon.svg", "image/svg+xml")],
)
async def test_its_assets_carry_their_types(client: Client, name: str, kind: str) -> None:
    answer = await client.get(f"/demo/page/{name}")
    assert (answer.status, answer.content_type) == (200, kind)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", ["none.js", "..%2Fapp.py", "%2e%2e%2fmongod.py", "index"])
async def test_nothing_but_its_files_is_served(client: Client, name: str) -> None:
    assert (await client.get(f"/demo/page/{name}")).status == 404


@pytest.mark.parametrize("file", sorted(PAGE.glob("*.*")), ids=lambda file: file.name)
def test_the_page_asks_nobody_else_for_anything(file: Path) -> None:
    text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert "http://" not in text
    assert "https://" not in text
    assert "//cdn" not in text


def test_the_page_has_no_inline_script_or_style() -> None:
    page = text_of("index.html")
    assert page.count("<script") == page.count('<script type="module" src="demo/page/')
    assert "<style" not in page
    assert " style=" not in page
    assert " on" + "click=" not in page

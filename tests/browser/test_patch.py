"""The page's own JSON Patch, in the browser that it is for."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.acceptance.plain_json import canonical
from tests.browser.origin import Origin

pytestmark = pytest.mark.asyncio(loop_scope="session")

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "updates.json").read_text())
# Texts go in and out: what lies between is the browser's own JSON.
APPLY = """async (cases) => {
    const { applyPatch, PatchError } = await import("/modules/patch.js");
    return cases.map(([document, patch]) => {
        const before = JSON.parse(document);
        let after = null;
        try {
            after = JSON.stringify(applyPatch(before, JSON.parse(patch)));
        } catch (error) {
            if (!(error instanceof PatchError)) throw error;
        }
        return { before: JSON.stringify(before), after };
    });
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def page(chromium: Browser, origin: Origin) -> AsyncIterator[Page]:
    page = await chromium.new_page()
    await page.goto(origin.url)
    yield page
    await page.close()


async def apply(page: Page, document: Any, patch: Any) -> Any:
    """The document after the patch, or None where it is refused; never changed itself."""
    [result] = await page.evaluate(APPLY, [[json.dumps(document), json.dumps(patch)]])
    assert canonical(json.loads(result["before"])) == canonical(document)
    return None if result["after"] is None else json.loads(result["after"])


def told(vector: dict[str, Any]) -> bool:
    return vector["patch"] is not None and "__proto__" not in vector["name"]


async def test_every_patch_of_the_vectors_gives_the_document_after(page: Page) -> None:
    vectors = [vector for vector in VECTORS["vectors"] if told(vector)]
    assert len(vectors) > 25
    cases = [[json.dumps(one["before"]), json.dumps(one["patch"])] for one in vectors]
    results = await page.evaluate(APPLY, cases)
    for vector, result in zip(vectors, results, strict=True):
        assert result["after"] is not None, vector["name"]
        assert canonical(json.loads(result["after"])) == canonical(vector["after"]), vector["name"]
        assert canonical(json.loads(result["before"])) == canonical(vector["before"])


@pytest.mark.parametrize(
    ("document", "operation", "after"),
    [
        ({"l": [1]}, {"op": "add", "path": "/l/-", "value": 2}, {"l": [1, 2]}),
        ({"l": [1]}, {"op": "add", "path": "/l/0", "value": 0}, {"l": [0, 1]}),
        ({"a": 1}, {"op": "add", "path": "", "value": [1]}, [1]),
        ({"a": {"b": 1}}, {"op": "move", "from": "/a/b", "path": "/c"}, {"a": {}, "c": 1}),
        ({"l": [1, 2, 3]}, {"op": "move", "from": "/l/0", "path": "/l/2"}, {"l": [2, 3, 1]}),
        ({"a": [1]}, {"op": "copy", "from": "/a", "path": "/b"}, {"a": [1], "b": [1]}),
        ({"a": {"x": 1, "y": [2]}}, {"op": "test", "path": "/a", "value": {"y": [2], "x": 1}}, ...),
        ({"constructor": 1}, {"op": "remove", "path": "/constructor"}, {}),
    ],
)
async def test_every_operation_does_what_it_says(
    page: Page, document: Any, operation: Any, after: Any
) -> None:
    expected = document if after is ... else after
    assert await apply(page, document, [operation]) == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/none", "value": 1},
        {"op": "replace", "path": "/constructor", "value": 1},
        {"op": "remove", "path": "/none"},
        {"op": "remove", "path": "/l/1"},
        {"op": "remove", "path": ""},
        {"op": "add", "path": "/l/2", "value": 1},
        {"op": "add", "path": "/l/01", "value": 1},
        {"op": "add", "path": "/l/-1", "value": 1},
        {"op": "replace", "path": "/l/-", "value": 1},
        {"op": "add", "path": "/a/b", "value": 1},
        {"op": "add", "path": "a", "value": 1},
        {"op": "add", "path": "/~2", "value": 1},
        {"op": "add", "path": "/b"},
        {"op": "add", "path": "/o/__proto__", "value": 1},
        {"op": "add", "path": "/__proto__/polluted", "value": 1},
        {"op": "move", "from": "/o", "path": "/o/inside"},
        {"op": "test", "path": "/a", "value": "1"},
        {"op": "spin", "path": "/a"},
        {"op": "add"},
        None,
    ],
    ids=json.dumps,
)
async def test_a_patch_that_does_not_fit_changes_nothing(page: Page, operation: Any) -> None:
    document = {"a": 1, "l": [0], "o": {}}
    first = {"op": "replace", "path": "/a", "value": 2}
    assert await apply(page, document, [first, operation]) is None

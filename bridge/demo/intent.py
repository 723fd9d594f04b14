"""What a page wants done with a task, read from its request."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from aiohttp import web
from bson import ObjectId
from bson.errors import InvalidId

from bridge.demo.sample import BOARDS, COLUMNS

LONGEST_TITLE = 60
LONGEST_NAME = 20
LONGEST_ID = 256

_RULES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "title": (
        lambda value: type(value) is str and 0 < len(value.strip()) <= LONGEST_TITLE,
        f"text of 1 to {LONGEST_TITLE} characters",
    ),
    "column": (lambda value: value in COLUMNS, f"one of {', '.join(COLUMNS)}"),
    "rank": (lambda value: type(value) in (int, float) and isfinite(value), "a finite number"),
}


@dataclass(frozen=True, slots=True)
class Intent:
    """``version`` is the one that the page has seen (``If-Match``); 0 of a task to be made."""

    board: str
    key: ObjectId
    version: int
    mark: Mapping[str, str]
    """Who it is, and the page's own id of this write: both stay in the task."""
    fields: Mapping[str, Any]

    @classmethod
    async def read(cls, request: web.Request) -> "Intent":
        """Raises an HTTP error with the reason where the request cannot be understood."""
        anew = request.method == "PUT"
        return cls(
            board=board_of(request),
            key=_key(request),
            version=0 if anew else _version(request),
            mark={
                "by": _header(request, "Demo-Name", LONGEST_NAME),
                "_mutationId": _header(request, "Mutation-Id", LONGEST_ID),
            },
            fields=await _fields(request, whole=anew) if request.method != "DELETE" else {},
        )


def board_of(request: web.Request) -> str:
    """The board in the path; raises HTTPNotFound."""
    board = request.match_info["board"]
    if board not in BOARDS:
        raise refusal(web.HTTPNotFound, f"There is no board {board}; there is {', '.join(BOARDS)}")
    return board


def refusal(kind: type[web.HTTPException], why: str) -> web.HTTPException:
    """An error of that status, to be raised; its body is a problem (RFC 9457)."""
    text = json.dumps({"title": kind().reason, "status": kind.status_code, "detail": why})
    return kind(text=text, content_type="application/problem+json")


def _key(request: web.Request) -> ObjectId:
    try:
        return ObjectId(request.match_info["key"])
    except InvalidId as error:
        raise refusal(web.HTTPBadRequest, "A task's id is 24 hex digits") from error


def _version(request: web.Request) -> int:
    match = re.fullmatch(r'"(\d{1,9})"', request.headers.get("If-Match", ""), re.ASCII)
    if match is None:
        raise refusal(web.HTTPPreconditionRequired, 'If-Match is the version seen, such as "3"')
    return int(match[1])


def _header(request: web.Request, name: str, longest: int) -> str:
    value = request.headers.get(name, "")
    if not 0 < len(value) <= longest:
        raise refusal(web.HTTPBadRequest, f"{name} is text of 1 to {longest} characters")
    return value


async def _fields(request: web.Request, *, whole: bool) -> Mapping[str, Any]:
    # A page of another origin cannot send JSON without asking first.
    if request.content_type != "application/json":
        raise refusal(web.HTTPUnsupportedMediaType, "A task is sent as application/json")
    try:
        body = await request.json()
    except ValueError as error:
        raise refusal(web.HTTPBadRequest, "The body is no JSON") from error
    if not isinstance(body, dict) or not body or not body.keys() <= _RULES.keys():
        raise refusal(web.HTTPBadRequest, f"The body is an object of {', '.join(_RULES)}")
    for name, (fits, rule) in _RULES.items():
        if (whole or name in body) and not fits(body.get(name)):
            raise refusal(web.HTTPBadRequest, f"{name} has to be {rule}")
    return body

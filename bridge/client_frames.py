"""What a WebSocket client asks: subscribe, unsubscribe, auth and ping, read strictly.

``docs/protocol.md``, "WebSocket".
"""

from typing import Annotated, Any, Literal, TypeAlias

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from bridge.errors import BadFrame, RequestError

LONGEST = 64 * 1024
"""Bytes of one frame, its fragments together."""

LONGEST_REF = 64
LARGEST_REF = 2**53

Ref: TypeAlias = int | str | None
"""What the client calls its request by; the answer repeats it."""

_Channel = Annotated[str, Field(min_length=1, max_length=4096)]


class _Frame(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Wanted(_Frame):
    """A channel, and the cursor to go on from."""

    channel: _Channel
    since: str | None = None


def _wanted(value: object) -> object:
    if isinstance(value, str):
        return {"channel": value}
    if not isinstance(value, dict):
        raise ValueError('expected a channel, or {"channel": …, "since": …}')
    return value


class Subscribe(_Frame):
    """Channels to follow; ``snapshot``: with their state, where there is no cursor."""

    type: Literal["subscribe"]
    ref: Ref = None
    channels: Annotated[
        list[Annotated[Wanted, BeforeValidator(_wanted)]], Field(min_length=1, max_length=1000)
    ]
    snapshot: bool = False


class Unsubscribe(_Frame):
    """Channels to follow no longer."""

    type: Literal["unsubscribe"]
    ref: Ref = None
    channels: Annotated[list[_Channel], Field(min_length=1, max_length=1000)]


class Auth(_Frame):
    """A token that counts from now on."""

    type: Literal["auth"]
    ref: Ref = None
    token: Annotated[str, Field(min_length=1)]


class Ping(_Frame):
    """Asks for a sign of life."""

    type: Literal["ping"]
    ref: Ref = None


ClientFrame: TypeAlias = Subscribe | Unsubscribe | Auth | Ping

_EXPECTED = {
    "channels": "a list of 1 to 1,000 channels",
    "channel": "text of 1 to 4,096 characters",
    "since": "a cursor",
    "snapshot": "true or false",
    "token": "a JWT",
}
"""What each field has to be."""

_FRAMES: TypeAdapter[ClientFrame] = TypeAdapter(Annotated[ClientFrame, Field(discriminator="type")])


def read(text: str) -> tuple[Ref, ClientFrame | RequestError]:
    """The frame, or what is wrong with it; with the ``ref`` of the request, where it has one.

    Raises BadFrame where the text is no JSON object: who sends that speaks another protocol.
    """
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadFrame(f"a frame is one JSON object; this is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise BadFrame("a frame is one JSON object, with a type")
    ref = data.get("ref")
    if not _is_ref(ref):
        return None, RequestError(
            f"ref: expected a whole number, or text of up to {LONGEST_REF} characters"
        )
    try:
        return ref, _FRAMES.validate_python(data)
    except ValidationError as error:
        return ref, RequestError(_fault(error))


def _is_ref(ref: Any) -> bool:
    if isinstance(ref, str):
        return len(ref) <= LONGEST_REF
    return ref is None or (type(ref) is int and abs(ref) < LARGEST_REF)


def _fault(error: ValidationError) -> str:
    """The first fault in one line: where, and what is expected there.

    What is missing comes last: it may be what a misspelt field was meant to be.
    """
    faults = error.errors(include_url=False, include_input=False)
    first = min(faults, key=lambda each: each["type"] == "missing")
    if first["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return "type: expected subscribe, unsubscribe, auth or ping"
    path = first["loc"][1:]
    where = ".".join(map(str, path))[:100]
    if first["type"] == "extra_forbidden":
        return f"{where}: unknown field"
    if first["type"] == "value_error":
        return f"{where}: {first['msg'].removeprefix('Value error, ')}"
    name = next(str(part) for part in reversed(path) if part in _EXPECTED or part is path[0])
    return f"{where}: expected {_EXPECTED[name]}"

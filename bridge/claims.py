"""Claims: what a token whose signature fits says, read strictly."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from bridge.errors import ConfigError, Unauthorized
from bridge.templates import Pattern

_LAST_TIME = 2**53


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says."""

    subject: str
    """Empty where it names none."""
    channels: tuple[Pattern, ...]
    expires: float
    """Seconds since 1970."""
    raw: Mapping[str, Any] = field(repr=False, hash=False)
    """Every claim of the token; of a ticket, every claim of the token that bought it."""


def read_claims(raw: Mapping[str, Any], *, now: float, leeway: float) -> Claims:
    """The claims, if the token is good now; clocks may differ by ``leeway`` seconds.

    Raises Unauthorized, which says which claim is wrong.
    """
    expires = read_time(raw, "exp")
    if expires <= now - leeway:
        raise Unauthorized("the token has expired")
    if "nbf" in raw and read_time(raw, "nbf") > now + leeway:
        raise Unauthorized("the token is not valid yet (nbf)")
    subject = raw.get("sub", "")
    if not isinstance(subject, str):
        raise Unauthorized("the token's claim sub is not text")
    return Claims(subject, _patterns(raw.get("channels", [])), expires, MappingProxyType({**raw}))


def read_time(raw: Mapping[str, Any], name: str) -> float:
    """A claim that is a time, in seconds since 1970; raises Unauthorized where it is none."""
    if name not in raw:
        raise Unauthorized(f"the token has no claim {name}")
    value = raw[name]
    # Also refuses NaN, which compares with nothing, and True, which is a whole number to Python.
    if type(value) not in (int, float) or not 0 <= value <= _LAST_TIME:
        raise Unauthorized(f"the token's claim {name} is not a number of seconds")
    return float(value)


def _patterns(value: Any) -> tuple[Pattern, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise Unauthorized("the token's claim channels is not a list of channel patterns")
    try:
        return tuple(map(_pattern, value))
    except ConfigError as error:
        raise Unauthorized("the token's claim channels has a pattern no channel can fit") from error


@lru_cache(maxsize=1024)
def _pattern(text: str) -> Pattern:
    """Kept for a while: to read one takes longer than the rest of a token, and clients return."""
    return Pattern(text)

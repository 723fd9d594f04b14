"""Outbox documents: messages that an application writes itself, in the transaction of its data.

``docs/protocol.md``, "Outbox".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bridge.events import Document

LONGEST = 256
"""Characters of a name, and of a mutation id."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What an outbox document asks to be sent; ``fault`` says why it cannot be."""

    channel: str = ""
    fields: tuple[tuple[str, Any], ...] = ()
    fault: str = ""


def _is_text(value: object) -> bool:
    return type(value) is str and 0 < len(value) <= LONGEST


_RULES: tuple[tuple[str, bool, Callable[[Any], bool], str], ...] = (
    ("channel", True, lambda value: type(value) is str and value != "", "is not text"),
    ("name", True, _is_text, f"is not text of 1 to {LONGEST} characters"),
    ("mutationId", False, _is_text, f"is not text of 1 to {LONGEST} characters"),
    ("headers", False, lambda value: isinstance(value, dict), "is not an object"),
    ("rejected", False, lambda value: type(value) is bool, "is neither true nor false"),
)
"""Field, whether it must be there, what it must be, and what to say where it is not."""


def read(document: Document | None) -> Letter:
    """The letter in a document ``{channel, name, data, mutationId?, headers?, rejected?}``."""
    if document is None:
        return Letter(fault="outbox: the document is not there")
    for field, required, fits, fault in _RULES:
        value = document.get(field)
        if (required or value is not None) and not fits(value):
            return Letter(fault=f"outbox: {field} {fault}")
    optional = ("mutationId", "headers", "rejected")
    fields = [("name", document["name"]), ("data", document.get("data"))]
    fields += [(field, document[field]) for field in optional if document.get(field)]
    return Letter(document["channel"], tuple(fields))

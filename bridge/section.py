"""What the parts of the configuration are made of."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def number(default: float | None, least: float, most: float, unit: str) -> Any:
    """A field that is a number of the unit, between the two."""
    allowed = f"{unit} from {least} to {most}"
    return Field(default=default, ge=least, le=most, description=allowed)


def one_of(default: str, *names: str, **more: Any) -> Any:
    """A field that is one of the names."""
    return Field(default=default, description="one of " + ", ".join(names), **more)


class Section(BaseModel):
    """A part of the configuration: frozen, no unknown keys, no conversions.

    The description of a field says what is allowed there; error lines quote it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

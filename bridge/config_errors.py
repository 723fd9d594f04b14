"""What is wrong with a configuration, one line each: the key, what it was, what is allowed."""

import difflib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

_LONGEST = 80
"""Characters of a wrong value that a line shows."""

_SECRET = ("mongo", "auth.jwt", "auth.ticket_secret")
_OPEN = (
    "mongo.driver",
    *(f"auth.jwt.{key}" for key in ("algorithms", "jwks_url", "issuer", "audience", "leeway")),
)
"""Keys below the secret ones whose values may be shown."""


def one_line(errors: Mapping[str, str]) -> str:
    """The first error (by key) and the number of the others."""
    first, *others = errors.values()
    return f"{first} (and {len(others)} more)" if others else first


def nearest(name: str, known: Iterable[str]) -> str:
    """``', did you mean "…"?'`` where a known name is near, else nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f', did you mean "{close[0]}"?' if close else ""


def environment_errors(
    root: type[BaseModel], prefix: str, variables: Mapping[str, str]
) -> dict[str, str]:
    """What is wrong with the names of variables and with the JSON they hold, by key."""
    errors = {}
    for name, value in variables.items():
        path = name[len(prefix) :].lower().split("__")
        spot = _find(root, path)
        if spot is None:
            close = nearest(name.upper(), _variables(root, prefix, path))
            errors[".".join(path)] = f"{name}: unknown environment variable{close}"
        elif spot.holds_json and not _is_json(value):
            errors[spot.key] = (
                f"{spot.key} (from {name}): not JSON; expected {spot.allowed}, as JSON"
            )
    return errors


def validation_errors(
    root: type[BaseModel], found: Sequence[ErrorDetails], variables: Mapping[str, str]
) -> dict[str, str]:
    """What pydantic found wrong, by key; ``variables`` maps keys to where they were set."""
    errors: dict[str, str] = {}
    # What is missing comes last: it may be what a misspelt key was meant to be.
    for error in sorted(found, key=lambda each: each["type"] == "missing"):
        loc = error["loc"]
        if error["type"] == "extra_forbidden":
            key, line = unknown_key(root, loc)
        else:
            key, line = _wrong_value(root, error, variables)
        errors.setdefault(key, line)
    return errors


def unknown_key(root: type[BaseModel], loc: Sequence[str | int]) -> tuple[str, str]:
    """The line for a key that the model at its place does not have."""
    *above, name = loc
    spot = _find(root, above)
    known = sorted(_fields(spot.model)) if spot and spot.model else []
    key = f"{spot.key}.{name}" if spot and spot.key else ".".join(map(str, loc))
    close = nearest(str(name), known)
    rest = f"{close} Allowed here" if close else "; allowed here"
    return key, f"{key}: unknown key{rest}: {', '.join(known)}"


def _wrong_value(
    root: type[BaseModel], error: ErrorDetails, variables: Mapping[str, str]
) -> tuple[str, str]:
    loc = error["loc"]
    spot = _find(root, loc)
    key = spot.key if spot else ".".join(str(part) for part in loc)
    allowed = spot.allowed if spot else error["msg"]
    if loc[-1] == "[key]":
        expected = "1 to 64 of a-z 0-9 _ -, beginning with a-z or 0-9"
        return key, f"{key}: not a watcher's name; expected {expected}"
    if error["type"] == "missing":
        begun = _origin(variables, lambda known: _covers(key.rpartition(".")[0], known)).replace(
            "from", "its mapping comes from"
        )
        return key, f"{key}: missing{begun}; expected {allowed}"
    if error["type"] == "value_error":
        allowed = str(error["ctx"]["error"])
    origin = _origin(variables, lambda known: _covers(known, key))
    return key, f"{key}{origin}: {_shown(key, error['input'])} is wrong; expected {allowed}"


def _origin(variables: Mapping[str, str], concerns: Callable[[str], bool]) -> str:
    return next((f" (from {name})" for key, name in variables.items() if concerns(key)), "")


def _covers(outer: str, key: str) -> bool:
    return key == outer or key.startswith((f"{outer}.", f"{outer}["))


def _shown(key: str, value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    secret = key == "auth" or any(_covers(outer, key) for outer in _SECRET)
    if secret and not any(_covers(outer, key) for outer in _OPEN):
        return "the value (not shown)"
    if "://" in text and "@" in text:
        return "the value (not shown: it may hold a password)"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


@dataclass(frozen=True, slots=True)
class _Spot:
    """One known key: its field, and the model of the mapping that stands there, if one does."""

    key: str
    field: FieldInfo | None
    model: type[BaseModel] | None

    @property
    def allowed(self) -> str:
        if self.model is not None:
            return f"a mapping with the keys {', '.join(_fields(self.model))}"
        return (self.field and self.field.description) or "another value"

    @property
    def holds_json(self) -> bool:
        origin = get_origin(self.field.annotation) if self.field else None
        return self.model is not None or origin in (tuple, dict)


def _find(root: type[BaseModel], path: Sequence[str | int]) -> _Spot | None:
    """Follows a path of keys; None where there is no such key."""
    spot = _Spot("", None, root)
    for part in path:
        if isinstance(part, int):
            spot = _Spot(f"{spot.key}[{part}]", spot.field, _item_model(spot.field))
            if spot.model is None:
                return spot
            continue
        if part == "[key]":
            return spot
        inner = _step(spot, part)
        if inner is None:
            return None
        spot = inner
    return spot


def _step(spot: _Spot, part: str) -> _Spot | None:
    key = f"{spot.key}.{part}" if spot.key else part
    if spot.model is None:
        # Under a mapping with free names there are models; under a plain value nothing.
        named = _named_model(spot.field)
        return None if named is None else _Spot(key, None, named)
    field = _fields(spot.model).get(part)
    return None if field is None else _Spot(key, field, _model(field.annotation))


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _model(annotation: Any) -> type[BaseModel] | None:
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation if is_model else None


def _named_model(field: FieldInfo | None) -> type[BaseModel] | None:
    if field is None or get_origin(field.annotation) is not dict:
        return None
    return _model(get_args(field.annotation)[-1])


def _item_model(field: FieldInfo | None) -> type[BaseModel] | None:
    """The model of the mappings in a list, if it holds mappings."""
    return _model(get_args(field.annotation)[0]) if field and get_args(field.annotation) else None


def _variables(root: type[BaseModel], prefix: str, path: Sequence[str]) -> list[str]:
    """The names of all variables; those of watchers for the name that the path has."""
    names = []
    for section, field in _fields(root).items():
        names.append(f"{prefix}{section}".upper())
        named = _named_model(field)
        above = f"{section}__{path[1]}" if named and len(path) > 1 else section
        model = named or _model(field.annotation)
        names += _variables(model, f"{prefix}{above}__", ()) if model else []
    return names


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True

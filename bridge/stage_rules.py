"""What a stage of a change stream may do: which operators, and never to what the bridge reads."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

Kept: TypeAlias = tuple[str, ...]
"""Fields of the change that the bridge reads and that no stage may touch."""


def check_stage(stage: Mapping[str, Any], kept: Kept) -> str:
    """Why a stage is refused, or an empty string."""
    if len(stage) != 1:
        return f"has {len(stage)} keys ({', '.join(stage)}); expected one, such as $match"
    operator, body = next(iter(stage.items()))
    if operator not in _CHECKS:
        close = difflib.get_close_matches(operator, _CHECKS, n=1)
        near = f', did you mean "{close[0]}"? Allowed' if close else "; allowed"
        return f"not allowed in a change stream{near}: {', '.join(sorted(_CHECKS))}"
    return _CHECKS[operator](body, kept)


def _free(body: Any, kept: Kept) -> str:
    del kept
    return "" if isinstance(body, dict) else "is not a mapping"


def _set(body: Any, kept: Kept) -> str:
    if not isinstance(body, dict):
        return "is not a mapping"
    touched = next((name for path in body if (name := _root(path)) in kept), None)
    return f"overwrites {touched}, which the bridge needs" if touched else ""


def _unset(body: Any, kept: Kept) -> str:
    paths = [body] if isinstance(body, str) else body
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        return "is neither a field nor a list of fields"
    touched = next((name for path in paths if (name := _root(path)) in kept), None)
    return f"drops {touched}, which the bridge needs" if touched else ""


def _project(body: Any, kept: Kept) -> str:
    if not isinstance(body, dict) or not body:
        return "is not a mapping of fields"
    leaves = dict(_leaves(body))
    # _id may stand on its own side: {_id: 0, a: 1} includes, {_id: 1, a: 0} excludes.
    deciding = [value for path, value in leaves.items() if path != "_id"] or [leaves["_id"]]
    excludes = all(_is_number(value) and not value for value in deciding)
    lost = next((n for n in kept if not _stays(n, leaves, excludes or n == "_id")), None)
    if lost is None:
        return ""
    return f"drops or changes {lost}, which the bridge needs" + (
        "" if excludes else f"; write {lost}: 1"
    )


def _stays(name: str, leaves: Mapping[str, Any], unless_named: bool) -> bool:
    if name in leaves:
        return _is_number(leaves[name]) and bool(leaves[name])
    return unless_named and not any(_root(path) == name for path in leaves)


def _replace_root(body: Any, kept: Kept) -> str:
    if not isinstance(body, dict) or list(body) != ["newRoot"]:
        return "is not a mapping with the one key newRoot"
    return _replace_with(body["newRoot"], kept)


def _replace_with(body: Any, kept: Kept) -> str:
    merged = body.get("$mergeObjects") if isinstance(body, dict) and len(body) == 1 else None
    parts = merged if isinstance(merged, list) else [merged]
    if "$$ROOT" not in parts:
        return f'drops {kept[0]}; expected $mergeObjects with "$$ROOT", or $set'
    last = len(parts) - 1 - parts[::-1].index("$$ROOT")
    return next((why for part in parts[last + 1 :] if (why := _merged(part, kept))), "")


def _merged(part: Any, kept: Kept) -> str:
    if not isinstance(part, dict) or any(name.startswith("$") for name in part):
        return f'may overwrite {kept[0]}; put {part!r} before "$$ROOT"'
    return _set(part, kept)


_CHECKS: dict[str, Callable[[Any, Kept], str]] = {
    "$addFields": _set,
    "$match": _free,
    "$project": _project,
    "$redact": lambda body, kept: "",
    "$replaceRoot": _replace_root,
    "$replaceWith": _replace_with,
    "$set": _set,
    "$unset": _unset,
}


def _root(path: str) -> str:
    return path.partition(".")[0]


def _leaves(body: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted paths and what a projection says of them; nested mappings are paths too."""
    for name, value in body.items():
        nested = isinstance(value, dict) and value and not next(iter(value)).startswith("$")
        if nested:
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)

"""Pipelines: stages by name from a directory, or inline; checked and made ready to be sent.

What is really sent is `prepare`d: the operator's stages, widened so that drops get through,
and a guard at the end against events that MongoDB could not send.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import bson
from bson.errors import BSONError

from bridge.errors import ConfigError, PipelineError
from bridge.extended_json import from_extended_json
from bridge.stage_rules import check_stage
from bridge.yamlfile import read_yaml

Stage: TypeAlias = dict[str, Any]

TOO_LARGE = "_tooLarge"
"""The field that the guard sets on a change whose images it had to reduce."""

GUARD_LIMIT = 15_000_000
"""Bytes of images and update description above which the guard reduces (MongoDB: 16 MB)."""

ENDINGS = ("drop", "rename", "dropDatabase", "invalidate")
"""Operations that every stream must show, or it would end without a word."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_FILE_KEYS = {"description", "stages"}


def load_stages(
    directory: Path,
    entries: Iterable[str | Mapping[str, Any]],
    *,
    watcher: str,
    wide: bool = False,
) -> tuple[Stage, ...]:
    """The checked stages of one watcher: pipelines named from the directory, and inline stages.

    ``wide`` says that the watcher's scope is wider than a collection. Extended JSON wrappers
    have become BSON values. Raises PipelineError, naming the file or the entry and the stage.
    """
    stages: list[Stage] = []
    for index, entry in enumerate(entries):
        where = f"watchers.{watcher}.pipelines[{index}]"
        if isinstance(entry, str):
            where, loaded = _named(directory, entry, where)
        else:
            loaded = [dict(entry)]
        found = [_converted(stage, f"{where}: stage {n}") for n, stage in enumerate(loaded)]
        check_stages(found, where=where, wide=wide)
        stages += found
    return tuple(stages)


def check_stages(stages: Sequence[Stage], *, where: str, wide: bool = False) -> None:
    """Raises PipelineError where a change stream would refuse a stage, or we could not read it."""
    kept = ("_id", "operationType", "documentKey", "clusterTime", *(("ns",) if wide else ()))
    for index, stage in enumerate(stages):
        operator = f" {next(iter(stage))}" if len(stage) == 1 else ""
        label = f"{where}: stage {index}{operator}"
        problem = check_stage(stage, kept)
        if problem:
            raise PipelineError(f"{label}: {problem}")
        try:
            bson.encode({"stage": stage})
        except (BSONError, OverflowError) as error:
            raise PipelineError(f"{label}: not BSON: {error}") from error


def mentions(stages: Iterable[Stage], field: str) -> bool:
    """Whether a stage reads a field of the change (or a part of it) by its name."""
    return any(_reads(stage, field) for stage in stages)


def rewrites(stages: Iterable[Stage], field: str) -> bool:
    """Whether a stage may change a field of the change, or a part of it."""
    return any(_writes(stage, field) for stage in stages)


def prepare(stages: Iterable[Stage], keep: Iterable[str]) -> list[Stage]:
    """What is sent to MongoDB: the stages, every ``$match`` widened, and the guard.

    ``keep`` are the dotted fields of the document that survive when the guard reduces it.
    """
    return [*(_widened(stage) for stage in stages), guard(keep)]


def guard(keep: Iterable[str]) -> Stage:
    """The stage that reduces a change too large for MongoDB to send, and flags it."""
    parts = ("fullDocument", "fullDocumentBeforeChange", "updateDescription")
    size = {"$sum": [{"$bsonSize": f"${part}"} for part in parts]}
    big = {"$gt": [size, GUARD_LIMIT]}
    tree = _tree(["_id", *keep])
    images: Stage = {
        image: {"$cond": [big, _reduced(f"${image}", tree, f"${image}"), f"${image}"]}
        for image in parts[:2]
    }
    flags = {
        "updateDescription": {"$cond": [big, "$$REMOVE", "$updateDescription"]},
        TOO_LARGE: {"$cond": [big, True, "$$REMOVE"]},
    }
    return {"$set": images | flags}


def _named(directory: Path, name: str, where: str) -> tuple[str, list[Any]]:
    file = directory / f"{name}.yaml"
    if not _NAME.fullmatch(name) or not file.is_file():
        raise PipelineError(f'{where}: unknown pipeline "{name}"{_known(directory, name)}')
    label = f"{directory.name}/{file.name}"
    try:
        data = read_yaml(file)
    except ConfigError as error:
        raise PipelineError(str(error)) from error
    if data.keys() != _FILE_KEYS or not isinstance(data["description"], str):
        raise PipelineError(
            f"{label}: its keys are {', '.join(data)}; expected description (text) and stages"
        )
    if not isinstance(data["stages"], list) or not data["stages"]:
        raise PipelineError(f"{label}: stages is empty or no list; expected a list of stages")
    return label, data["stages"]


def _known(directory: Path, name: str) -> str:
    if not directory.is_dir():
        return f"; the directory {directory} does not exist"
    known = sorted(file.stem for file in directory.glob("*.yaml"))
    close = difflib.get_close_matches(name, known, n=1)
    near = f', did you mean "{close[0]}"? In' if close else "; in"
    return f"{near} {directory} there are: {', '.join(known) or 'none'}"


def _converted(stage: object, where: str) -> Stage:
    try:
        converted = from_extended_json(stage)
    except ValueError as error:
        raise PipelineError(f"{where}: {error}") from error
    except RecursionError as error:
        raise PipelineError(f"{where}: nested without end; does an alias hold itself?") from error
    if not isinstance(converted, dict):
        raise PipelineError(f"{where}: {converted!r} is no stage; expected a mapping")
    return converted


def _widened(stage: Stage) -> Stage:
    if "$match" not in stage:
        return stage
    return {"$match": {"$or": [stage["$match"], {"operationType": {"$in": list(ENDINGS)}}]}}


def _tree(fields: Iterable[str]) -> dict[str, Any]:
    """Dotted fields as nested dicts with None at the leaves; a parent includes its parts."""
    tree: dict[str, Any] = {}
    for field in sorted(set(fields)):
        *above, last = field.split(".")
        branch: dict[str, Any] | None = tree
        for name in above:
            branch = branch if branch is None else branch.setdefault(name, {})
        if branch is not None:
            branch[last] = None
    return tree


def _reduced(path: str, tree: dict[str, Any], otherwise: str) -> Stage:
    """An expression: of the object at a path only the fields of the tree, missing ones missing."""
    fields = {
        name: f"{path}.{name}" if inner is None else _reduced(f"{path}.{name}", inner, "$$REMOVE")
        for name, inner in tree.items()
    }
    return {"$cond": [{"$eq": [{"$type": path}, "object"]}, fields, otherwise]}


def _reads(stage: Stage, field: str) -> bool:
    names = _match_names(stage["$match"]) if "$match" in stage else iter(())
    wanted = re.compile(rf"(\$|\$\$ROOT\.|\$\$CURRENT\.){re.escape(field)}(\..*)?", re.DOTALL)
    return any(name == field or name.startswith(f"{field}.") for name in names) or any(
        wanted.fullmatch(text) for text in _texts(stage)
    )


def _writes(stage: Stage, field: str) -> bool:
    ((operator, body),) = stage.items()
    if operator == "$match":
        return False
    names = [body] if isinstance(body, str) else body
    if operator in ("$set", "$addFields", "$unset", "$project"):
        return any(name == field or name.startswith(f"{field}.") for name in names)
    return True


def _match_names(query: object) -> Iterable[str]:
    """The fields that a query compares, at any depth of ``$and``, ``$or`` and ``$nor``."""
    if not isinstance(query, dict):
        return
    for name, value in query.items():
        if name in ("$and", "$or", "$nor") and isinstance(value, list):
            for part in value:
                yield from _match_names(part)
        elif not name.startswith("$"):
            yield name


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)

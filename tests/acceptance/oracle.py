"""What the bridge must have sent, told from a change stream of our own."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.acceptance.traffic import Database, bare, timestamp

Document: TypeAlias = Mapping[str, Any]
OPS = {"insert", "update", "replace", "delete"}


@dataclass(frozen=True, slots=True)
class Due:
    """One message that a channel is due."""

    position: str
    op: str


async def changes_since(database: Database, since: str, *, last: int) -> list[dict[str, Any]]:
    """Every change of the database after a bare position, up to the ``last``-th end mark."""
    changes: list[dict[str, Any]] = []
    async with await database.watch(
        full_document="whenAvailable",
        full_document_before_change="whenAvailable",
        start_at_operation_time=timestamp(since),
    ) as stream:
        async for change in stream:
            if bare(change["clusterTime"]) > since:
                changes.append(change)
                last -= str(change["documentKey"]["_id"]).startswith("end:")
            if not last:
                return changes
    raise AssertionError("the change stream ended")


def due_by_template(
    changes: list[dict[str, Any]], route: Callable[[Any], str | None]
) -> dict[str, list[Due]]:
    """Channel -> messages, for a watcher whose channel is a template over the document."""
    due: dict[str, list[Due]] = defaultdict(list)
    for prefix, change in _numbered(changes):
        for index, (channel, op) in enumerate(_moves(change, route)):
            due[channel].append(Due(f"{prefix}{index:x}", op))
    return due


def _moves(change: Document, route: Callable[[Any], str | None]) -> list[tuple[str, str]]:
    op = change["operationType"]
    before = route(change.get("fullDocumentBeforeChange"))
    after = route(change.get("fullDocument"))
    if op == "insert":
        return [(after, op)] if after else []
    if op == "delete" or before == after:
        return [(before, op)] if before else []
    return [(name, what) for name, what in ((before, "leave"), (after, "enter")) if name]


def due_by_pipeline(
    changes: list[dict[str, Any]], channels: Callable[[Document], list[str]]
) -> dict[str, list[Due]]:
    """Channel -> messages, for a watcher whose pipeline sets the channels of a change."""
    due: dict[str, list[Due]] = defaultdict(list)
    for prefix, change in _numbered(changes):
        for index, channel in enumerate(sorted(channels(change))):
            due[channel].append(Due(f"{prefix}{index:x}", change["operationType"]))
    return due


def _numbered(changes: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each change with its cluster time and ordinal: a position but for its last digit."""
    seen: Counter[str] = Counter()
    for change in changes:
        time = bare(change["clusterTime"])
        seen[time] += 1
        if change["operationType"] in OPS:
            yield f"{time}{seen[time]:05x}", change

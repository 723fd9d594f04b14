"""Seeded random writes of every kind, against documents with awkward keys and values."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from bson import Binary, Decimal128, Int64, ObjectId
from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateOne

Write: TypeAlias = InsertOne[dict[str, Any]] | UpdateOne | ReplaceOne[dict[str, Any]] | DeleteOne

ROOMS = ("one", "zwei ü", "a:b*", "x/~.y%")
"""Values of the routing field that need encoding in a channel's name, and some that do not."""
NOWHERE = (None, 7, "", ["one"])
"""Values that are no string, so that the document is on no channel."""
TEXTS = (
    "",
    "plain",
    "grüße",
    "日本語",
    "a.b",
    "$cash",
    "~0/~1",
    "\u2028 \U0001f600 \"'\\",
    "\t\n\x01",
)
PATH_KEYS = ("plain", "ümläut", "日本", "til~de", "sl/ash", "~1", "a~0b", "0", "7", "-", " ")
"""Keys that a dotted path can reach."""
WHOLE_KEYS = (*PATH_KEYS, "", "a.b", ".", "$cash", "0.1")
"""Keys that can only be written as part of a document, or by $setField."""
FIELDS = ("dot.ted", "$dollar", "0", "a.0.b", "~/")


class Workload:
    """An endless sequence of writes for one collection, the same for the same seed.

    Documents keep the types of their fields, so every write is one that MongoDB accepts.
    """

    def __init__(self, *, seed: int) -> None:
        self._random = random.Random(seed)
        self._ids: list[Any] = []
        self._next = seed * 100_000
        self._kinds: tuple[Callable[[], Write], ...] = (
            self._set_nested,
            self._set_element,
            self._unset,
            self._increment,
            self._push,
            self._push_at,
            self._pull,
            self._pop,
            self._positional,
            self._all_positional,
            self._filtered,
            self._computed,
            self._slice,
            self._set_field,
            self._unset_field,
            self._replace,
            self._move,
            self._move_and_change,
        )

    def writes(self) -> Iterator[Write]:
        """Inserts first, then everything mixed."""
        for _ in range(40):
            yield self._insert()
        while True:
            share = self._random.random()
            if share < 0.04 or len(self._ids) < 20:
                yield self._insert()
            elif share < 0.07:
                yield self._delete()
            else:
                yield self._random.choice(self._kinds)()

    def _some(self, **more: Any) -> dict[str, Any]:
        return {"_id": self._random.choice(self._ids), **more}

    def _update(self, change: Any, **more: Any) -> Write:
        return UpdateOne(self._some(), change, **more)

    def _insert(self) -> Write:
        self._next += 1
        kinds: tuple[Any, ...] = (
            ObjectId(f"{self._next:024x}"),
            f"ключ.{self._next}/~:%",
            Int64(self._next),
            {"tenant": "ä.b", "n": self._next},
        )
        key = kinds[self._next % len(kinds)]
        self._ids.append(key)
        return InsertOne({"_id": key, **self._document()})

    def _delete(self) -> Write:
        return DeleteOne({"_id": self._ids.pop(self._random.randrange(len(self._ids)))})

    def _document(self) -> dict[str, Any]:
        pick = self._random
        return {
            "room": self._room(),
            "n": pick.randrange(100),
            "counts": {"a": 1, "3": 0},
            "tags": [pick.choice(TEXTS) for _ in range(pick.randrange(6))],
            "items": [{"k": pick.randrange(6), "v": self._value()} for _ in range(4)],
            "deep": {
                "a": {"b": {"c": self._value()}},
                "rows": [[1, 2, 3], [self._value()]],
                "by": {pick.choice(WHOLE_KEYS): self._value() for _ in range(5)},
            },
            pick.choice(FIELDS[2:]): self._value(),
            "free": self._value(),
        }

    def _room(self) -> Any:
        return self._random.choice(ROOMS if self._random.random() < 0.9 else NOWHERE)

    def _value(self, depth: int = 0) -> Any:
        pick = self._random
        simple: tuple[Any, ...] = (
            None,
            pick.random() < 0.5,
            pick.randrange(-5, 5),
            Int64(2**60 + pick.randrange(9)),
            pick.choice((0.5, 1.0, 1e300, float("nan"), float("-inf"))),
            pick.choice(TEXTS),
            datetime(2026, 2, 28, tzinfo=UTC) + timedelta(milliseconds=pick.randrange(10**9)),
            ObjectId(f"{pick.randrange(2**64):024x}"),
            Binary(pick.randbytes(5)),
            Decimal128("1.50"),
        )
        if depth < 2 and pick.random() < 0.3:
            inner = [self._value(depth + 1) for _ in range(pick.randrange(4))]
            return inner if pick.random() < 0.5 else dict(zip(WHOLE_KEYS[-4:], inner, strict=False))
        return pick.choice(simple)

    def _set_nested(self) -> Write:
        path = f"deep.by.{self._random.choice(PATH_KEYS)}"
        return self._update({"$set": {path: self._value(), "deep.a.b.c": self._value()}})

    def _set_element(self) -> Write:
        row, column = self._random.randrange(2), self._random.randrange(6)
        place = self._random.randrange(8)
        return self._update(
            {"$set": {f"deep.rows.{row}.{column}": self._value(), f"tags.{place}": "set"}}
        )

    def _unset(self) -> Write:
        names = ("free", "tags.1", f"deep.by.{self._random.choice(PATH_KEYS)}", "0", "deep.a.b.c")
        return self._update({"$unset": dict.fromkeys(self._random.sample(names, 2), "")})

    def _increment(self) -> Write:
        return self._update({"$inc": {"n": 1, f"counts.{self._random.randrange(5)}": 2}})

    def _push(self) -> Write:
        return self._update({"$push": {"tags": self._random.choice(TEXTS)}})

    def _push_at(self) -> Write:
        each = [self._random.choice(TEXTS) for _ in range(self._random.randrange(3))]
        place, size = self._random.randrange(-2, 4), self._random.choice((-8, 8, 5))
        return self._update(
            {"$push": {"tags": {"$each": each, "$position": place, "$slice": size}}}
        )

    def _pull(self) -> Write:
        if self._random.random() < 0.5:
            return self._update({"$pull": {"tags": {"$in": ["plain", "set", None]}}})
        return self._update({"$pull": {"items": {"k": self._random.randrange(6)}}})

    def _pop(self) -> Write:
        end = self._random.choice((1, -1))
        return self._update({"$pop": {self._random.choice(("tags", "deep.rows.0", "items")): end}})

    def _positional(self) -> Write:
        which = self._some(**{"items.k": self._random.randrange(6)})
        return UpdateOne(which, {"$set": {"items.$.v": self._value()}})

    def _all_positional(self) -> Write:
        return self._update({"$inc": {"items.$[].k": 1}})

    def _filtered(self) -> Write:
        change = {"$set": {"items.$[low].k": self._random.randrange(6), "items.$[low].new": "x"}}
        return self._update(change, array_filters=[{"low.k": {"$gte": 4}}])

    def _computed(self) -> Write:
        stages: list[dict[str, Any]] = [
            {"$set": {"n": {"$add": ["$n", 1]}, "deep.a.copy": "$tags", "free": {"$literal": [1]}}},
            {"$unset": self._random.choice(["deep.by.plain", "0", "deep.a.copy"])},
        ]
        return self._update(stages)

    def _slice(self) -> Write:
        size = self._random.choice((1, 2, 3, -2))
        stages: list[dict[str, Any]] = [
            {"$set": {"tags": {"$slice": ["$tags", size]}, "items": {"$slice": ["$items", 6]}}},
        ]
        if self._random.random() < 0.5:
            stages.append({"$set": {"items": {"$concatArrays": ["$items", [{"k": 1, "v": "$n"}]]}}})
        return self._update(stages)

    def _set_field(self) -> Write:
        value = {"$literal": self._value()}
        by = _set_field(self._random.choice(WHOLE_KEYS[-4:]), "$deep.by", value)
        root = _set_field(self._random.choice(FIELDS), "$$ROOT", value)
        return self._update(
            self._random.choice(
                ([{"$set": {"deep.by": by}}], [{"$replaceWith": root}], [{"$set": {"n": 1}}])
            )
        )

    def _unset_field(self) -> Write:
        gone = _set_field(self._random.choice(FIELDS), "$$ROOT", "$$REMOVE")
        return self._update([{"$replaceWith": gone}])

    def _replace(self) -> Write:
        return ReplaceOne(self._some(), self._document())

    def _move(self) -> Write:
        if self._random.random() < 0.1:
            return self._update({"$unset": {"room": ""}})
        return self._update({"$set": {"room": self._room()}})

    def _move_and_change(self) -> Write:
        return self._update(
            {
                "$set": {"room": self._room(), "deep.a.b.c": self._value()},
                "$push": {"tags": "moved"},
            }
        )


def _set_field(name: str, target: str, value: Any) -> dict[str, Any]:
    return {"$setField": {"field": {"$literal": name}, "input": target, "value": value}}

"""Random documents, and random updates that describe themselves as MongoDB 6.0 does."""

from collections.abc import Iterator
from copy import deepcopy
from random import Random
from typing import Any

from bridge.delta import Delta, same

PLAIN_KEYS = ("a", "b", "c", "ü", "~", "/", "~1", "-", "k/l~m")
NASTY_KEYS = (*PLAIN_KEYS, "0", "1", "2", "01", "", ".", "a.b", "a.0", "a.", "$a", "__proto__")
SCALARS = (None, True, False, 0, 1, 2, 1.0, 0.5, "", "1", "é🚀")


def a_document(random: Random, keys: tuple[str, ...], depth: int = 4) -> dict[str, Any]:
    chosen = random.sample(keys, random.randint(1, min(4, len(keys))))
    return {key: _a_value(random, keys, depth - 1) for key in chosen}


def _a_value(random: Random, keys: tuple[str, ...], depth: int) -> Any:
    kind = random.random() if depth else 1
    if kind < 0.3:
        return a_document(random, keys, depth)
    if kind < 0.6:
        return [_a_value(random, keys, depth - 1) for _ in range(random.randint(0, 4))]
    return random.choice(SCALARS)


def applied(delta: Delta, before: dict[str, Any]) -> dict[str, Any]:
    """What the protocol says a client makes of a delta: truncate, unset, set."""
    document = deepcopy(before)
    for path, size in delta.truncate:
        del _reached(document, path)[size:]
    for path in delta.unset:
        holder = _reached(document, path[:-1])
        if isinstance(holder, list):
            holder[int(path[-1])] = None
        else:
            del holder[path[-1]]
    for path, value in delta.set:
        holder = _reached(document, path[:-1])
        if isinstance(holder, list):
            holder.extend([None] * (int(path[-1]) + 1 - len(holder)))
            holder[int(path[-1])] = deepcopy(value)
        else:
            holder[path[-1]] = deepcopy(value)
    return document


def _reached(place: Any, path: tuple[str, ...]) -> Any:
    for segment in path:
        place = place[int(segment)] if isinstance(place, list) else place[segment]
    return place


class Update:
    """An update that changes a document and describes itself as MongoDB 6.0 does."""

    def __init__(self, before: dict[str, Any], random: Random) -> None:
        self.after = deepcopy(before)
        self.description: dict[str, Any] = {
            "updatedFields": {},
            "removedFields": [],
            "truncatedArrays": [],
        }
        self._random = random
        self._touched: list[tuple[str, ...]] = []

    def step(self, keys: tuple[str, ...]) -> None:
        """Changes one object or array, unless an earlier step changed it already."""
        path, holder = self._random.choice(list(_containers(self.after)))
        if any(path[: len(done)] == done for done in self._touched):
            return
        if isinstance(holder, dict):
            self._change_object(path, holder, self._random.choice(keys))
        else:
            self._change_array(path, holder)

    def _change_object(self, path: tuple[str, ...], holder: dict[str, Any], key: str) -> None:
        if not self._free((*path, key)):
            return
        if key in holder and self._random.random() < 0.5:
            del holder[key]
            self.description["removedFields"].append(".".join((*path, key)))
        else:
            self._set((*path, key), holder, key)

    def _change_array(self, path: tuple[str, ...], holder: list[Any]) -> None:
        act = self._random.choice(("set", "push", "pad", "slice", "unset"))
        if act == "slice" and holder and self._free(path):
            size = self._random.randrange(len(holder))
            del holder[size:]
            self.description["truncatedArrays"].append({"field": ".".join(path), "newSize": size})
        elif act in ("push", "pad") and self._free(path):
            holder.extend([None] * (2 if act == "pad" else 0))
            at = len(holder)
            holder.append(None)
            self._set((*path, str(at)), holder, at, new=True)
        elif act in ("set", "unset") and holder:
            at = self._random.randrange(len(holder))
            if self._free((*path, str(at))):
                self._set((*path, str(at)), holder, at, null=act == "unset")

    def _free(self, path: tuple[str, ...]) -> bool:
        if any(path == done[: len(path)] or done == path[: len(done)] for done in self._touched):
            return False
        self._touched.append(path)
        return True

    def _set(
        self, path: tuple[str, ...], holder: Any, at: Any, *, new: bool = False, null: bool = False
    ) -> None:
        value = None if null else _a_value(self._random, NASTY_KEYS, 2)
        present = new or isinstance(holder, list) or at in holder
        if present and not new and same(holder[at], value):
            return  # MongoDB does not mention what did not change
        holder[at] = value
        self.description["updatedFields"][".".join(path)] = deepcopy(value)


def _containers(place: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, place
    members = place.items() if isinstance(place, dict) else enumerate(place)
    for key, value in members:
        if isinstance(value, dict | list):
            yield from _containers(value, (*path, str(key)))


def updated(before: dict[str, Any], random: Random, keys: tuple[str, ...]) -> Update:
    update = Update(before, random)
    for _ in range(random.randint(1, 4)):
        update.step(keys)
    return update

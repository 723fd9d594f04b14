"""What a WebSocket client must be told, whatever it asks: a model that reads its frames.

It knows every message and what each token sees of it. From the frames alone it checks that each
channel goes on from its cursor without a gap or a repetition, that no cursor claims more than was
given, that ``live`` comes once, and that nothing is seen that the token hides.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from copy import deepcopy
from random import Random
from types import SimpleNamespace
from typing import Any, TypeAlias

import jsonpatch

from bridge.delta import Delta
from bridge.events import END_OF_INSTANT, Change, Namespace, cluster_time
from tests.fakes import FakeSource
from tests.random_updates import applied
from tests.rig import NOW, ORDERS, TODOS

PLACES = ("a", "b", "c", "d")
TAGS = {"todos": TODOS, "orders": ORDERS}
NS = Namespace("app", "things")
Doc: TypeAlias = dict[str, Any]
Told: TypeAlias = tuple[str, str, str, Doc | None, Doc | None]
"""Position, operation, key, and the document before and after."""


def visible(document: Doc | None, who: str) -> Doc | None:
    if document is None or who == "boss":
        return document
    seen = {key: value for key, value in document.items() if key != "h"}
    if "items" in seen:
        seen["items"] = [{"v": item["v"]} for item in seen["items"]]
    return seen


class Truth:
    """The documents of one watcher over time, and every message about them."""

    def __init__(self, name: str, source: FakeSource) -> None:
        self.name = name
        self.source = source
        self.documents: dict[str, Doc] = {}
        self.messages: dict[str, list[Told]] = defaultdict(list)
        self.increment = 1

    def change(self, rng: Random) -> None:
        self.increment += 1
        time = cluster_time(NOW, self.increment)
        key = rng.choice("klmnop")
        before = self.documents.get(key)
        after = None if before and rng.random() < 0.15 else self._next(rng, key, before)
        op = "insert" if not before else "update" if after else "delete"
        if after:
            self.documents[key] = after
        else:
            del self.documents[key]
        self._tell(time, op, key, before, after)
        made = Change(time, 1, op, NS, key, deepcopy(after), deepcopy(before), None, "w")
        self.source.emit(made)

    def _next(self, rng: Random, key: str, before: Doc | None) -> Doc:
        after = deepcopy(before) or {
            "_id": key,
            "workspace": rng.choice(PLACES),
            "v": 0,
            "h": "hidden0",
            "pad": "x" * 200,
            "items": [{"v": 0, "h": "hidden0"}],
        }
        for what in rng.sample(["v", "h", "item", "grow", "move"], rng.randint(1, 2)):
            number = rng.randrange(1000)
            if what == "v":
                after["v"] = number
            elif what == "h":
                after["h"] = f"hidden{number}"
            elif what == "item":
                after["items"][0][rng.choice("vh")] = f"hidden{number}"
                after["items"][0]["v"] = str(after["items"][0]["v"]).removeprefix("hidden")
            elif what == "grow":
                after["items"].insert(0, {"v": number, "h": f"hidden{number}"})
                del after["items"][3:]
            elif rng.random() < 0.5:
                after["workspace"] = rng.choice(PLACES)
        return after

    def _tell(self, time: str, op: str, key: str, before: Doc | None, after: Doc | None) -> None:
        was, now = (before or {}).get("workspace"), (after or {}).get("workspace")
        if before and after and was != now:
            self._add(was, (f"{time}000010", "leave", key, before, None))
            self._add(now, (f"{time}000011", "enter", key, None, after))
        else:
            self._add(now or was, (f"{time}000010", op, key, before, after))

    def _add(self, place: Any, message: Told) -> None:
        self.messages[f"{self.name}:{place}"].append(deepcopy(message))

    def seen(self, channel: str, who: str) -> Iterator[tuple[str, str, str, Doc | None]]:
        for where, op, key, was, now in self.messages[channel]:
            blind = op == "update" and was != now and visible(was, who) == visible(now, who)
            if not blind:
                yield where, op, key, visible(now, who)

    def state(self, channel: str, who: str, until: str) -> dict[str, Doc]:
        state: dict[str, Doc] = {}
        for where, _, key, _, now in self.messages[channel]:
            if where <= until:
                state.pop(key, None)
                if now is not None:
                    state[key] = visible(now, who) or {}
        return state

    async def read(self, channels: Sequence[str]) -> AsyncGenerator[Any, None]:
        """As the state of a watcher is read."""
        where = cluster_time(NOW, self.increment) + END_OF_INSTANT
        states = {channel: self.state(channel, "boss", where) for channel in channels}
        for channel, state in states.items():
            documents = [(NS, "where", {"_id": "where", "at": where}, "")]
            documents += [(NS, key, document, "") for key, document in state.items()]
            await asyncio.sleep(0.002)
            half = len(documents) // 2
            for part, more in ((documents[:half], True), (documents[half:], False)):
                yield SimpleNamespace(channel=channel, position=where, documents=part, more=more)
                await asyncio.sleep(0.002)


class Followed:
    """One channel as the client has it."""

    def __init__(self, ref: int, since: str | None) -> None:
        self.ref = ref
        self.start = since
        self.last = since or ""
        self.reached = since or ""
        self.got: dict[str, str] = {}
        self.state: dict[str, Doc] | None = None
        self.snapshot: dict[str, Doc] = {}
        self.blind = False  # another token: what follows needs the state first


class Model:
    """Reads frames, and raises AssertionError where one cannot be right."""

    def __init__(self, truths: dict[str, Truth], who: str, *, conflate: bool) -> None:
        self.truths = truths
        self.who = who
        self.conflate = conflate
        self.followed: dict[str, Followed] = {}
        self.asked: dict[int, dict[str, str | None]] = {}
        self.lives: set[int] = set()
        self.waiting: dict[int, tuple[str, Any]] = {}
        self.left: dict[str, tuple[str, str]] = {}
        """Cursors of channels that were given up."""
        self.log: list[Any] = []

    def truth(self, channel: str) -> Truth:
        return self.truths[channel.partition(":")[0]]

    def hear(self, frame: dict[str, Any]) -> None:
        self.log.append(frame)
        getattr(self, f"_{frame['type']}")(frame)

    def _ready(self, frame: dict[str, Any]) -> None:
        self.log.append(self.asked[frame["ref"]])
        for channel, since in self.asked.pop(frame["ref"]).items():
            assert channel not in self.followed
            self.followed[channel] = Followed(frame["ref"], since)

    def _unsubscribed(self, frame: dict[str, Any]) -> None:
        given_up = self.waiting.pop(frame["ref"])[1]
        self.log.append(given_up)
        self.left |= {name: at for name, at in self.cursors().items() if name in given_up}
        for channel in given_up:
            self.followed.pop(channel, None)

    def _authenticated(self, frame: dict[str, Any]) -> None:
        who = self.waiting.pop(frame["ref"])[1]
        for mine in self.followed.values():
            mine.blind = mine.blind or who != self.who
        self.who = who

    def _pong(self, frame: dict[str, Any]) -> None:
        pass

    def _error(self, frame: dict[str, Any]) -> None:
        if "channels" in frame:
            for channel in frame["channels"]:
                del self.followed[channel]
        else:
            assert frame["ref"] in self.asked, frame
            del self.asked[frame["ref"]]

    def _snapshot(self, frame: dict[str, Any]) -> None:
        channel = frame["channel"]
        mine = self.followed[channel]
        assert (mine.ref, mine.got) == (frame["ref"], {})
        for entry in frame["documents"]:
            mine.snapshot[entry["key"]] = entry["document"]
        if not frame["more"]:
            mine.start = mine.reached = mine.last = mine.snapshot.pop("where")["at"]
            mine.state = mine.snapshot
            assert mine.state == self.truth(channel).state(channel, self.who, mine.last)

    def _resync(self, frame: dict[str, Any]) -> None:
        channel = frame["channel"]
        mine, truth = self.followed[channel], self.truth(channel)
        parts = dict(part.split("-") for part in frame["cursor"].split("."))
        where = parts[TAGS[truth.name]]
        assert where >= mine.last, ("went back", frame)
        mine.blind = False
        mine.start = mine.reached = mine.last = where
        # Of a position that the client itself came with from the future nothing is known yet.
        passed = where <= cluster_time(NOW, truth.increment) + END_OF_INSTANT
        mine.state = truth.state(channel, self.who, where) if passed else None

    def _batch(self, frame: dict[str, Any]) -> None:
        for message in frame["messages"]:
            assert message["channel"] == frame["channel"]
            self._change(message)

    def _change(self, message: dict[str, Any]) -> None:
        channel = message["channel"]
        assert channel in self.followed, ("not followed", message)
        mine, truth = self.followed[channel], self.truth(channel)
        assert not mine.blind, ("what was seen before does not go with it", message)
        where = message["id"].partition("-")[2]
        assert where > mine.last, ("repeated", message, mine.last)
        told = {
            position: (op, key, now) for position, op, key, now in truth.seen(channel, self.who)
        }
        assert where in told, ("nothing to see", message)
        op, key, now = told[where]
        assert (message["op"], message["key"]) == (op, key)
        self._check(channel, until=where, missing={where})
        if mine.state is None:
            mine.start = mine.start or f"{int(where, 16) - 1:022x}"
            before = min(mine.start, f"{int(where, 16) - 1:022x}")
            mine.state = truth.state(channel, self.who, max(before, mine.last))
        self._apply(mine.state, key, message)
        assert mine.state.get(key) == now, (message, mine.state.get(key), now)
        mine.last = where
        mine.got[where] = key

    def _apply(self, state: dict[str, Doc], key: str, message: dict[str, Any]) -> None:
        mode = message.get("mode")
        if mode is None:
            state.pop(key, None)
        elif mode == "full":
            state[key] = message["document"]
        elif mode == "patch":
            state[key] = jsonpatch.apply_patch(state[key], message["patch"])
        else:
            told = message["delta"]
            sets = tuple((tuple(path), value) for path, value in told.get("set", ()))
            unsets = tuple(map(tuple, told.get("unset", ())))
            state[key] = applied(Delta(sets, unsets), state[key])

    def _check(self, channel: str, *, until: str, missing: Collection[str] = ()) -> None:
        """That everything up to a position has been given."""
        mine = self.followed[channel]
        if mine.start is None or mine.blind:
            return
        told = list(self.truth(channel).seen(channel, self.who))
        newest = {key: where for where, _, key, _ in told}
        for where, _, key, _ in told:
            if mine.start < where <= until and where not in mine.got and where not in missing:
                excused = self.conflate and newest[key] > where
                assert excused, (
                    "lost",
                    channel,
                    where,
                    "claimed",
                    until,
                    mine.start,
                    mine.last,
                    mine.got,
                )

    def _claim(self, cursor: str) -> None:
        parts = dict(part.split("-") for part in cursor.split(".")) if cursor else {}
        for channel, mine in self.followed.items():
            where = parts.get(TAGS[self.truth(channel).name])
            if where is None:
                continue
            if mine.start is None:  # from now on, whenever that was
                assert mine.blind or not self.stateful(mine.ref), (
                    "claims a state not given",
                    channel,
                    where,
                )
            self._check(channel, until=where)
            mine.reached = max(mine.reached, mine.last, where)

    def stateful(self, ref: int) -> bool:
        return ref % 2 == 1

    def _heartbeat(self, frame: dict[str, Any]) -> None:
        self._claim(frame["cursor"])

    def _live(self, frame: dict[str, Any]) -> None:
        assert frame["ref"] not in self.lives, ("live twice", frame)
        self.lives.add(frame["ref"])
        self._claim(frame["cursor"])
        for channel, mine in self.followed.items():
            if mine.start is None and mine.ref == frame["ref"]:
                now = cluster_time(NOW, self.truth(channel).increment) + END_OF_INSTANT
                mine.start = now  # what has happened until here may have been before

    def cursors(self) -> dict[str, tuple[str, str]]:
        return {
            channel: (f"{TAGS[self.truth(channel).name]}-{max(mine.reached, mine.last)}", self.who)
            for channel, mine in self.followed.items()
            if (mine.reached or mine.last) and not mine.blind
        }

    @property
    def replayed(self) -> bool:
        """Whether everything that is followed is live."""
        return not self.asked and all(mine.ref in self.lives for mine in self.followed.values())

    @property
    def told(self) -> int:
        """How many frames have said something new."""
        return sum(
            "type" in each and each["type"] not in ("heartbeat", "pong") for each in self.log
        )

    def finish(self) -> None:
        for channel, mine in self.followed.items():
            truth = self.truth(channel)
            assert mine.ref in self.lives, ("never live", channel, mine.ref)
            self._check(channel, until="f" * 22)
            if mine.state is not None:
                assert mine.state == truth.state(channel, self.who, "f" * 22), channel

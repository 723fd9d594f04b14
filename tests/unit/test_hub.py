import asyncio
from typing import Any

import orjson
import pytest

from bridge.audience import Interest
from bridge.events import Message, Place
from bridge.feed import Feed
from bridge.history import History
from bridge.hub import Hub
from bridge.sse_wire import CHUNKED, PLAIN
from tests.fakes import FakeListener, at, events_in, message, resync, start_of

TODOS, ORDERS, THIRD = "1f3a9c02", "77777777", "00000003"


def feed(tag: str = TODOS, *, started: bool = True, **bounds: Any) -> Feed:
    limits = {"window": 1 << 30, "max_messages": 1 << 30, "max_bytes": 1 << 40, **bounds}
    made = Feed(name=tag, tag=tag, history=History(floor=start_of(1), **limits))
    made.started = started
    return made


def follow(*feeds: tuple[Feed, tuple[str, ...]]) -> Interest:
    return Interest(feeds, PLAIN)


def join(hub: Hub, interest: Interest, place: Place | None = None) -> FakeListener:
    listener = FakeListener()
    hub.join(listener, interest, place or level(interest))
    return listener


def level(interest: Interest) -> Place:
    return Place({feed.tag: feed.flushed for feed, _ in interest.feeds if feed.started})


def publish(hub: Hub, to: Feed, *run: Message) -> None:
    hub.publish(to, run, run[-1].position)


def shown(listener: FakeListener) -> list[str]:
    """What the messages say that they are."""
    return [orjson.loads(event.data)["id"] for event in listener.events]


@pytest.fixture
async def hub() -> Hub:
    return Hub(flush_interval=0.005, max_write=1 << 20)


async def test_listeners_of_one_audience_are_given_the_very_same_bytes(hub: Hub) -> None:
    todos = feed()
    one, two = (join(hub, follow((todos, ("a",)))) for _ in range(2))
    publish(hub, todos, message(at(2), "a"), message(at(3), "b"))
    hub.flush()
    assert shown(one) == [at(2)]
    assert one.data[0] is two.data[0]
    assert hub.delivered == 2


async def test_audiences_of_one_watcher_share_what_they_have_in_common(hub: Hub) -> None:
    todos = feed()
    one, both = join(hub, follow((todos, ("a",)))), join(hub, follow((todos, ("a", "b"))))
    publish(hub, todos, message(at(2), "a"), message(at(3), "b"))
    hub.flush()
    assert both.data[0].startswith(one.data[0])
    assert shown(both) == [at(2), at(3)]


async def test_the_wire_form_is_the_listeners_own(hub: Hub) -> None:
    todos = feed()
    plain = join(hub, Interest(((todos, ("a",)),), PLAIN))
    chunked = join(hub, Interest(((todos, ("a",)),), CHUNKED))
    publish(hub, todos, message(at(2), "a"))
    hub.flush()
    assert chunked.data[0] == b"%x\r\n%b\r\n" % (len(plain.data[0]), plain.data[0])


async def test_who_is_ahead_is_given_nothing_until_the_watcher_has_passed(hub: Hub) -> None:
    todos = feed()
    interest = follow((todos, ("a",)))
    ahead, usual = join(hub, interest, Place({TODOS: at(3)})), join(hub, interest)
    publish(hub, todos, message(at(2), "a"), message(at(3), "a"))
    hub.flush()
    publish(hub, todos, message(at(4), "a"))
    hub.flush()
    assert (shown(ahead), shown(usual)) == ([at(4)], [at(2), at(3), at(4)])
    assert ahead.data[-1] is usual.data[-1], "they have become one audience"
    assert len(hub._audiences) == 1


async def test_time_alone_passes_those_who_are_ahead(hub: Hub) -> None:
    todos = feed()
    interest = follow((todos, ("a",)))
    join(hub, interest, Place({TODOS: at(3)}))
    join(hub, interest)
    assert len(hub._audiences) == 2
    hub.publish(todos, [], start_of(9))
    assert len(hub._audiences) == 1


async def test_a_full_listener_falls_behind_with_the_place_before_the_flush(hub: Hub) -> None:
    todos, orders = feed(), feed(ORDERS)
    interest = follow((todos, ("a",)), (orders, ("o",)))
    full, other = join(hub, interest), join(hub, interest)
    publish(hub, todos, message(at(2), "a"))
    hub.flush()
    before = level(interest)
    full.full = True
    publish(hub, todos, message(at(3), "a"))
    publish(hub, orders, message(at(3), "o"))
    hub.flush()
    assert full.behind == [before]
    publish(hub, todos, message(at(4), "a"))
    hub.flush()
    assert (len(full.data), len(full.behind)) == (1, 1), "it has left"
    assert shown(other) == [at(2), at(3), at(3), at(4)]
    data, place, _ = hub.replay(interest, before)
    assert [event.id for event in events_in(data)] == [
        before.moved(TODOS, at(3)).cursor,
        before.moved(TODOS, at(4)).cursor,
    ]
    data, place, _ = hub.replay(interest, place)
    assert [event.id for event in events_in(data)] == [level(interest).cursor]
    assert hub.replay(interest, place) == (b"", level(interest), False)


async def test_a_flush_above_the_limit_sends_everybody_to_catch_up_in_pieces() -> None:
    hub = Hub(flush_interval=0.005, max_write=1000)
    todos = feed()
    interest = follow((todos, ("a",)))
    listener = join(hub, interest)
    before = level(interest)
    publish(hub, todos, *(message(at(s), "a", size=400) for s in range(2, 8)))
    hub.flush()
    assert (listener.data, listener.behind) == ([], [before])
    pieces, place = [], before
    while data := hub.replay(interest, place)[0]:
        place = hub.replay(interest, place)[1]
        pieces.append(len(events_in(data)))
    assert pieces == [2, 2, 2]


async def test_those_who_stand_at_one_place_share_the_replay(hub: Hub) -> None:
    todos = feed()
    publish(hub, todos, message(at(2), "a"))
    hub.flush()
    interest = follow((todos, ("a",)))
    one, two = (hub.replay(interest, Place({TODOS: start_of(1)})) for _ in range(2))
    assert one[0] is two[0]


async def test_a_replay_never_shows_what_has_not_been_flushed(hub: Hub) -> None:
    todos = feed()
    interest = follow((todos, ("a",)))
    listener = join(hub, interest)
    publish(hub, todos, message(at(2), "a"))
    assert hub.replay(interest, level(interest)) == (b"", level(interest), False)
    hub.flush()
    assert shown(listener) == [at(2)]


async def test_a_resync_of_the_whole_watcher_reaches_each_channel_and_no_other_watcher(
    hub: Hub,
) -> None:
    todos, orders = feed(), feed(ORDERS)
    both = join(hub, follow((todos, ("a", "b")), (orders, ("o",))))
    other = join(hub, follow((orders, ("o",))))
    publish(hub, todos, message(at(2), "a"), resync(at(3)), message(at(4), "b"))
    hub.flush()
    kinds = [(event.type, orjson.loads(event.data)["channel"]) for event in both.events]
    assert kinds == [("message", "a"), ("resync", "a"), ("resync", "b"), ("message", "b")]
    assert both.events[1].id is None
    assert other.data == []


async def test_when_idle_a_batch_leaves_at_once_and_under_load_batches_are_collected() -> None:
    hub = Hub(flush_interval=3600, max_write=1 << 20)
    todos = feed()
    listener = join(hub, follow((todos, ("a",))))
    publish(hub, todos, message(at(2), "a"))
    assert listener.data == []
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert shown(listener) == [at(2)]
    for second in (3, 4):
        publish(hub, todos, message(at(second), "a"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert shown(listener) == [at(2)], "the interval has not passed"
    hub.flush()
    assert shown(listener) == [at(2), at(3), at(4)]
    assert len(listener.data) == 2


def beating(hub: Hub, interest: Interest, period: float) -> FakeListener:
    listener = FakeListener(period=period)
    hub.join(listener, interest, level(interest))
    return listener


async def test_a_quiet_listener_hears_a_heartbeat_and_its_cursor_moves(hub: Hub) -> None:
    todos = feed()
    listener = beating(hub, follow((todos, ("a",))), period=15)
    hub.beat(14)
    assert listener.data == []
    hub.publish(todos, [], start_of(50))
    hub.beat(15)
    assert [(e.type, e.id) for e in listener.events] == [("heartbeat", f"{TODOS}-{start_of(50)}")]
    hub.beat(29)
    assert len(listener.data) == 1
    hub.beat(30)
    assert len(listener.data) == 2


async def test_messages_put_the_heartbeat_off_but_only_where_every_part_moves(hub: Hub) -> None:
    todos, orders = feed(), feed(ORDERS)
    now = asyncio.get_running_loop().time()
    alone = beating(hub, follow((todos, ("a",))), period=10)
    both = beating(hub, follow((todos, ("a",)), (orders, ("o",))), period=10)
    hub.beat(now)
    for second in (2, 3):
        publish(hub, todos, message(at(second), "a"))
        hub.flush()
        hub.beat(now + 9.9 + second / 100)
    assert [e.type for e in alone.events] == ["heartbeat", "message", "message"]
    hub.beat(now + 10.5)
    assert [e.type for e in both.events][-1] == "heartbeat"


async def test_a_heartbeat_says_nothing_of_what_is_still_to_be_flushed(hub: Hub) -> None:
    todos = feed()
    listener = beating(hub, follow((todos, ("a",))), period=1)
    before = todos.flushed
    publish(hub, todos, message(at(2), "a"))
    hub.beat(5)
    assert [event.id for event in listener.events] == [f"{TODOS}-{before}"]


async def test_who_cannot_take_a_heartbeat_falls_behind(hub: Hub) -> None:
    todos = feed()
    interest = follow((todos, ("a",)))
    listener = beating(hub, interest, period=1)
    listener.full = True
    hub.beat(5)
    assert listener.behind == [level(interest)]
    assert not hub._audiences


async def test_a_watcher_that_starts_sends_its_listeners_to_catch_up(hub: Hub) -> None:
    todos, orders = feed(), feed(ORDERS, started=False)
    orders.failed = "refused"
    interest = follow((todos, ("a",)), (orders, ("o",)))
    came_back = Place({TODOS: todos.flushed, ORDERS: at(7)})
    fresh, known = join(hub, interest), join(hub, interest, came_back)
    publish(hub, orders, message(at(5), "o"))
    hub.flush()
    assert (fresh.data, fresh.behind) == ([], [])
    hub.start(orders)
    assert orders.failed == ""
    assert fresh.behind == [Place({TODOS: todos.flushed})]
    assert known.behind == [came_back]


async def test_a_gap_flushes_empties_history_and_sends_everybody_to_catch_up(hub: Hub) -> None:
    todos = feed()
    interest = follow((todos, ("a",)))
    listener = join(hub, interest)
    publish(hub, todos, message(at(2), "a"))
    hub.gap(todos, start_of(9))
    assert shown(listener) == [at(2)]
    assert listener.behind == [Place({TODOS: at(2)})]
    history = todos.history
    assert {history.floor, history.head, todos.flushed, todos.joined_up} == {start_of(9)}
    assert len(history) == 0


async def test_who_leaves_is_given_nothing_more_and_leaves_no_trace(hub: Hub) -> None:
    todos, orders = feed(), feed(ORDERS)
    interest = follow((todos, ("a", "b")), (orders, ("o",)))
    listener = join(hub, interest)
    hub.leave(listener)
    hub.leave(listener)
    publish(hub, todos, message(at(2), "a"))
    hub.flush()
    assert listener.data == []
    assert not hub._audiences
    assert not any(hub._listening.values())

import orjson

from bridge import frames
from bridge.events import Place
from bridge.sse_wire import PLAIN, chunk
from tests.acceptance.sse_parser import SseParser
from tests.fakes import at, events_in, message, resync

TODOS, ORDERS = "1f3a9c02", "77777777"
BOTH = Place({TODOS: at(1), ORDERS: at(2)})


def test_named_events_carry_their_name_as_type() -> None:
    (event,) = events_in(frames.ready(PLAIN, session="s", heartbeat=15, channels=["a", "b"]))
    assert (event.type, event.id) == ("ready", None)
    assert orjson.loads(event.data) == {
        "type": "ready",
        "session": "s",
        "heartbeat": 15,
        "channels": ["a", "b"],
    }


def test_live_and_heartbeat_move_the_clients_cursor() -> None:
    live, beat = events_in(frames.live(PLAIN, BOTH.cursor) + frames.heartbeat(PLAIN, BOTH.cursor))
    assert (live.type, live.id) == ("live", BOTH.cursor)
    assert (beat.type, beat.id) == ("heartbeat", BOTH.cursor)
    assert orjson.loads(beat.data) == {"type": "heartbeat", "cursor": BOTH.cursor}


def test_a_goodbye_says_when_to_come_back_and_moves_no_cursor() -> None:
    parser = SseParser()
    (event,) = parser.feed(frames.bye(PLAIN, "shutdown", reconnect=True, delay=1500))
    assert (event.type, event.id, parser.retry) == ("bye", None, 1500)
    assert orjson.loads(event.data) == {
        "type": "bye",
        "code": "shutdown",
        "reconnect": True,
        "delay": 1500,
    }


def test_messages_are_unnamed_events_whose_ids_hold_the_other_watchers_parts() -> None:
    run = [message(at(3), "a"), message(at(4), "b")]
    framed = frames.messages(PLAIN, run, tag=TODOS, place=BOTH, channels=("a", "b"))
    first, second = events_in(b"".join(framed))
    assert (first.type, first.data.encode()) == ("message", run[0].body)
    assert first.id == BOTH.moved(TODOS, at(3)).cursor
    assert second.id == BOTH.moved(TODOS, at(4)).cursor


def test_a_resync_is_told_on_each_channel_and_only_the_last_moves_the_cursor() -> None:
    run = [resync(at(3)), message(at(4), "a")]
    framed = frames.messages(PLAIN, run, tag=ORDERS, place=BOTH, channels=("a", "b"))
    one, two, after = events_in(b"".join(framed))
    cursor = BOTH.moved(ORDERS, at(3)).cursor
    assert (one.type, one.id, two.id) == ("resync", None, cursor)
    assert [orjson.loads(event.data) for event in (one, two)] == [
        {"type": "resync", "channel": channel, "reason": "dropped", "cursor": cursor}
        for channel in ("a", "b")
    ]
    assert after.id == BOTH.moved(ORDERS, at(4)).cursor


def test_events_are_of_single_lines_whatever_a_channel_is_called() -> None:
    data = frames.resyncs(PLAIN, ["a\u2028b\n\r"], "dropped", BOTH.cursor)
    (event,) = events_in(data)
    assert orjson.loads(event.data)["channel"] == "a\u2028b\n\r"


def test_a_chunk_says_its_length_in_hexadecimal() -> None:
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"

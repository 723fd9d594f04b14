from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.client_frames import Auth, Ping, Subscribe, Unsubscribe, read
from bridge.errors import BadFrame, RequestError

quick = settings(max_examples=300, derandomize=True, database=None, deadline=None)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
fields = st.sampled_from(["type", "ref", "channels", "snapshot", "token", "since", "channel"])
kinds = st.sampled_from(["subscribe", "unsubscribe", "auth", "ping", "shout"])


def test_channels_come_as_names_or_with_a_cursor() -> None:
    text = '{"type":"subscribe","ref":1,"channels":["a",{"channel":"b","since":"x"}]}'
    ref, frame = read(text)
    assert ref == 1
    assert isinstance(frame, Subscribe)
    assert [(each.channel, each.since) for each in frame.channels] == [("a", None), ("b", "x")]
    assert frame.snapshot is False


def test_each_kind_is_read() -> None:
    for body, kind in (
        ({"type": "unsubscribe", "channels": ["a"]}, Unsubscribe),
        ({"type": "auth", "token": "x"}, Auth),
        ({"type": "ping", "ref": "r"}, Ping),
    ):
        _, frame = read(orjson.dumps(body).decode())
        assert isinstance(frame, kind)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"type": "shout"}, "type: expected subscribe, unsubscribe, auth or ping"),
        ({"type": []}, "type: expected subscribe, unsubscribe, auth or ping"),
        ({"type": "subscribe"}, "channels: expected a list of 1 to 1,000 channels"),
        ({"type": "subscribe", "channels": "a"}, "channels: expected a list of"),
        ({"type": "subscribe", "channels": []}, "channels: expected a list of"),
        ({"type": "unsubscribe", "channels": [1]}, "channels.0: expected"),
        ({"type": "subscribe", "channels": [[]]}, "channels.0: expected a channel, or"),
        ({"type": "subscribe", "channels": [""]}, "channels.0.channel: expected text of"),
        (
            {"type": "subscribe", "channels": [{"channel": "a", "since": 1}]},
            "channels.0.since: expected a cursor",
        ),
        ({"type": "subscribe", "channels": ["a"], "snapshot": 1}, "snapshot: expected true or"),
        ({"type": "subscribe", "chanels": ["a"]}, "chanels: unknown field"),
        ({"type": "ping", "extra": 1}, "extra: unknown field"),
        ({"type": "auth", "token": ""}, "token: expected a JWT"),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], told: str) -> None:
    _, frame = read(orjson.dumps(body).decode())
    assert isinstance(frame, RequestError)
    assert told in str(frame)


@pytest.mark.parametrize("ref", [[], {}, 1.5, True, 2**53, "x" * 65])
def test_a_ref_that_cannot_be_repeated_is_refused(ref: Any) -> None:
    back, frame = read(orjson.dumps({"type": "ping", "ref": ref}).decode())
    assert back is None
    assert isinstance(frame, RequestError)


@quick
@given(st.text(max_size=200))
def test_any_text_is_a_frame_or_a_bad_one(text: str) -> None:
    with suppress(BadFrame):
        read(text)


@quick
@given(st.dictionaries(fields, values | kinds | st.lists(values | kinds)), kinds)
def test_any_object_is_a_frame_or_told_in_one_line(body: dict[str, Any], kind: str) -> None:
    _, frame = read(orjson.dumps({**body, "type": kind}).decode())
    if isinstance(frame, RequestError):
        assert "\n" not in str(frame)
        assert len(str(frame)) < 300

from typing import Any

import pytest

from bridge.outbox import LONGEST, read

GOOD: dict[str, Any] = {"_id": 1, "channel": "events:acme", "name": "paid", "data": {"n": 1}}


def test_a_letter_has_a_channel_and_what_is_to_be_sent() -> None:
    letter = read({**GOOD, "mutationId": "m", "headers": {"h": 1}, "rejected": True, "other": 1})
    assert (letter.channel, letter.fault) == ("events:acme", "")
    assert letter.fields == (
        ("name", "paid"),
        ("data", {"n": 1}),
        ("mutationId", "m"),
        ("headers", {"h": 1}),
        ("rejected", True),
    )


@pytest.mark.parametrize(
    "optional", [{}, {"mutationId": None, "headers": None, "rejected": None}, {"rejected": False}]
)
def test_what_is_optional_and_not_there_is_left_out(optional: dict[str, Any]) -> None:
    assert read({**GOOD, **optional}).fields == (("name", "paid"), ("data", {"n": 1}))


@pytest.mark.parametrize("data", [None, 0, "", [], {}, [1, {"a": None}]])
def test_data_may_be_anything(data: Any) -> None:
    assert read({**GOOD, "data": data}).fields[1] == ("data", data)


def test_a_letter_without_data_says_null() -> None:
    assert read({"channel": "a", "name": "n"}).fields == (("name", "n"), ("data", None))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("channel", None),
        ("channel", ""),
        ("channel", ["events:acme"]),
        ("name", None),
        ("name", ""),
        ("name", 7),
        ("name", "x" * (LONGEST + 1)),
        ("mutationId", ""),
        ("mutationId", 7),
        ("mutationId", "x" * (LONGEST + 1)),
        ("headers", []),
        ("headers", "h"),
        ("rejected", 1),
        ("rejected", "yes"),
    ],
)
def test_a_faulty_letter_names_its_field(field: str, value: Any) -> None:
    letter = read({**GOOD, field: value})
    assert letter.fault.startswith(f"outbox: {field} ")
    assert letter.fields == ()


def test_a_missing_document_is_a_fault() -> None:
    assert "not there" in read(None).fault

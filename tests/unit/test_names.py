import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.names import LONGEST, NameSet, Piece, escaped, proper, unescaped, value_piece, word


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("acme", "acme"),
        ("a-b_c.d~e/f", "a-b_c.d~e/f"),
        ("Zoë", "Zoë"),
        ("a:b", "a%3Ab"),
        ("50%", "50%25"),
        ("*", "%2A"),
        ("a,b", "a%2Cb"),
        ("a b", "a%20b"),
        ("a\tb\n", "a%09b%0A"),
        ("\x00\x7f\x85", "%00%7F%C2%85"),
        ("\u00a0\u2003\u3000", "%C2%A0%E2%80%83%E3%80%80"),
        ("%3A", "%253A"),
    ],
)
def test_a_value_stands_in_a_name_percent_encoded_where_it_must(value: str, text: str) -> None:
    assert escaped(value) == text
    assert unescaped(text) == value


def test_every_blank_control_and_structural_character_is_encoded_and_no_other() -> None:
    for letter in map(chr, range(0x10000)):
        if "\ud800" <= letter <= "\udfff":
            assert escaped(letter) == ""
            continue
        control = letter < " " or "\x7f" <= letter <= "\x9f"
        assert (escaped(letter) != letter) == (letter in "%:*," or letter.isspace() or control)


def test_a_value_longer_than_any_name_has_no_text() -> None:
    assert escaped("-" * LONGEST) == "-" * LONGEST
    assert escaped("-" * (LONGEST + 1)) == ""


@given(st.text())
def test_an_encoded_value_comes_back(value: str) -> None:
    assert unescaped(escaped(value)) == value


@pytest.mark.parametrize("name", ["a", "a b", "Ω", "x" * LONGEST, "a\u2028b"])
def test_a_proper_name_has_up_to_1024_characters_none_of_them_a_control_character(
    name: str,
) -> None:
    assert proper(name)


@pytest.mark.parametrize("name", ["", "x" * (LONGEST + 1), "a\nb", "\x00", "a\x9f", "\ud800"])
def test_other_texts_are_not_names(name: str) -> None:
    assert not proper(name)


@given(st.text(st.sampled_from("aA%0123:,* \u2003E8F"), max_size=9))
def test_the_set_of_values_has_exactly_the_canonical_texts(text: str) -> None:
    try:
        canonical = text != "" and escaped(unescaped(text)) == text
    except ValueError:
        canonical = False
    assert NameSet([value_piece()]).has(text) == canonical


def test_pieces_follow_one_another() -> None:
    names = NameSet([Piece((word("a:"),)), Piece((word("x"), word("yz")), repeats=True)])
    assert [n for n in ("a:", "a:x", "a:yz", "a:xyzx", "a:y", "x") if names.has(n)] == [
        "a:x",
        "a:yz",
        "a:xyzx",
    ]

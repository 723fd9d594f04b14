"""Channel names: which texts are names, how a value is written in one, and sets of them."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import quote, unquote

LONGEST = 1024
"""Characters in the longest channel name."""

_CONTROL = r"\x00-\x1f\x7f-\x9f"
_SURROGATES = r"\ud800-\udfff"
_RESERVED = rf"%:*,\s{_CONTROL}"
_LAST_RESERVED = 0x3000

_improper = re.compile(f"[{_CONTROL}{_SURROGATES}]").search
_plain = re.compile(f"[^{_RESERVED}{_SURROGATES}]+").fullmatch
_surrogate = re.compile(f"[{_SURROGATES}]").search
_ESCAPES = {
    ord(letter): quote(letter, safe="")
    for letter in re.findall(f"[{_RESERVED}]", "".join(map(chr, range(_LAST_RESERVED + 1))))
}


def proper(name: str) -> bool:
    """Whether a text can be the name of a channel at all.

    That is: 1 to 1,024 characters, no control character, nothing that UTF-8 cannot carry.
    """
    return 0 < len(name) <= LONGEST and _improper(name) is None


def escaped(value: str) -> str:
    """A value as it stands in a name; empty where it cannot stand in one.

    ``%``, ``:``, ``*``, ``,``, blanks and control characters are percent-encoded (UTF-8,
    upper-case hex), so that no value reaches beyond its field.
    """
    # isalnum costs a fraction of the rest and settles most identifiers
    if value.isalnum():
        return value
    return _escaped(value) if len(value) <= LONGEST else ""


@lru_cache(maxsize=4096)
def _escaped(value: str) -> str:
    """Kept for a while: the values of one field repeat, in the two images of a change above all."""
    if _plain(value):
        return value
    return "" if _surrogate(value) else value.translate(_ESCAPES)


def unescaped(text: str) -> str:
    """The value that a text in a name stands for; raises ValueError where it stands for none."""
    return unquote(text, errors="strict")


@dataclass(frozen=True, slots=True)
class Letters:
    """One step of a word: a letter among these, or among all but these."""

    these: frozenset[str]
    but: bool = False
    many: bool = False
    """The step may be taken any number of times, also none."""

    def __contains__(self, letter: str) -> bool:
        return (letter in self.these) != self.but

    def meets(self, other: "Letters") -> bool:
        """Whether one letter is in both."""
        if self.but and other.but:
            return True
        if self.but:
            return not other.these <= self.these
        return not self.these <= other.these if other.but else bool(self.these & other.these)


Word: TypeAlias = tuple[Letters, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a name: one of these words, or one or more of them in a row."""

    words: tuple[Word, ...]
    repeats: bool = False


def letters(text: str) -> Letters:
    """One step: any letter of the text."""
    return Letters(frozenset(text))


def word(text: str) -> Word:
    """Exactly this text."""
    return tuple(map(letters, text))


def value_piece() -> Piece:
    """Every text that ``escaped`` can give, and no other."""
    plain = Letters(frozenset(map(chr, _ESCAPES)), but=True)
    last: dict[str, str] = {}
    for escape in _ESCAPES.values():
        last[escape[:-1]] = last.get(escape[:-1], "") + escape[-1]
    escapes = ((*word(start), letters(ends)) for start, ends in last.items())
    return Piece(((plain,), *escapes), repeats=True)


class NameSet:
    """The names that are made of these pieces, one after the other.

    An automaton that reads a name letter by letter: ``_moves`` holds, per state, the letters
    that may be read (None: nothing needs to be) and the state that this leads to.
    """

    __slots__ = ("_last", "_moves")

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self._moves: list[list[tuple[Letters | None, int]]] = []
        self._last = self._state()
        for piece in pieces:
            self._last = self._append(self._last, piece)

    def meets(self, other: "NameSet") -> bool:
        """Whether one name is in both sets (the length limit left aside)."""
        todo = [(0, 0)]
        seen = set(todo)
        while todo:
            pair = todo.pop()
            if pair == (self._last, other._last):
                return True
            new = set(self._together(other, *pair)) - seen
            seen |= new
            todo += new
        return False

    def has(self, name: str) -> bool:
        """Whether the name is in the set; takes time in proportion to the name's length."""
        states = self._reach({0})
        for letter in name:
            read = {to for at in states for step, to in self._moves[at] if step and letter in step}
            states = self._reach(read)
        return self._last in states

    def _reach(self, states: set[int]) -> set[int]:
        """The states and all that follow them without reading a letter."""
        todo = list(states)
        while todo:
            new = {to for step, to in self._moves[todo.pop()] if step is None} - states
            states |= new
            todo += new
        return states

    def _together(self, other: "NameSet", mine: int, its: int) -> Iterator[tuple[int, int]]:
        for here, to in self._moves[mine]:
            if here is None:
                yield to, its
        for there, its_to in other._moves[its]:
            if there is None:
                yield mine, its_to
                continue
            for here, to in self._moves[mine]:
                if here is not None and here.meets(there):
                    yield to, its_to

    def _append(self, at: int, piece: Piece) -> int:
        start, end = self._state(), self._state()
        self._moves[at].append((None, start))
        for each in piece.words:
            here = start
            for step in each:
                here = self._step(here, step)
            self._moves[here].append((None, end))
        if piece.repeats:
            self._moves[end].append((None, start))
        return end

    def _step(self, here: int, step: Letters) -> int:
        to = self._state()
        self._moves[here].append((None if step.many else step, to))
        if step.many:
            self._moves[to].append((step, to))
        return to

    def _state(self) -> int:
        self._moves.append([])
        return len(self._moves) - 1

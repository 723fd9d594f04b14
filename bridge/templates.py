"""Channel rules: which names a watcher's channels may have."""

import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from operator import attrgetter
from typing import Any, TypeAlias

from bridge.errors import ConfigError
from bridge.events import Document, Namespace
from bridge.kinds import ID, KINDS, Kind
from bridge.names import LONGEST, Letters, NameSet, Piece, escaped, proper, unescaped, word

_Writer: TypeAlias = Callable[[Document, Namespace], str]

_NAMESPACE: dict[str, Callable[[Namespace], str]] = {
    "ns.db": attrgetter("db"),
    "ns.coll": attrgetter("coll"),
}
_tokens = re.compile(r"\{([^{}]*)\}|([^{}]+)|[{}]")
_wildcards = re.compile(r"(\*\*?)")
_WILDCARDS = {
    "*": (r"[^:]+", (Letters(frozenset(":"), but=True), Letters(frozenset(":"), True, True))),
    "**": (r".*", (Letters(frozenset(), but=True, many=True),)),
}


def related(path: str, other: str) -> bool:
    """Whether two dotted paths are equal or one lies below the other."""
    return path == other or path.startswith(other + ".") or other.startswith(path + ".")


class Template:
    """A channel name with fields of the document in it, like ``todos:{workspace}``.

    Immutable. Fields are ``{path}`` or ``{path:type}``, and ``{ns.db}`` and ``{ns.coll}``;
    a name is read back in only one way, so that a name means one query.
    """

    __slots__ = (
        "_form",
        "_head",
        "_kinds",
        "_paths",
        "_slots",
        "fields",
        "immutable",
        "names",
        "text",
    )

    text: str
    fields: tuple[str, ...]
    """The dotted document paths that decide the channel."""
    immutable: bool
    """The document's ``_id`` and namespace alone decide: a document never changes channel."""
    names: NameSet
    """Every name that the template can give."""

    def __init__(self, text: str) -> None:
        """Reads a template; raises ConfigError where it is none."""
        if not 0 < len(text) <= LONGEST:
            raise ConfigError(f"channel {text[:64]!r}: give it 1 to {LONGEST} characters")
        literals, paths, kinds = _parse(text)
        self.text = text
        self.fields = tuple(path for path in paths if path not in _NAMESPACE)
        self.immutable = all(related("_id", path) for path in self.fields)
        self._paths = paths
        self._kinds = kinds
        self._head = literals[0]
        self._slots = tuple(zip(map(_writer, paths, kinds), literals[1:], strict=True))
        self._form = re.compile("([^:]+)".join(map(re.escape, literals)))
        self.names = NameSet(_pieces(literals, kinds))

    def __repr__(self) -> str:
        return f"Template({self.text!r})"

    def channel(self, document: Document, ns: Namespace) -> str | None:
        """The document's channel, or None where a field is missing, empty or of another type.

        None also where the name would be longer than a name may be.
        """
        name = self._head
        for write, literal in self._slots:
            value = write(document, ns)
            if not value:
                return None
            name += value + literal
        return name if len(name) <= LONGEST else None

    def matches(self, name: str) -> bool:
        """Whether some document can have this channel: the name is in the one right encoding."""
        found = self._form.fullmatch(name) if proper(name) else None
        return found is not None and all(
            kind.canonical(text) for kind, text in zip(self._kinds, found.groups(), strict=True)
        )

    def query(self, name: str) -> tuple[Document, dict[str, str]]:
        """What a name means: a query for its documents, and its parts of the namespace.

        The query is exact: it finds a document if and only if ``channel`` gives the name.
        """
        found = self._form.fullmatch(name)
        texts = found.groups() if found else ()
        query: Document = {}
        exact: list[Document] = []
        namespace: dict[str, str] = {}
        for path, kind, text in zip(self._paths, self._kinds, texts, strict=True):
            if path in _NAMESPACE:
                namespace[path] = unescaped(text)
                continue
            query[path] = {"$in": kind.values(text)}
            # An array that holds the value, or a number of another type, would be found too.
            exact.append({"$in": [{"$type": f"${path}"}, list(kind.types)]})
        return (query | {"$expr": {"$and": exact}} if exact else {}), namespace


class Pattern:
    """Names with wildcards, like ``orders:*``. Immutable.

    ``*`` stands for one or more characters without ``:``, ``**`` for any text, also none.
    """

    __slots__ = ("_form", "names", "text")

    text: str
    names: NameSet
    """Every name that the pattern matches."""

    def __init__(self, text: str) -> None:
        """Reads a pattern; raises ConfigError where no name can match it."""
        if not proper(text):
            raise ConfigError(
                f"channel pattern {text[:64]!r}: give it 1 to {LONGEST} characters, "
                "none of them a control character"
            )
        parts = _wildcards.split(text)
        self.text = text
        known = [_WILDCARDS.get(part) or (re.escape(part), word(part)) for part in parts]
        self.names = NameSet(Piece((each,)) for _, each in known)
        form = "".join(form for form, _ in known)
        self._form = re.compile(form, re.DOTALL) if _simple(text) else None

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"

    def matches(self, name: str) -> bool:
        """Whether the name is a proper one and fits."""
        if not proper(name):
            return False
        return self._form.fullmatch(name) is not None if self._form else self.names.has(name)


Rule: TypeAlias = Template | Pattern
"""What a watcher's channels are named by."""


def overlaps(one: Rule, other: Rule) -> bool:
    """Whether one name could belong to both rules."""
    return one.names.meets(other.names)


def _simple(pattern: str) -> bool:
    # With more wildcards than this a regular expression can take for ever on a bad name.
    segments = [_wildcards.findall(segment) for segment in pattern.split(":")]
    return all(len(found) <= 1 for found in segments) and segments.count(["**"]) <= 1


def _parse(text: str) -> tuple[list[str], list[str], list[Kind]]:
    """Literals, and between each two of them a field's path and kind."""
    literals = [""]
    paths: list[str] = []
    kinds: list[Kind] = []
    for token in _tokens.finditer(text):
        field, literal = token.groups()
        if field is not None:
            path, kind = _field(text, field, paths)
            if paths and ":" not in literals[-1]:
                raise _fault(text, f"a literal with a ':' has to stand before {{{field}}}")
            paths.append(path)
            kinds.append(kind)
            literals.append("")
        elif literal is not None:
            literals[-1] = _literal(text, literal)
        else:
            raise _fault(text, f"a field is written {{path}}, but {token[0]!r} has no partner")
    return literals, paths, kinds


def _field(text: str, field: str, known: list[str]) -> tuple[str, Kind]:
    path, typed, kind = field.partition(":")
    if not path.strip() or path != path.strip() or "" in path.split("."):
        raise _fault(text, f"{{{field}}} names no field; write {{path}} or {{path:type}}")
    if path.startswith("ns.") and (path not in _NAMESPACE or typed):
        raise _fault(text, f"{{{field}}} is unknown; of ns there are {{ns.db}} and {{ns.coll}}")
    if typed and kind not in KINDS:
        near = get_close_matches(kind, KINDS, n=1, cutoff=0.5) or [", ".join(KINDS)]
        raise _fault(text, f"{{{field}}} has the unknown type {kind!r}; did you mean {near[0]}?")
    for other in known:
        if related(path, other):
            raise _fault(text, f"{{{field}}} and {{{other}}} are the same field or inside it")
    if typed:
        return path, KINDS[kind]
    return path, ID if path == "_id" else KINDS["string"]


def _literal(text: str, literal: str) -> str:
    for part in filter(None, literal.split(":")):
        try:
            right = escaped(unescaped(part))
        except ValueError:
            right = escaped(part)
        if right != part:
            raise _fault(
                text, f"{part!r} is not how a name is written; write {right!r}{_hint(part)}"
            )
    return literal


def _hint(part: str) -> str:
    return " (wildcards are for pipelines that set _channel)" if "*" in part else ""


def _fault(text: str, fault: str) -> ConfigError:
    return ConfigError(f"channel {text!r}: {fault}")


def _pieces(literals: list[str], kinds: list[Kind]) -> Iterator[Piece]:
    yield Piece((word(literals[0]),))
    for kind, literal in zip(kinds, literals[1:], strict=True):
        yield kind.piece
        yield Piece((word(literal),))


def _writer(path: str, kind: Kind) -> _Writer:
    """Compiles a field: from a document and its namespace to the text in the name."""
    if path in _NAMESPACE:
        part = _NAMESPACE[path]
        return lambda _document, ns: escaped(part(ns))
    write = kind.write
    *parents, last = path.split(".")
    if not parents:
        return lambda document, _ns: write(document.get(last))

    def below(document: Document, _ns: Namespace) -> str:
        inner: Any = document
        for parent in parents:
            inner = inner.get(parent)
            if not isinstance(inner, dict):
                return ""
        return write(inner.get(last))

    return below

"""The report: tables for the terminal and for ``docs/performance.md``."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Aim:
    """One promise and what came out."""

    what: str
    aim: str
    measured: str
    met: bool


@dataclass(frozen=True, slots=True)
class Section:
    """What one measurement found."""

    title: str
    method: str
    columns: Row
    rows: Sequence[Row]
    aims: Sequence[Aim]
    notes: Sequence[str] = field(default=())


def show(console: Console, section: Section) -> None:
    """Prints a section's table and its aims."""
    table = Table(*section.columns, title=section.title, title_justify="left")
    for row in section.rows:
        table.add_row(*map(escape, row))
    console.print(table)
    for aim in section.aims:
        mark = "[green]met   [/]" if aim.met else "[red]missed[/]"
        console.print(f"  {mark} {escape(aim.what)}: {escape(aim.measured)} (aim {aim.aim})")
    for note in section.notes:
        console.print(f"  [yellow]{escape(note)}[/]")


def markdown(heading: Sequence[str], sections: Sequence[Section]) -> str:
    """The whole page."""
    return "\n".join(_lines(heading, sections)) + "\n"


def _lines(heading: Sequence[str], sections: Sequence[Section]) -> Iterator[str]:
    yield "# Performance"
    yield ""
    yield "Written by `python -m benchmarks`; the next whole run writes it anew."
    yield ""
    yield from (f"- {line}" for line in heading)
    yield from ["", "## Aims", ""]
    aims = [aim for section in sections for aim in section.aims]
    yield from _table(("measured", "aim", "found", ""), map(_aim_row, aims))
    for section in sections:
        yield from ["", f"## {section.title}", "", section.method, ""]
        yield from _table(section.columns, section.rows)
        for note in section.notes:
            yield from ["", note]


def _aim_row(aim: Aim) -> Row:
    return aim.what, aim.aim, aim.measured, "met" if aim.met else "**missed**"


def _table(columns: Row, rows: Iterable[Row]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield f"| {' | '.join(row)} |"

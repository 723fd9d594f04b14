"""``tail``: follows channels in the terminal."""

import asyncio
import random
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp
import orjson
from rich.console import Console
from rich.text import Text

from bridge.errors import BridgeError

STYLES = {
    "insert": "green",
    "enter": "green",
    "update": "yellow",
    "replace": "yellow",
    "delete": "red",
    "leave": "red",
}
MARKS = {"add": "+", "replace": "~", "remove": "-", "move": ">", "copy": ">", "test": "?"}
"""How a patch's operations are shown."""

LONGEST_PAUSE = 30.0
"""Seconds between two attempts to connect, at the most."""

SILENCE = 60.0
"""Seconds without a byte after which the connection counts as dead."""


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event."""

    name: str
    data: dict[str, Any]
    cursor: str


async def events(lines: AsyncIterable[bytes]) -> AsyncIterator[Event]:
    """The events in a stream of lines, as the bridge writes them: one data line each."""
    name, data, cursor = "message", b"", ""
    async for raw in lines:
        line = raw.rstrip(b"\r\n")
        if not line:
            if data:
                yield Event(name, orjson.loads(data), cursor)
            name, data, cursor = "message", b"", ""
            continue
        field, _, value = line.partition(b": ")
        if field == b"event":
            name = value.decode()
        elif field == b"data":
            data = value
        elif field == b"id":
            cursor = value.decode()


async def tail(channels: Sequence[str], *, url: str, since: str | None, console: Console) -> None:
    """Prints every message of the channels; reconnects for ever where that can help.

    Raises BridgeError where the bridge refuses the request.
    """
    cursor = since
    pause = 0.5
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=SILENCE)
    ) as session:
        while True:
            try:
                async for event in _connection(session, channels, url, cursor):
                    cursor, pause = event.cursor or cursor, 0.5
                    _show(event, console)
                    if event.name == "bye" and not event.data["reconnect"]:
                        return
            except (aiohttp.ClientError, TimeoutError) as error:
                console.print(f"[dim]{error or 'silence'}; reconnecting[/]")
            await asyncio.sleep(random.uniform(0.5, 1.0) * pause)
            pause = min(2 * pause, LONGEST_PAUSE)


async def _connection(
    session: aiohttp.ClientSession, channels: Sequence[str], url: str, cursor: str | None
) -> AsyncIterator[Event]:
    query = [("channel", channel) for channel in channels]
    query += [("since", cursor)] if cursor else []
    async with session.get(f"{url.rstrip('/')}/sse", params=query) as response:
        if response.status != HTTPStatus.OK:
            problem = orjson.loads(await response.read())
            raise BridgeError(f"{problem['title']}: {problem['detail']}")
        async for event in events(response.content):
            yield event


def _show(event: Event, console: Console) -> None:
    data = event.data
    if event.name == "message":
        console.print(_message(data))
        for line in _content(data):
            console.print(line)
    elif event.name != "heartbeat":
        rest = {key: value for key, value in data.items() if key != "type"}
        console.print(Text(f"{event.name} {orjson.dumps(rest).decode()}", style="dim"))


def _message(data: dict[str, Any]) -> Text:
    op = data["op"]
    return Text.assemble(
        (data.get("time", "")[11:23], "dim"),
        " ",
        (f"{op:<7}", STYLES.get(op, "")),
        (data["channel"], "bold"),
        f" {orjson.dumps(data['key']).decode()}",
        (f" {data.get('mode', '')}", "dim"),
    )


def _content(data: dict[str, Any]) -> list[Text]:
    """What the message carries, one line for each thing that changed."""
    if "document" in data:
        return [Text(f"  {orjson.dumps(data['document']).decode()}")]
    patch = data.get("patch", ())
    lines = [_line(MARKS[step["op"]], step["path"], step.get("value")) for step in patch]
    delta = data.get("delta", {})
    lines += [_line("~", "/".join(path), value) for path, value in delta.get("set", ())]
    lines += [_line("-", "/".join(path), None) for path in delta.get("unset", ())]
    lines += [_line("<", "/".join(path), size) for path, size in delta.get("truncate", ())]
    return lines


_COLOURS = {"+": "green", "~": "yellow", "-": "red", "<": "red"}


def _line(mark: str, path: str, value: object) -> Text:
    shown = "" if mark == "-" else f" {orjson.dumps(value).decode()}"
    return Text(f"  {mark} {path}{shown}", style=_COLOURS.get(mark, ""))

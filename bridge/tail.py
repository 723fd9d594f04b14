"""``tail``: follows channels in the terminal."""

import asyncio
import random
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson
from rich.console import Console
from rich.text import Text

from bridge.errors import BridgeError, ConfigError

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


async def tail(
    channels: Sequence[str],
    *,
    url: str,
    since: str | None,
    snapshot: bool,
    token: str | None,
    console: Console,
) -> None:
    """Prints every message of the channels; reconnects for ever where that can help.

    ``snapshot``: begins with the documents there are. Raises BridgeError where the bridge
    refuses the request, ConfigError where ``url`` is none.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise ConfigError(f"--url: {url} is no address of a bridge; expected http://HOST:PORT")
    query = [("channel", channel) for channel in channels] + [("snapshot", "1")] * snapshot
    cursor = since
    pause = 0.5
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=SILENCE),
        headers={"Authorization": f"Bearer {token}"} if token else {},
    ) as session:
        while True:
            try:
                async for event in _connection(session, url, query, cursor):
                    cursor, pause = event.cursor or cursor, 0.5
                    _show(event, console)
                    if event.name == "bye" and not event.data["reconnect"]:
                        return
            except (aiohttp.ClientError, TimeoutError) as error:
                console.print(f"[dim]{error or 'silence'}; reconnecting[/]")
            await asyncio.sleep(random.uniform(0.5, 1.0) * pause)
            pause = min(2 * pause, LONGEST_PAUSE)


async def _connection(
    session: aiohttp.ClientSession, url: str, query: list[tuple[str, str]], cursor: str | None
) -> AsyncIterator[Event]:
    params = [*query, ("since", cursor)] if cursor else query
    async with session.get(f"{url.rstrip('/')}/sse", params=params) as response:
        if response.status != HTTPStatus.OK:
            problem = orjson.loads(await response.read())
            raise BridgeError(f"{problem['title']}: {problem['detail']}")
        async for event in events(response.content):
            yield event


def _show(event: Event, console: Console) -> None:
    data = event.data
    if event.name == "message":
        for message in data.get("messages", [data]):
            console.print(_head(message))
            for line in _content(message):
                console.print(line)
    elif event.name == "snapshot":
        for entry in data["documents"]:
            document = orjson.dumps(entry.get("document", entry.get("reason"))).decode()
            console.print(Text.assemble((data["channel"], "bold"), f" {document}"))
    elif event.name != "heartbeat":
        rest = {key: value for key, value in data.items() if key != "type"}
        console.print(Text(f"{event.name} {orjson.dumps(rest).decode()}", style="dim"))


def _head(message: dict[str, Any]) -> Text:
    what = message.get("op", "event")
    key = orjson.dumps(message["key"]).decode() if "key" in message else message.get("name", "")
    return Text.assemble(
        (f"{message.get('time', '')[11:23]:<12} ", "dim"),
        (f"{what:<7}", STYLES.get(what, "")),
        (message["channel"], "bold"),
        f" {key}",
        (f" {message['mode']}" if "mode" in message else "", "dim"),
    )


def _content(message: dict[str, Any]) -> list[Text]:
    """What the message carries, one line for each thing that changed."""
    whole = [message[field] for field in ("document", "data") if field in message]
    if whole:
        return [Text(f"  {orjson.dumps(whole[0]).decode()}")]
    lines = [
        _line(MARKS[step["op"]], step["path"], step.get("value"))
        for step in message.get("patch", ())
    ]
    delta = message.get("delta", {})
    lines += [_line("~", "/".join(path), value) for path, value in delta.get("set", ())]
    lines += [_line("-", "/".join(path), None) for path in delta.get("unset", ())]
    lines += [_line("<", "/".join(path), size) for path, size in delta.get("truncate", ())]
    return lines


_COLOURS = {"+": "green", "~": "yellow", "-": "red", "<": "red"}


def _line(mark: str, path: str, value: object) -> Text:
    shown = "" if mark == "-" else f" {orjson.dumps(value).decode()}"
    return Text(f"  {mark} {path}{shown}", style=_COLOURS.get(mark, ""))

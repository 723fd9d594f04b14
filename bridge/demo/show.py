"""``demo``: everything in one process, to be looked at in a browser."""

import asyncio
import signal
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import yaml

from bridge.config import Config, load_config
from bridge.demo.app import routes
from bridge.demo.mongod import Mongod
from bridge.demo.shop import COLLECTION, DATABASE, Shop
from bridge.service import Service


async def show(*, port: int, mongod: str | None) -> None:
    """Runs until SIGINT or SIGTERM: mongod, a writer of orders, and the bridge with its page.

    Raises ConfigError where there is no mongod to run, BridgeError where it cannot start.
    """
    server = Mongod(binary=Mongod.find(mongod))
    _end_on_signal(asyncio.current_task())
    click.echo("starting MongoDB …")
    # mongod starts and stops while the loop stands still: no signal can come between.
    with suppress(asyncio.CancelledError), server:
        await _serve(server.uri, port)


def _end_on_signal(task: "asyncio.Task[Any] | None") -> None:
    """Until the service listens to signals itself."""
    if task:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)


async def _serve(uri: str, port: int) -> None:
    async with Shop(uri=uri) as shop:
        since = await shop.open()
        service = Service(
            _configuration(uri, port),
            routes=lambda connections: routes(since=since, drop=connections.drop),
            announce=lambda url: click.secho(f"\n  Open {url}/  (Ctrl-C ends it)\n", bold=True),
        )
        writing = asyncio.create_task(shop.run(), name="shop")
        try:
            await service.run()
        finally:
            writing.cancel()
            with suppress(asyncio.CancelledError):
                await writing


def _configuration(uri: str, port: int) -> Config:
    settings = {
        "mongo": {"uri": uri},
        "server": {"port": port, "heartbeat": 5, "drain": 1},
        "admin": {"port": 0},
        "auth": {"anonymous": ["orders:*"]},
        "watchers": {
            "orders": {
                "watch": f"{DATABASE}.{COLLECTION}",
                "channel": "orders:{shop}",
                "mode": "patch",
            }
        },
    }
    with TemporaryDirectory(prefix="bridge-demo-") as directory:
        file = Path(directory) / "config.yaml"
        file.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return load_config(file)

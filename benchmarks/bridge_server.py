"""The bridge under measurement: one watcher, one channel."""

import sys

import yaml

from benchmarks.fed_server import FedServer
from benchmarks.process import Process
from benchmarks.stand import DATABASE, Stand

NAME = "bridge"
CHANNEL = "bench"


def start_bridge(stand: Stand, *, collection: str, mode: str) -> FedServer:
    """A bridge that watches the collection."""
    config = {
        "mongo": {"uri": stand.uri},
        "server": {"port": 0, "max_connections_per_client": 10_000},
        "admin": {"port": 0},
        "auth": {"anonymous": [CHANNEL]},
        "watchers": {
            "bench": {"watch": f"{DATABASE}.{collection}", "channel": CHANNEL, "mode": mode}
        },
    }
    file = stand.file(f"{collection}-{mode}.yaml")
    file.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "bridge", "run", "-c", str(file)]
    process = Process(command, core=stand.server_core, log=file.with_suffix(".log"))
    path = f"/sse?channel={CHANNEL}"
    return FedServer(stand, name=NAME, collection=collection, process=process, path=path)

"""The yardstick for fan-out: nginx with the Nchan module, one worker."""

import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

from benchmarks.load import Delivered, Load
from benchmarks.process import Process
from benchmarks.stand import Stand
from benchmarks.writer import SIZE

MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
PUBLISH = "/publish"
SUBSCRIBE = "/subscribe"

_CONFIG = """
{user}
load_module {module};
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log;
events {{ worker_connections 15000; }}
http {{
  access_log off;
  client_body_temp_path {directory}/nginx-body;
  proxy_temp_path {directory}/nginx-proxy;
  fastcgi_temp_path {directory}/nginx-fastcgi;
  uwsgi_temp_path {directory}/nginx-uwsgi;
  scgi_temp_path {directory}/nginx-scgi;
  keepalive_requests 1000000;
  nchan_shared_memory_size 256M;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = {publish} {{
      nchan_publisher;
      nchan_channel_id bench;
      nchan_message_buffer_length 10000;
      nchan_message_timeout 5m;
    }}
    location = {subscribe} {{
      nchan_subscriber eventsource;
      nchan_channel_id bench;
      nchan_subscriber_first_message newest;
    }}
  }}
}}
"""


def nchan_missing() -> str | None:
    """What has to be installed before Nchan can be measured; None where it is there."""
    if shutil.which("nginx") and MODULE.exists():
        return None
    return "apt-get install nginx libnginx-mod-nchan"


class NchanServer:
    """A running nginx with one worker, fed by posts; ended on leaving the context."""

    name = "nginx + Nchan"
    bursts: ClassVar[Mapping[int, int]] = {100: 2_000, 1_000: 400, 5_000: 60}

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._port = _free_port()
        file = stand.file("nginx.conf")
        file.write_text(_config(stand.directory, self._port))
        command = ["nginx", "-e", "stderr", "-p", str(stand.directory), "-c", str(file)]
        self._process = Process(command, core=stand.server_core, log=stand.file("nginx.out"))
        try:
            self._worker = self._process.worker()
        except BaseException:
            self._process.__exit__(None, None, None)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.__exit__(None, None, None)

    def run(
        self, clients: int, *, count: int, rate: int, arguments: Sequence[str]
    ) -> tuple[Delivered, list[float]]:
        """Posts ``count`` messages (rate 0: as fast as they are answered) and counts them."""
        known = ["-n", str(clients), "--pub", PUBLISH, "--pub-count", str(count)]
        known += ["--pub-rate", str(rate), "--pub-size", str(SIZE), "--pid", str(self._worker)]
        load = Load(
            self._stand.load,
            self._stand.directory,
            port=self._port,
            path=SUBSCRIBE,
            arguments=[*known, *arguments],
        )
        try:
            return load.result(), []
        finally:
            load.kill()


def _config(directory: Path, port: int) -> str:
    return _CONFIG.format(
        user="user root;" if os.geteuid() == 0 else "",
        module=MODULE,
        directory=directory,
        port=port,
        publish=PUBLISH,
        subscribe=SUBSCRIBE,
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port

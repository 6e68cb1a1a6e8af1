"""A real nginx, before the station and behind it, for as long as a test needs it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

PROGRAM = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
START_S = 10.0
TRIES = 5

FRAME = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log info;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  upstream peer {{ server {peer}; keepalive {kept}; {upstream} }}
  server {{
    listen 127.0.0.1:{port};
    {server}
    location / {{ proxy_pass http://peer; {location} }}
  }}
}}
"""


class NginxMissing(Exception):
    """The tests need nginx: ``apt install nginx-light``, or run them with --quick."""


@dataclass
class Nginx:
    """One process that listens on ``url`` and hands on to a peer."""

    url: str
    folder: Path
    process: subprocess.Popen[bytes]

    def log(self) -> str:
        return (self.folder / "error.log").read_text()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def start(folder: Path, peer_url: str, *, location: str = "", server: str = "", upstream: str = "") -> Nginx:
    """Start nginx before a peer, on a port that is free. Raises NginxMissing."""
    if PROGRAM is None:
        raise NginxMissing(NginxMissing.__doc__)
    folder.mkdir(exist_ok=True)
    peer = peer_url.removeprefix("http://")
    for _ in range(TRIES):
        port = _free_port()
        text = FRAME.format(
            folder=folder, peer=peer, kept=8, port=port, location=location, server=server, upstream=upstream
        )
        (folder / "nginx.conf").write_text(text)
        command = [PROGRAM, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        if _is_listening(process, port):
            return Nginx(f"http://127.0.0.1:{port}", folder, process)
        process.kill()
        process.wait()
    raise RuntimeError((folder / "error.log").read_text())


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _is_listening(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the process takes connections; False when it ends instead, because somebody else has the port."""
    ends_at = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < ends_at:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return process.poll() is None
    return False

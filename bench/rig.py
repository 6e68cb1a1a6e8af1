"""The machines of a benchmark: a mock vendor, nginx as a plain proxy, and a station with money on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from yiapi.apikeys import insert_key
from yiapi.app import open_app
from yiapi.db import Transaction, migrate
from yiapi.first_run import prepare
from yiapi.ledger import top_up, wallet_of
from yiapi.money import Money
from yiapi.providers.contract import Unit
from yiapi.secrets import load_secret
from yiapi.settings import load_settings

HERE = Path(__file__).parent
MODEL = "mock-model"
GATEWAY_CORE, OTHER_CORE = 0, 1
START_S = 90.0
NEEDED = {"nginx": "nginx-light", "wrk": "wrk", "cc": "gcc"}
SYSTEM_TEXT = ("You are a careful assistant. Answer briefly and cite your sources. " * 13)[:820]


@dataclass(frozen=True)
class Rig:
    """Where everything listens. ``gateway_pid`` is the process that serves callers."""

    mock: str
    nginx: str
    station: str
    key: str
    gateway_pid: int
    settler_pid: int
    nginx_pid: int
    data: Path


def missing() -> list[str]:
    """Return the Debian packages that a benchmark needs and this machine lacks."""
    return [package for program, package in NEEDED.items() if shutil.which(program) is None]


@contextlib.contextmanager
def rig(folder: Path) -> Iterator[Rig]:
    """Start everything in a folder, and end it again."""
    with contextlib.ExitStack() as stack:
        mock_port, nginx_port, station_port = free_port(), free_port(), free_port()
        subprocess.run(["cc", "-O2", "-w", "-o", folder / "mock", HERE / "mock_upstream.c"], check=True)
        stack.enter_context(process([folder / "mock", str(mock_port)], core=OTHER_CORE))
        nginx = stack.enter_context(
            process(["nginx", "-p", folder, "-c", nginx_conf(folder, mock_port, nginx_port)], core=GATEWAY_CORE)
        )
        data = folder / "data"
        key = asyncio.run(furnish(data, mock_port))
        log = stack.enter_context((folder / "station.log").open("w"))
        command = [sys.executable, "-m", "yiapi", "serve", "--data", data, "--port", str(station_port), "--no-sandbox"]
        env = os.environ | {"YIAPI_PERMIT_HOST": "127.0.0.1", "YIAPI_LOG_LEVEL": "warning", "YIAPI_DRAIN_LISTEN_S": "0"}
        station = stack.enter_context(process(command, core=OTHER_CORE, env=env, stderr=log))
        wait_until_ready(f"http://127.0.0.1:{station_port}/readyz")
        gateway = child_of(station.pid, b"gateway")
        settler = child_of(gateway, b"yiapi.calls")
        pin(gateway, GATEWAY_CORE)
        yield Rig(
            mock=f"http://127.0.0.1:{mock_port}/v1/chat/completions",
            nginx=f"http://127.0.0.1:{nginx_port}/v1/chat/completions",
            station=f"http://127.0.0.1:{station_port}/v1/chat/completions",
            key=key,
            gateway_pid=gateway,
            settler_pid=settler,
            nginx_pid=child_of(nginx.pid, b"worker process"),
            data=data,
        )


async def furnish(data: Path, mock_port: int) -> str:
    """Prepare a data folder: a funded live account, a live channel to the mock, a price for its model."""
    data.mkdir()
    settings = load_settings(data=data, sandbox=False, permit_host=("127.0.0.1",))
    migrate(settings.database_url)
    await prepare(settings, load_secret(data, None))
    async with open_app(settings, "furnish") as app:
        apikeys = app.station.apikeys
        account = (await apikeys.list_accounts())[0]
        new, text = apikeys.new_key(account.id, "live", name="bench")

        def fund(tx: Transaction) -> None:
            top_up(tx, "bench", wallet_of(account.id, "live"), Money.parse("100000"))
            insert_key(tx, new)

        await app.database.write(fund)
        for unit, sell in ((Unit.TOKEN_IN, 2_500_000_000), (Unit.TOKEN_OUT, 10_000_000_000)):
            await app.station.pricing.edit(
                "openai", MODEL, unit, sell=sell, cost=sell, quantity_max=16384, author="bench"
            )
        await app.channels.create_channel("openai", "mock", f"http://127.0.0.1:{mock_port}", ["bench-credential"])
    return text


def nginx_conf(folder: Path, mock_port: int, port: int) -> Path:
    """Write nginx's configuration for these ports."""
    text = (HERE / "nginx_proxy.conf").read_text()
    text = text.replace("127.0.0.1:9101", f"127.0.0.1:{mock_port}").replace("127.0.0.1:9000", f"127.0.0.1:{port}")
    path = folder / "nginx.conf"
    path.write_text(text.replace("127.0.0.1:9002", f"127.0.0.1:{free_port()}"))
    return path


@contextlib.contextmanager
def process(command: list[object], *, core: int, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program on one core for as long as the block lasts."""
    started = subprocess.Popen(
        ["taskset", "-c", str(core), *map(str, command)],
        stdout=subprocess.DEVNULL,
        **options,  # type: ignore[call-overload]
    )
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(timeout=50)
        except subprocess.TimeoutExpired:
            started.kill()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until_ready(url: str) -> None:
    """Wait until a station answers that it is ready."""
    ends_at = time.monotonic() + START_S
    while time.monotonic() < ends_at:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        else:
            return
    raise SystemExit("bench: the station did not become ready")


def child_of(parent_pid: int, word: bytes) -> int:
    """Find the child of a process whose command has a word in it."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
                if parent == parent_pid and word in (folder / "cmdline").read_bytes():
                    return int(folder.name)
    raise SystemExit(f"bench: no {word.decode()} was found")


def pin(pid: int, core: int) -> None:
    """Bind every thread of a process to one core."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


def cpu_s(pid: int) -> float:
    """Return the processor time of a process by the kernel's accounting, all threads."""
    texts = [(thread / "schedstat").read_text() for thread in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int(text.split()[0]) for text in texts) / 1e9


class Meter:
    """Measures what a process uses of the processor while a block runs."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.used_s = 0.0

    def __enter__(self) -> Self:
        self._before = cpu_s(self._pid)
        return self

    def __exit__(self, *_: object) -> None:
        self.used_s = cpu_s(self._pid) - self._before


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def body(folder: Path, **fields: object) -> Path:
    """Write the request body of about a kilobyte."""
    messages = [
        {"role": "system", "content": SYSTEM_TEXT},
        {"role": "user", "content": "Say hello to the gateway benchmark."},
    ]
    path = folder / f"body-{len(list(folder.glob('body-*')))}.json"
    path.write_text(json.dumps({"model": MODEL, "messages": messages, "temperature": 0.7, **fields}))
    return path

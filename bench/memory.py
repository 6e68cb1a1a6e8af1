"""The gateway's memory over many calls."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from bench.load import body, run
from bench.report import Row, rounded
from bench.rig import resident_mib, rig


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say which options it takes."""
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=3, help="of load between two looks")


def measure(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Send many calls and look at the gateway's memory on the way."""
    sent, done = body(folder), 0
    with rig(folder) as machines:
        ours = machines.station
        while done < options.calls:
            done += run(ours.url, sent, key=ours.key, connections=32, seconds=options.seconds).requests
            yield {"calls": done, "resident_mib": rounded(resident_mib(ours.gateway_pids[0]))}

"""Resident memory under steady load, at a share of what the station can do."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.load import Result, body, run
from bench.report import Row, rounded
from bench.rig import Station, resident_mib, rig

SHARE = 0.7
CONNECTIONS_FULL = 32
FULL_S = 5
CONNECTIONS = 128
"""Of the steady load: so many that the pause of each, in whole milliseconds, is long enough to be set."""
TRIALS = 3
TRIAL_S = 3
FLAT = 0.05


@dataclass
class Load:
    """Calls at a steady rate: each connection pauses before a call, and the pause follows what came of it."""

    station: Station
    body: Path
    wanted: float
    pause_ms: float

    def hold(self, seconds: int) -> Result:
        """Send for some seconds, and correct the pause for the next time."""
        told = run(
            self.station.url,
            self.body,
            key=self.station.key,
            connections=CONNECTIONS,
            seconds=seconds,
            pause_ms=self.pause_ms,
        )
        correction = CONNECTIONS * 1000 * (1 / self.wanted - 1 / max(told.per_second, 1.0))
        self.pause_ms = max(self.pause_ms + correction, 0.0)
        return told


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say which options it takes."""
    parser.add_argument("--minutes", type=float, default=10.0)


def measure(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Find the most that goes, hold a share of it, look at the memory each minute, and say whether it grew."""
    sent = body(folder)
    with rig(folder) as machines:
        ours = machines.station
        most = run(ours.url, sent, key=ours.key, connections=CONNECTIONS_FULL, seconds=FULL_S).per_second
        load = Load(ours, sent, wanted=SHARE * most, pause_ms=CONNECTIONS * 1000 / (SHARE * most))
        yield {"most/s": rounded(most), "held/s": rounded(load.wanted)}
        for _ in range(TRIALS):
            load.hold(TRIAL_S)
        resident = []
        for at_s, seconds in _slices(options.minutes):
            told = load.hold(seconds)
            resident.append(resident_mib(ours.gateway_pids[0]))
            yield {
                "minute": rounded(at_s / 60),
                "requests": told.requests,
                "requests/s": rounded(told.per_second),
                "errors": told.errors,
                "p99_us": told.p99_us,
                "gateway_mib": rounded(resident[-1]),
                "settler_mib": rounded(resident_mib(ours.settler_pids[0])),
            }
    growth = max(resident) / resident[0] - 1
    yield {"gateway_growth": rounded(growth), "flat within 5 %": growth <= FLAT}


def _slices(minutes: float) -> Iterator[tuple[int, int]]:
    """Yield the end and the length of each slice: minutes, or quarters of a shorter time."""
    whole_s = max(round(minutes * 60), 4)
    length_s = 60 if whole_s >= 120 else whole_s // 4
    for at_s in range(length_s, whole_s + 1, length_s):
        yield at_s, length_s

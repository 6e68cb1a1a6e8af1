"""Time: one place that reads the clocks, so that tests can turn them.

Durations use the monotonic clock. Leases, expiry and deadlines are decided on the database's time (``now_ms()`` in SQL,
see ``yiapi.db``); the wall clock here only stamps what people read.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the code may ask about time."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970 by the wall clock."""
        ...

    def monotonic(self) -> float:
        """Return seconds of a clock that never jumps."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970."""
        return int(time.time() * 1000)

    monotonic = staticmethod(time.monotonic)  # asked ten times in a call, so without a function of ours around it


def whole_ms(seconds: float) -> int:
    """Return a duration in whole milliseconds, rounded."""
    return int(seconds * 1000 + 0.5)


@dataclass
class ManualClock:
    """A clock for tests: it stands still until it is turned."""

    wall_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    elapsed_s: float = 0.0

    def now_ms(self) -> int:
        """Return the time that was set."""
        return self.wall_ms

    def monotonic(self) -> float:
        """Return the seconds that were turned so far."""
        return self.elapsed_s

    def turn(self, seconds: float) -> None:
        """Move both clocks forward."""
        self.wall_ms += round(seconds * 1000)
        self.elapsed_s += seconds


def rfc3339(ms: int) -> str:
    """Write milliseconds since 1970 as RFC 3339 in UTC: ``2026-11-23T08:00:00.120Z``."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rfc3339_or_none(ms: int | None) -> str | None:
    """Write a time that may be missing."""
    return None if ms is None else rfc3339(ms)

"""When to look at a task, and when its time is over: plain arithmetic."""

from __future__ import annotations

import random
from dataclasses import dataclass

from yiapi.channels import Channel
from yiapi.providers.contract import Status
from yiapi.providers.registry import Served
from yiapi.settings import Settings

HOLD_SPARE_S = 20 * 60
"""How long after its deadline the hold of a task is kept: until the last of its ends by time has been written."""

UNKNOWN_S = 5 * 60
FIND_PAUSE_S = 15.0
FIND_S = 30.0
FIND_LOOKS_MIN = 2
COPY_S = 600.0
LATE_RESULT_S = 3600.0
AGE_SHARE = 0.25
WATCHED_PAUSE_S_MAX = 2.0
FIRST_LOOK_SPARE_S = 0.3
JITTER = 0.1


@dataclass(frozen=True, slots=True)
class Cadence:
    """How often a station looks at tasks that nobody waits for."""

    floor_s: float
    ceiling_s: float

    def pause_s(self, age_s: float, *, is_watched: bool) -> float:
        """Return the pause until the next look: a quarter of the age between floor and ceiling, with jitter."""
        pause_s = age_s * AGE_SHARE
        if pause_s < self.floor_s:
            pause_s = self.floor_s
        elif pause_s > self.ceiling_s:
            pause_s = self.ceiling_s
        pause_s *= 1.0 - JITTER + 2 * JITTER * random.random()  # noqa: S311 - spreads load, guards nothing
        return min(pause_s, WATCHED_PAUSE_S_MAX) if is_watched else pause_s


def first_look_s(served: Served, channel: Channel, settings: Settings) -> float:
    """Return when to look first: after the usual time of the operation, which a channel may know better."""
    if channel.is_sandbox:
        return settings.sandbox_task_seconds + FIRST_LOOK_SPARE_S
    try:
        usual_s = float(channel.settings.get("usual_s", served.operation.usual_s))
    except (TypeError, ValueError):
        return served.operation.usual_s
    return usual_s if 0 <= usual_s < float("inf") else served.operation.usual_s


def over_at(
    status: Status,
    *,
    created_at: int,
    started_at: int | None,
    succeeded_at: int | None,
    finished_at: int | None,
    deadline_at: int,
    window_until: int | None = None,
) -> int:
    """Return when a task ends by itself, in milliseconds by the database's clock.

    At its deadline; earlier when nobody knows whether the vendor has it, unless it fills a window, which the vendor
    has; later when the vendor succeeded in time and the files are being copied. One that has ended is looked at for an
    hour more.
    """
    if finished_at is not None:
        return finished_at + round(LATE_RESULT_S * 1000)
    if status is Status.UNKNOWN and window_until is None:
        return min(deadline_at, (started_at or created_at) + UNKNOWN_S * 1000)
    if succeeded_at is not None and succeeded_at <= deadline_at:
        return max(deadline_at, succeeded_at + round(COPY_S * 1000))
    return deadline_at

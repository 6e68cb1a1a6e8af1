"""What an attempt says, and when the next one is.

Ten attempts over 75 h 35 min; a receiver that asks for time gets it, and never less than the schedule says.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

MINUTE_S, HOUR_S = 60.0, 3600.0
PAUSES_S = (
    5.0,
    5 * MINUTE_S,
    30 * MINUTE_S,
    2 * HOUR_S,
    5 * HOUR_S,
    10 * HOUR_S,
    14 * HOUR_S,
    20 * HOUR_S,
    24 * HOUR_S,
)
ATTEMPTS_MAX = len(PAUSES_S) + 1
JITTER = 0.1

GONE = 410
SLOWING = frozenset({429, 502, 504})


class Outcome(Enum):
    """What an attempt came to."""

    DELIVERED = "delivered"
    FAILED = "failed"
    GONE = "gone"  # the receiver wants nothing more


def outcome_of(status: int | None) -> Outcome:
    """Judge by the status; None is no answer. A redirect is a failure: it is not followed."""
    if status is not None and 200 <= status < 300:
        return Outcome.DELIVERED
    return Outcome.GONE if status == GONE else Outcome.FAILED


def asks_for_time(status: int | None, retry_after_s: float | None) -> bool:
    """Whether a receiver that failed is to be called less often."""
    return status in SLOWING or retry_after_s is not None


def pause_s(tries: int, retry_after_s: float | None, random: Callable[[], float]) -> float | None:
    """Return how long to wait after so many attempts; None when there is no other. ``random`` is from 0 to 1."""
    if tries >= ATTEMPTS_MAX:
        return None
    jittered = PAUSES_S[tries - 1] * (1 - JITTER + 2 * JITTER * random())
    return max(jittered, retry_after_s or 0.0)

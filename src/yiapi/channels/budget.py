"""How many retries a group of channels may cost, so that a provider's outage does not become a storm."""

from __future__ import annotations

import math

from yiapi.clock import Clock

WINDOW_S = 60
RETRY_SHARE = 0.1
FLOOR_PAUSE_S = 1.0

UpstreamGroup = tuple[str, str]
"""Provider and mode."""


class _Minute:
    """Requests and retries of the last minute, by second."""

    __slots__ = ("last_retry_at", "requests", "retries", "second", "sum_requests", "sum_retries")

    def __init__(self, second: int) -> None:
        self.second = second
        self.requests = [0] * WINDOW_S
        self.retries = [0] * WINDOW_S
        self.sum_requests = self.sum_retries = 0
        self.last_retry_at = -math.inf

    def advance(self, second: int) -> int:
        """Drop the seconds that have left the window and return the place of this one."""
        for passed in range(self.second + 1, min(second, self.second + WINDOW_S) + 1):
            place = passed % WINDOW_S
            self.sum_requests -= self.requests[place]
            self.sum_retries -= self.retries[place]
            self.requests[place] = self.retries[place] = 0
        self.second = max(second, self.second)
        return self.second % WINDOW_S


class RetryBudget:
    """Retries of each group: a tenth of its requests of the last minute, or one a second where that is more.

    The sandbox budgets nothing: a caller who rehearses failures there takes nothing from anybody.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._minutes: dict[UpstreamGroup, _Minute] = {}

    def note_request(self, group: UpstreamGroup) -> None:
        """Count a caller's request, not its attempts."""
        if group[1] == "test":
            return
        minute, place, _ = self._now(group)
        minute.requests[place] += 1
        minute.sum_requests += 1

    def may_retry(self, group: UpstreamGroup) -> bool:
        """Take a retry from the budget; False if there is none, and then the failure is the answer."""
        if group[1] == "test":
            return True
        minute, place, now = self._now(group)
        share = RETRY_SHARE * minute.sum_requests
        is_floor_free = share < WINDOW_S / FLOOR_PAUSE_S and now - minute.last_retry_at >= FLOOR_PAUSE_S
        if minute.sum_retries + 1 > share and not is_floor_free:
            return False
        minute.retries[place] += 1
        minute.sum_retries += 1
        minute.last_retry_at = now
        return True

    def _now(self, group: UpstreamGroup) -> tuple[_Minute, int, float]:
        now = self._clock.monotonic()
        minute = self._minutes.get(group)
        if minute is None:
            minute = self._minutes[group] = _Minute(int(now))
        second = int(now)
        return minute, second % WINDOW_S if second == minute.second else minute.advance(second), now

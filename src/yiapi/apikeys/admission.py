"""How much a key and its account may do at once and in a minute.

Counted in this process and exactly: a moving minute, not one by the clock, so that no two minutes' worth fits into a
moment. Without rates an admission is two counters that go up by one.
"""

from __future__ import annotations

import math
from collections import deque

from yiapi.apikeys.models import Key
from yiapi.clock import Clock
from yiapi.errors import RateLimited

MINUTE_S = 60.0
PARALLEL_RETRY_S = 1.0

Headers = tuple[tuple[bytes, bytes], ...]


class Gauge:
    """How many calls are running."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Slot:
    """A call's place; ``release`` gives it back, once. ``headers`` are the ``x-ratelimit-*`` lines of its answer."""

    __slots__ = ("_gauges", "headers")

    def __init__(self, gauges: tuple[Gauge, ...], headers: Headers) -> None:
        self._gauges = gauges
        self.headers = headers

    def release(self) -> None:
        """Give the place back; a second time changes nothing."""
        for gauge in self._gauges:
            gauge.count -= 1
        self._gauges = ()


class Window:
    """What was used in the last minute."""

    __slots__ = ("_entries", "used")

    def __init__(self) -> None:
        self._entries: deque[tuple[float, int]] = deque()
        self.used = 0

    def forget(self, now: float) -> None:
        """Drop what is a minute old."""
        entries = self._entries
        while entries and entries[0][0] <= now - MINUTE_S:
            self.used -= entries.popleft()[1]

    def wait_s(self, amount: int, limit: int, now: float) -> float:
        """Return how long it takes until so much fits: 0 if it does, infinity if it never will."""
        if self.used + amount <= limit:
            return 0.0
        if amount > limit:
            return math.inf
        excess = self.used + amount - limit
        for at, used in self._entries:
            excess -= used
            if excess <= 0:
                return at + MINUTE_S - now
        return MINUTE_S

    def take(self, amount: int, now: float) -> None:
        """Note what is used now."""
        if amount:
            self._entries.append((now, amount))
            self.used += amount

    def reset_s(self, now: float) -> float:
        """Return how long it takes until nothing of it is left."""
        return self._entries[-1][0] + MINUTE_S - now if self._entries else 0.0


class Admission:
    """Counts the calls of all accounts and keys."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._accounts: dict[tuple[str, str], Gauge] = {}
        self._keys: dict[str, Gauge] = {}
        self._windows: dict[tuple[str, str], Window] = {}

    def admit(self, key: Key, tokens: int) -> Slot:
        """Take a place for a call that will read and write up to so many tokens. Raises RateLimited, taking nothing."""
        gauges: tuple[Gauge, ...] = ()
        account = key.account
        if account is not None:
            gauge = self._accounts.get((account.id, key.mode))
            if gauge is None:
                gauge = self._accounts[account.id, key.mode] = Gauge()
            if gauge.count >= account.parallel_max:
                raise _too_many("account", account.parallel_max)
            gauges = (gauge,)
        if key.parallel_max is not None:
            gauge = self._keys.setdefault(key.id, Gauge())
            if gauge.count >= key.parallel_max:
                raise _too_many("API key", key.parallel_max)
            gauges = (*gauges, gauge)
        headers: Headers = ()
        if key.requests_per_minute is not None or key.tokens_per_minute is not None:
            headers = self._take_rates(key, tokens)
        for gauge in gauges:
            gauge.count += 1
        return Slot(gauges, headers)

    def _take_rates(self, key: Key, tokens: int) -> Headers:
        """Take from both minutes or from neither."""
        now = self._clock.monotonic()
        asked = [
            (name, limit, amount, self._windows.setdefault((key.id, name), Window()))
            for name, limit, amount in (
                ("requests", key.requests_per_minute, 1),
                ("tokens", key.tokens_per_minute, tokens),
            )
            if limit is not None
        ]
        for name, limit, amount, window in asked:
            window.forget(now)
            wait_s = window.wait_s(amount, limit, now)
            if wait_s:
                raise _too_fast(name, limit, wait_s)
        for _, _, amount, window in asked:
            window.take(amount, now)
        return tuple(line for name, limit, _, window in asked for line in _lines(name, limit, window, now))


def _lines(name: str, limit: int, window: Window, now: float) -> Headers:
    return (
        (f"x-ratelimit-limit-{name}".encode(), b"%d" % limit),
        (f"x-ratelimit-remaining-{name}".encode(), b"%d" % max(limit - window.used, 0)),
        (f"x-ratelimit-reset-{name}".encode(), b"%ds" % math.ceil(window.reset_s(now))),
    )


def _too_many(whose: str, limit: int) -> RateLimited:
    return RateLimited(f"this {whose} has {limit} requests running at once", retry_after_s=PARALLEL_RETRY_S)


def _too_fast(name: str, limit: int, wait_s: float) -> RateLimited:
    if wait_s == math.inf:
        return RateLimited(f"this request alone is above the {limit} {name} per minute of this API key")
    return RateLimited(f"this API key has used its {limit} {name} per minute", retry_after_s=wait_s)

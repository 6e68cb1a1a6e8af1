"""Time, so that tests can turn it instead of waiting."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What the sandbox asks for the time."""

    def now(self) -> float:
        """Return the Unix time in seconds."""

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds of this clock."""


class WallClock:
    """The real time."""

    def now(self) -> float:
        """Return the Unix time in seconds."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait for real."""
        await asyncio.sleep(seconds)


class TurnableClock:
    """A clock that stands still until somebody turns it."""

    def __init__(self, now: float = 1_744_012_345.0) -> None:
        self._now = now
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> float:
        """Return the Unix time that it was last turned to."""
        return self._now

    def turn(self, seconds: float) -> None:
        """Go forward, and wake whoever has slept long enough."""
        self._now += seconds
        for until, event in self._sleepers:
            if until <= self._now:
                event.set()
        self._sleepers = [sleeper for sleeper in self._sleepers if not sleeper[1].is_set()]

    @property
    def sleepers(self) -> int:
        """How many wait for a turn."""
        return len(self._sleepers)

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been turned that far."""
        if seconds <= 0:
            return
        event = asyncio.Event()
        self._sleepers.append((self._now + seconds, event))
        await event.wait()

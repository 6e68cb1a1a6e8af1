"""A line: the tasks of one channel and credential that are asked for in one way, by the time of their next look.

Each line has its own bound of parallel queries and its own pauses after failures, so a slow or dead channel delays
nobody else. While it fails it is asked by one query at a time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from yiapi.clock import Clock
from yiapi.providers.contract import Batch
from yiapi.tasks.queues import NextLooks
from yiapi.tasks.waiting import NEVER, Waiting

SINGLES_AT_ONCE = 32
BATCHES_AT_ONCE = 4
BATCH_AHEAD_S = 0.25
"""How much too early a task may be asked for, to go along with others."""

TICK_S = 0.001
"""What the event loop's timers can tell apart: one that is set to less goes off at once, before anything is due."""

FAILURES_FREE = 2
BACKOFF_S = 1.0
BACKOFF_S_MAX = 60.0
RETRY_AFTER_S_MAX = 300.0

Key = tuple[str | None, str | None, Batch | None]
Look = Callable[["Line", Sequence[Waiting]], Awaitable[None]]


class Line:
    """Begins looks when they are due. ``may_look`` says whether this worker may do anything at all now."""

    def __init__(
        self, key: Key, clock: Clock, look: Look, may_look: Callable[[], bool], *, at_once: int | None
    ) -> None:
        self.channel_id, self.credential_id, self.batch = key
        self.key = key
        self.tasks = NextLooks()
        self._clock = clock
        self._look = look
        self._may_look = may_look
        self._at_once = at_once or (SINGLES_AT_ONCE if self.batch is None else BATCHES_AT_ONCE)
        self._queries: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._paused_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER
        self._is_running = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits here and nothing is asked."""
        return not len(self.tasks) and not self._queries

    @property
    def is_full(self) -> bool:
        """Whether one more query would be too many."""
        return len(self._queries) >= (1 if self._failures > FAILURES_FREE else self._at_once)

    @property
    def queries(self) -> set[asyncio.Task[None]]:
        """The queries under way."""
        return self._queries

    # Running

    def run(self) -> None:
        """Look by itself from now on, whenever something is due."""
        self._is_running = True
        self._wake_at(self.tasks.first())

    def stop(self) -> None:
        """Begin no more looks."""
        self._is_running = False
        self._set_timer(NEVER)

    def push(self, task: Waiting) -> None:
        """Let a task wait until its next look."""
        self.tasks.push(task)
        if self._is_running and task.look_at < self._timer_at:
            self._wake_at(task.look_at)

    def start_due(self) -> None:
        """Begin as many looks as are due and allowed."""
        now = self._clock.monotonic()
        if now < self._paused_until or not self._may_look():
            return
        while not self.is_full:
            work = self._next(now)
            if not work:
                return
            query = asyncio.ensure_future(self._look(self, work))
            self._queries.add(query)
            query.add_done_callback(self._looked)

    def _next(self, now: float) -> list[Waiting]:
        """Take out one query's tasks: one, or for a batch all that are due and some that are nearly due."""
        first = self.tasks.pop(now)
        if first is None:
            return []
        work = [first]
        if self.batch is not None:
            until = now + BATCH_AHEAD_S
            while len(work) < self.batch.size_max and (other := self.tasks.pop(until)) is not None:
                work.append(other)
        return work

    def _looked(self, query: asyncio.Task[None]) -> None:
        self._queries.discard(query)
        if self._is_running:
            self._ring()

    def _ring(self) -> None:
        """Begin what is due, and set the one timer anew: who rings may be a query that has ended, with a timer set."""
        self._set_timer(NEVER)
        self.start_due()
        self._wake_at(self.tasks.first())

    def _wake_at(self, at: float) -> None:
        """Look again at this time, or when the pause is over; a full line is woken by the end of a query."""
        if not self._may_look():
            at = max(at, self._clock.monotonic() + 1.0)
        elif self.is_full:
            at = NEVER
        self._set_timer(max(at, self._paused_until))

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = at
        if at < NEVER:
            wait_s = max(at - self._clock.monotonic(), TICK_S)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._ring)

    # Failing

    def answered(self) -> None:
        """Note that the channel answers."""
        self._failures = 0

    def failed(self, retry_after_s: float | None) -> None:
        """Note that it does not, and pause: as long as it asked for, or longer each time."""
        self._failures += 1
        if retry_after_s is not None:
            pause_s = min(max(retry_after_s, 1.0), RETRY_AFTER_S_MAX)
        elif self._failures > FAILURES_FREE:
            doubled = BACKOFF_S * 2.0 ** min(self._failures - FAILURES_FREE - 1, 10)
            pause_s = min(doubled, BACKOFF_S_MAX) * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load
        else:
            return
        self._paused_until = max(self._paused_until, self._clock.monotonic() + pause_s)

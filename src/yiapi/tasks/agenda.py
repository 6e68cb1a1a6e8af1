"""The agenda of a worker: every task of its buckets that waits, in lines by where and how it is asked for."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from yiapi.channels import Channels
from yiapi.clock import Clock
from yiapi.db import Row
from yiapi.logs import get_logger
from yiapi.providers.contract import Status
from yiapi.providers.registry import Registry
from yiapi.tasks.cadence import FIND_PAUSE_S, Cadence
from yiapi.tasks.line import Key, Line, Look
from yiapi.tasks.queues import Ends
from yiapi.tasks.waiting import GONE, NEVER, Waiting

log = get_logger()


class Agenda:
    """What waits, by bucket and id. Everything here happens on one event loop."""

    def __init__(
        self,
        registry: Registry,
        channels: Channels,
        clock: Clock,
        cadence: Cadence,
        look: Look,
        may_look: Callable[[], bool],
    ) -> None:
        self.lines: dict[Key, Line] = {}
        self._buckets: dict[int, dict[str, Waiting]] = {}
        self._ends = Ends()
        self._registry = registry
        self._channels = channels
        self._clock = clock
        self._cadence = cadence
        self._look = look
        self._may_look = may_look
        self._is_running = False

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def get(self, bucket: int, task_id: str) -> Waiting | None:
        """Return a task that waits."""
        return self._buckets.get(bucket, {}).get(task_id)

    def busy(self) -> Iterator[Waiting]:
        """Return the tasks that are asked for or copied just now."""
        return (task for bucket in self._buckets.values() for task in bucket.values() if task.is_busy)

    def ids(self, bucket: int) -> set[str]:
        """Return what waits in a bucket."""
        return set(self._buckets.get(bucket, ()))

    # Coming and going

    def load(self, rows: Iterable[Row]) -> int:
        """Add tasks of a bucket that was taken; their next looks are spread over their pauses."""
        count = 0
        for row in rows:
            if self.get(row["bucket"], row["id"]) is None:
                task = self._add(row)
                self._wait(task, self._pause_s(task) * random.random())  # noqa: S311 - spreads load
                count += 1
        return count

    def take_up(self, row: Row) -> None:
        """Add a task that its gateway has put into the queue, or read one anew, and look at it now."""
        known = self.get(row["bucket"], row["id"])
        if known is not None and known.is_copying and row["finished_at"] is None:
            return
        task = self._add(row)
        if known is not None:
            task.misses, task.is_unnamed = known.misses, known.is_unnamed
        is_news = known is None or not known.has_ended
        if is_news and task.status is Status.CANCELLED and task.served and task.shape.cancel is not None:
            task.is_to_be_stopped = True
        self._wait(task, 0.0)

    def _add(self, row: Row) -> Waiting:
        known = self.get(row["bucket"], row["id"])
        if known is not None:
            self.drop(known)
        served = self._registry.served.get(row["operation"])
        if served is None:
            log.error("operation_unknown", task_id=row["id"], operation=row["operation"])
        task = Waiting(row, served, self._clock.monotonic())
        self._buckets.setdefault(task.bucket, {})[task.id] = task
        self._ends.push(task)
        return task

    def drop(self, task: Waiting) -> None:
        """Let a task wait no longer: it has ended, or its bucket is another's."""
        if task.is_gone:
            return
        bucket = self._buckets[task.bucket]
        del bucket[task.id]
        if not bucket:
            del self._buckets[task.bucket]
        task.ends_at = GONE
        self._ends.stale()
        if not task.is_busy:
            line = self.lines.get(_key_of(task))
            if line is not None:
                line.tasks.stale()
        task.look_at = GONE

    def drop_bucket(self, number: int) -> None:
        """Forget the tasks of a bucket."""
        for task in list(self._buckets.get(number, {}).values()):
            self.drop(task)

    # Looks

    def snooze(self, task: Waiting) -> None:
        """Let a task wait for its next look."""
        task.is_busy = False
        self._wait(task, self._pause_s(task))

    def look_in(self, task: Waiting, wait_s: float) -> None:
        """Let a task wait for a time of its own."""
        task.is_busy = False
        self._wait(task, wait_s)

    def _pause_s(self, task: Waiting) -> float:
        now = self._clock.monotonic()
        if task.has_ended:
            return self._cadence.ceiling_s
        if task.status is Status.UNKNOWN:
            return FIND_PAUSE_S
        return self._cadence.pause_s(now - task.began_at, is_watched=task.watched_until > now)

    def _wait(self, task: Waiting, wait_s: float) -> None:
        if task.is_gone or task.served is None or task.is_window:
            return
        task.look_at = self._clock.monotonic() + wait_s
        key = _key_of(task)
        line = self.lines.get(key)
        if line is None:
            line = self.lines[key] = self._line(key)
        line.push(task)

    def _line(self, key: Key) -> Line:
        channel = self._channels.get(key[0] or "")
        line = Line(key, self._clock, self._look, self._may_look, at_once=_at_once(channel.settings if channel else {}))
        if self._is_running:
            line.run()
        return line

    def run(self) -> None:
        """Look by itself from now on."""
        self._is_running = True
        for line in self.lines.values():
            line.run()

    def stop(self) -> None:
        """Begin no more looks."""
        self._is_running = False
        for line in self.lines.values():
            line.stop()

    def start_due(self) -> int:
        """Begin what is due; return how many queries are under way."""
        for line in list(self.lines.values()):
            line.start_due()
        return sum(len(line.queries) for line in self.lines.values())

    def tidy(self) -> None:
        """Forget lines in which nothing waits."""
        for key, line in list(self.lines.items()):
            if line.is_empty:
                line.stop()
                del self.lines[key]

    # Ends by time

    def time_is_over(self) -> Iterator[Waiting]:
        """Take out the tasks whose time is over; who does not drop one has to give it another time."""
        now = self._clock.monotonic()
        while (task := self._ends.pop(now)) is not None:
            yield task

    def end_at(self, task: Waiting, ends_at: float) -> None:
        """Give a task another time to end by itself."""
        if not task.is_gone and task.ends_at != ends_at:
            task.ends_at = ends_at
            self._ends.stale()
            self._ends.push(task)

    def end_in(self, task: Waiting, wait_s: float) -> None:
        """Ask once more in a moment about a task whose time seemed to be over."""
        if not task.is_gone:
            task.ends_at = self._clock.monotonic() + wait_s
            self._ends.push(task)

    def next_end(self) -> float:
        """Return when the next task ends by itself."""
        return self._ends.first()


def _key_of(task: Waiting) -> Key:
    shape = task.served.operation.task if task.served else None
    is_alone = shape is None or task.vendor_task_id is None or task.is_unnamed or task.is_to_be_stopped
    return (task.channel_id, task.credential_id, None if is_alone or shape is None else shape.batch)


def _at_once(settings: Mapping[str, Any]) -> int | None:
    """Return how many queries a channel may get at once, where its operator says so."""
    given = settings.get("polls_at_once")
    try:
        count = int(given) if given is not None else 0
    except (TypeError, ValueError):
        return None
    return count if 1 <= count <= 1024 else None


__all__ = ["NEVER", "Agenda"]

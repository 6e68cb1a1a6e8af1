"""Metrics for Prometheus: counters of calls, money and waits; no label has more values than the catalogue has names."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as TallyOf
from collections.abc import Sequence
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_BUCKETS_MS: Final = tuple(bound_s * 1000 for bound_s in BUCKETS_S)


class Finished(Protocol):
    """What is counted of a call."""

    operation: str
    mode: str
    status: str
    error_code: str | None
    is_estimated: bool
    duration_ms: int


class TalliedHistogram(Histogram):
    """A histogram that takes many observations at once: one by one each costs two writes that other processes see."""

    def observe_all(self, counts: Sequence[int], total: float) -> None:
        """Count observations, by how many there are in each bucket from the lowest up, and their sum."""
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)
        self._sum.inc(total)


class _Ends:
    """Calls of one operation, mode and end: how many in each bucket of time, and their time in all."""

    __slots__ = ("counts", "total_ms")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.total_ms = 0


class Metrics:
    """The station's metrics; with ``PROMETHEUS_MULTIPROC_DIR`` they are summed over its processes.

    Calls are tallied here; ``flush`` brings the tallies into the counters once a second, because a counter that other
    processes can read costs more than the rest of the bookkeeping of a call.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self.registry = registry
        self.calls = Counter("yiapi_calls", "Calls that ended.", ("operation", "mode", "status"), registry=registry)
        self.faults = Counter("yiapi_call_faults", "Calls that failed, by code.", ("code",), registry=registry)
        self.refused = Counter("yiapi_refused", "Calls refused before a hold, by code.", ("code",), registry=registry)
        self.estimated = Counter("yiapi_usage_estimated", "Calls charged by our own count.", registry=registry)
        self.seconds = TalliedHistogram(
            "yiapi_call_seconds", "How long calls took.", ("operation",), buckets=BUCKETS_S, registry=registry
        )
        self.in_flight = Gauge(
            "yiapi_calls_in_flight", "Calls under way.", multiprocess_mode="livesum", registry=registry
        )
        self.tasks = Counter("yiapi_tasks", "Tasks that ended.", ("operation", "mode", "status"), registry=registry)
        self.tasks_waiting = Gauge(
            "yiapi_tasks_waiting", "Tasks that a worker looks at.", multiprocess_mode="livesum", registry=registry
        )
        self.task_looks = Counter("yiapi_task_looks", "Looks at tasks of vendors.", registry=registry)
        self.task_writes_refused = Counter(
            "yiapi_task_writes_refused", "Writes about tasks that were another's or had ended.", registry=registry
        )
        self.deliveries = Counter("yiapi_deliveries", "Attempts to deliver.", ("outcome",), registry=registry)
        self.delivery_wait = Histogram(
            "yiapi_delivery_wait_seconds",
            "How long events waited for their first attempt.",
            buckets=BUCKETS_S,
            registry=registry,
        )
        self._ends: dict[tuple[str, str, str], _Ends] = {}
        self._faults: TallyOf[str] = TallyOf()
        self._estimated = 0

    def finished(self, record: Finished) -> None:
        """Note a call that ended."""
        key = (record.operation, record.mode, record.status)
        ends = self._ends.get(key)
        if ends is None:
            ends = self._ends[key] = _Ends()
        duration_ms = record.duration_ms
        ends.counts[bisect_left(_BUCKETS_MS, duration_ms)] += 1
        ends.total_ms += duration_ms
        if record.error_code is not None:
            self._faults[record.error_code] += 1
        if record.is_estimated:
            self._estimated += 1

    def flush(self, in_flight: int) -> None:
        """Count what was noted since."""
        self.in_flight.set(in_flight)
        noted, self._ends = self._ends, {}
        for (operation, mode, status), ends in noted.items():
            self.calls.labels(operation, mode, status).inc(sum(ends.counts))
            self.seconds.labels(operation).observe_all(ends.counts, ends.total_ms / 1000)
        faults, self._faults = self._faults, TallyOf()
        for code, count in faults.items():
            self.faults.labels(code).inc(count)
        estimated, self._estimated = self._estimated, 0
        self.estimated.inc(estimated)

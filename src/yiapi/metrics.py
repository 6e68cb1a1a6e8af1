"""Metrics for Prometheus: counters of calls, money and waits; no label has more values than the catalogue has names."""

from __future__ import annotations

from collections import Counter as TallyOf
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Finished(Protocol):
    """What is counted of a call."""

    operation: str
    mode: str
    status: str
    error_code: str | None
    is_estimated: bool
    duration_ms: int


class Metrics:
    """The station's metrics; with ``PROMETHEUS_MULTIPROC_DIR`` they are summed over its processes.

    A call is only noted; ``flush`` counts what was noted, once a second, because a counter that other processes can
    read costs more than the rest of the bookkeeping of a call.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self.registry = registry
        self.calls = Counter("yiapi_calls", "Calls that ended.", ("operation", "mode", "status"), registry=registry)
        self.faults = Counter("yiapi_call_faults", "Calls that failed, by code.", ("code",), registry=registry)
        self.refused = Counter("yiapi_refused", "Calls refused before a hold, by code.", ("code",), registry=registry)
        self.estimated = Counter("yiapi_usage_estimated", "Calls charged by our own count.", registry=registry)
        self.seconds = Histogram(
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
        self._noted: list[Finished] = []

    def finished(self, record: Finished) -> None:
        """Note a call that ended."""
        self._noted.append(record)

    def flush(self, in_flight: int) -> None:
        """Count what was noted since."""
        noted, self._noted = self._noted, []
        self.in_flight.set(in_flight)
        ends = TallyOf((record.operation, record.mode, record.status) for record in noted)
        for labels, count in ends.items():
            self.calls.labels(*labels).inc(count)
        for code, count in TallyOf(record.error_code for record in noted if record.error_code is not None).items():
            self.faults.labels(code).inc(count)
        self.estimated.inc(sum(record.is_estimated for record in noted))
        for record in noted:
            self.seconds.labels(record.operation).observe(record.duration_ms / 1000)

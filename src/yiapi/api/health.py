"""Whether the station lives, whether it is ready, and its metrics."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from yiapi.api.answers import Handler, answering, json_answer
from yiapi.api.services import Services
from yiapi.channels import ChannelState
from yiapi.db import queries
from yiapi.errors import StationError
from yiapi.logs import lines_dropped

SQL = queries("api")
READY_S = 2.0
SHARED = "PROMETHEUS_MULTIPROC_DIR"


async def alive(request: Request) -> Response:
    """``GET /healthz``: the process answers."""
    return json_answer(request, {"status": "ok"})


def ready(services: Services) -> Handler:
    """``GET /readyz``: it takes calls, and the database answers."""

    async def answer(request: Request) -> Response:
        if services.node.is_draining:
            return json_answer(request, {"status": "draining"}, 503)
        try:
            async with asyncio.timeout(READY_S):
                await services.database.read(lambda tx: tx.one(SQL.ping))
        except (StationError, TimeoutError):
            return json_answer(request, {"status": "storage_unavailable"}, 503)
        return json_answer(request, {"status": "ready"})

    return answering(answer)


def metrics(services: Services) -> Handler:
    """``GET /metrics``: summed over the station's processes where they share a folder; gauges are this process's."""

    async def answer(request: Request) -> Response:
        del request
        node = services.node
        own = OfThisProcess(node.dispatcher.health.states(), lines_dropped())
        text = await asyncio.to_thread(written, node.metrics.registry, own)  # reads the files of all processes
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return answering(answer)


def written(shared: CollectorRegistry, own: OfThisProcess) -> bytes:
    """Write what is counted, and what this process sees at the moment."""
    beside = CollectorRegistry()
    beside.register(own)
    if SHARED in os.environ:
        shared = CollectorRegistry()
        MultiProcessCollector(shared)  # type: ignore[no-untyped-call]  # the library has no types here
    return generate_latest(shared) + generate_latest(beside)


@dataclass(frozen=True, eq=False)  # a registry keeps it as a key
class OfThisProcess(Collector):
    """The channels as this process sees them, and its lost log lines."""

    channels: Sequence[ChannelState]
    lines_dropped: int

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges of now."""
        is_open = GaugeMetricFamily(
            "yiapi_channel_open", "Channels that are out after failures (1) or not (0).", labels=("channel",)
        )
        cooled = GaugeMetricFamily("yiapi_channel_cooled_seconds", "How long a channel rests.", labels=("channel",))
        in_flight = GaugeMetricFamily("yiapi_channel_in_flight", "Calls on a channel.", labels=("channel",))
        for state in self.channels:
            is_open.add_metric((state.channel_id,), float(state.circuit != "closed"))
            cooled.add_metric((state.channel_id,), max(state.cooled_s, 0.0))
            in_flight.add_metric((state.channel_id,), state.in_flight)
        yield from (is_open, cooled, in_flight)
        yield CounterMetricFamily("yiapi_log_lines_dropped", "Log lines that were lost.", self.lines_dropped)

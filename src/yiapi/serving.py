"""A gateway and a worker as processes: start, serve, drain, end."""

from __future__ import annotations

import asyncio
import signal
import socket

from yiapi.api import api_app, envelope
from yiapi.app import App, open_app, repeat, tend
from yiapi.calls import node_name
from yiapi.collector import calm_collector
from yiapi.edge import AsgiBridge, Edge, EdgeLimits
from yiapi.logs import flush_logs, get_logger
from yiapi.relay import Relay, Watch
from yiapi.settings import Settings

HARD_END_S = 10.0
COUNT_S = 1.0
SWEEP_ASSETS_S = 60.0
SWEEP_ORPHANS_S = 3600.0
SWEEP_DELIVERIES_S = 3600.0

log = get_logger()


def edge_of(app: App) -> tuple[Edge, Watch]:
    """Return the HTTP side of a gateway, not listening yet, and the watch over its calls."""
    watch = Watch(app.station.clock, comment_s=app.settings.keep_alive_comment_s)
    relay = Relay(app.station, watch, AsgiBridge(api_app(app.station, app.database)), envelope=envelope)
    limits = EdgeLimits(head_s=app.settings.client_header_s)
    return Edge(relay, limits, refusal=relay.refusal, begin=relay.begin), watch


async def serve_gateway(settings: Settings, *, number: int, listener: socket.socket) -> None:
    """Serve callers until told to end, then drain."""
    stop = _stop_signal()
    async with open_app(settings, node_name(f"gateway-{number}", settings.data), has_settler_process=True) as app:
        await app.recover()
        tend(app)
        edge, watch = edge_of(app)
        app.start(watch.run())
        app.start(_count(app, watch))
        calm_collector()
        await edge.listen(listener)
        await stop
        await _drain(app, watch, edge)
    flush_logs()


async def _count(app: App, watch: Watch) -> None:
    """Bring the metrics up to date, once a second."""
    while True:
        await asyncio.sleep(COUNT_S)
        app.station.metrics.flush(len(watch.calls))


async def _drain(app: App, watch: Watch, edge: Edge) -> None:
    """Fail readiness, listen a little longer, let calls finish, tell streams to end, and go."""
    settings = app.settings
    app.station.is_draining = True
    log.info("draining", calls=len(watch.calls))
    await _until_idle(watch, settings.drain_listen_s, even_if_idle=True)
    edge.stop_listening()
    await _until_idle(watch, settings.drain_s - min(settings.drain_listen_s, settings.drain_s))
    app.station.is_ending = True
    watch.end_streams()
    await _until_idle(watch, HARD_END_S / 2)
    watch.leave_all()
    await _until_idle(watch, HARD_END_S / 2)
    await edge.aclose()
    log.info("drained", calls=len(watch.calls))


async def _until_idle(watch: Watch, limit_s: float, *, even_if_idle: bool = False) -> None:
    """Wait until no call is under way, or the time is over."""
    ends_at = asyncio.get_running_loop().time() + limit_s
    while (watch.calls or even_if_idle) and asyncio.get_running_loop().time() < ends_at:  # noqa: ASYNC110 - nobody else knows when calls end
        await asyncio.sleep(0.05)


async def run_worker(settings: Settings, *, name: str) -> None:
    """Look at tasks and tidy up until told to end."""
    stop = _stop_signal()
    async with open_app(settings, node_name(name, settings.data)) as app:
        await app.recover()
        tend(app)
        calm_collector()
        polling = asyncio.create_task(app.poller.run())
        app.start(app.courier.run())
        assets = app.station.assets
        app.start(repeat(assets.sweep, every_s=SWEEP_ASSETS_S, name="sweep_assets"))
        app.start(repeat(assets.sweep_orphans, every_s=SWEEP_ORPHANS_S, name="sweep_orphans"))
        app.start(repeat(app.courier.sweep, every_s=SWEEP_DELIVERIES_S, name="sweep_deliveries"))
        app.start(repeat(app.station.callbacks.forget, every_s=SWEEP_DELIVERIES_S, name="sweep_callbacks"))
        await asyncio.wait({polling, stop}, return_when=asyncio.FIRST_COMPLETED)
        polling.cancel()
        await asyncio.wait({polling})
        await app.poller.drain(settings.drain_s)
        await app.courier.flush()
    flush_logs()


def _stop_signal() -> asyncio.Future[None]:
    """Return a future that is done at SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[None] = loop.create_future()

    def note() -> None:
        if not stop.done():
            stop.set_result(None)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, note)
    return stop


__all__ = ["edge_of", "run_worker", "serve_gateway"]

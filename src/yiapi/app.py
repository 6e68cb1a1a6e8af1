"""The only place that builds and connects things: a node's services, its background work, and its HTTP application."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from yiapi.apikeys import ApiKeys
from yiapi.assets import Assets, FileLimits, Links, Retention, files_at
from yiapi.calls import (
    AnySettler,
    Calls,
    Journal,
    Node,
    SettlerProcess,
    SettlerThread,
    Tending,
    journal_folder,
    settle_leftovers,
)
from yiapi.channels import Channels
from yiapi.clock import Clock, SystemClock
from yiapi.db import Database
from yiapi.dispatch import ATTEMPTS_MAX, Dispatcher, Exchange
from yiapi.errors import StationError
from yiapi.fingerprint import recognise
from yiapi.logs import get_logger
from yiapi.metrics import Metrics
from yiapi.pricing import Pricing, Switches
from yiapi.providers.registry import Registry
from yiapi.relay import Station
from yiapi.secrets import Seal, ServerSecret, load_secret
from yiapi.settings import Settings
from yiapi.tasks import Callbacks, Poller, Tasks
from yiapi.upstream import AddressGuard, Client, Fetcher
from yiapi.webhooks import Courier, Secrets, Sender, Webhooks

TEND_S = 5.0
GRACE = 1.2
"""In renewals: a lease that was over for so long is ended."""
SWEEP_ASSETS_EVERY = 12
DAY_S = 86_400

log = get_logger()


@dataclass
class App:
    """One node with everything it works with."""

    settings: Settings
    secret: ServerSecret
    database: Database
    node: Node
    channels: Channels
    client: Client
    station: Station
    poller: Poller
    settler: AnySettler
    courier: Courier
    background: set[asyncio.Task[None]] = field(default_factory=set)

    def start(self, work: Awaitable[None]) -> None:
        """Run something for as long as the node lives."""
        task = asyncio.ensure_future(work)
        self.background.add(task)

    async def refresh(self) -> None:
        """Exchange the snapshots that have changed."""
        station = self.station
        for snapshot in (station.apikeys, station.pricing, station.switches):
            await snapshot.refresh()
        if await self.channels.refresh():
            station.exchange.credentials.forget()

    async def recover(self) -> None:
        """Take over what dead nodes left, and end what is past its time.

        What they had written down of calls is settled first, then their leases end, then their holds are released.
        """
        station, folder = self.station, journal_folder(self.settings.data)
        await asyncio.to_thread(settle_leftovers, self.settings.database_url, folder, self.node.name)
        await station.calls.end_leases()
        await station.tasks.recover()
        await station.calls.recover()
        await station.calls.sweep()


def sandbox_key(secret: ServerSecret) -> str:
    """Return the credential that this station's sandbox takes."""
    return secret.key("sandbox").hex()


@contextlib.asynccontextmanager
async def open_app(
    settings: Settings,
    name: str,
    *,
    clock: Clock | None = None,
    guard: AddressGuard | None = None,
    attempts_max: int = ATTEMPTS_MAX,
    registry: Registry | None = None,
    has_settler_process: bool = False,
) -> AsyncIterator[App]:
    """Build a node on a migrated database, and close it again. Raises SecretUnusable for another station's secret."""
    clock = clock or SystemClock()
    guard = guard or AddressGuard(settings.permits)
    registry = registry or Registry.discover()
    secret = load_secret(settings.data, settings.secret.get_secret_value() if settings.secret else None)
    settle_leftovers(settings.database_url, journal_folder(settings.data), name)
    database = Database(settings.database_url, clock=clock)
    try:
        await database.write(lambda tx: recognise(tx, secret))
        node = await Node.begin(database, name, lease_s=settings.lease_s, clock=clock)
        async with _settler(settings, node, is_process=has_settler_process) as settler:
            app = await _build(settings, secret, database, node, clock, guard, attempts_max, registry, settler)
            async with contextlib.aclosing(app.client):
                try:
                    yield app
                finally:
                    await _end(app)
        await node.end(database)
    finally:
        await asyncio.get_running_loop().run_in_executor(None, database.close)


@contextlib.asynccontextmanager
async def _settler(settings: Settings, node: Node, *, is_process: bool) -> AsyncIterator[AnySettler]:
    """Open the journal of a node, and let a settler run beside it; in the end it settles the rest."""
    journal = Journal(journal_folder(settings.data), node.name, node.id)
    settler: AnySettler
    if is_process:
        settler = SettlerProcess(journal, settings.database_url, log_level=settings.log_level)
    else:
        settler = SettlerThread(journal, settings.database_url)
    try:
        yield settler
    finally:
        await asyncio.to_thread(settler.end)


async def _end(app: App) -> None:
    """End the background work, and give back what was reserved ahead."""
    for task in app.background:
        task.cancel()
    await asyncio.gather(*app.background, return_exceptions=True)
    await app.poller.finish()
    await app.courier.finish()
    await app.station.tasks.outbox.finish()
    app.station.calls.purses.give_all_back()


async def _build(  # length: it is a list of parts
    settings: Settings,
    secret: ServerSecret,
    database: Database,
    node: Node,
    clock: Clock,
    guard: AddressGuard,
    attempts_max: int,
    registry: Registry,
    settler: AnySettler,
) -> App:
    client = Client(guard)
    apikeys = ApiKeys(database, secret, clock)
    channels = Channels(database, Seal(secret, "credentials"), clock, permitted=settings.permits)
    pricing, switches = Pricing(database, clock), Switches(database)
    await pricing.import_files(registry)
    await channels.ensure_sandbox_channels(registry, settings.sandbox_url, sandbox_key(secret))
    for snapshot in (apikeys, channels, pricing, switches):
        await snapshot.load()
    metrics = Metrics(CollectorRegistry())
    exchange = Exchange(client)
    fetcher = Fetcher(guard)
    assets = assets_for(settings, secret, database, clock, fetcher)
    webhooks, secrets, sender = webhooks_for(secret, database, clock, guard, fetcher)
    courier = Courier(database, secrets, sender, clock, metrics, webhooks.wake)
    calls = Calls(
        database,
        node,
        clock,
        settler.journal,
        calls_s_max=settings.total_stream_s,
        grace_s=GRACE * settings.lease_renew_s,
    )
    tasks = Tasks(database, registry, calls, pricing, assets, metrics, clock, settings, webhooks)
    station = Station(
        settings=settings,
        clock=clock,
        registry=registry,
        apikeys=apikeys,
        pricing=pricing,
        switches=switches,
        calls=calls,
        dispatcher=Dispatcher(channels, clock, attempts_max=attempts_max),
        exchange=exchange,
        assets=assets,
        tasks=tasks,
        webhooks=webhooks,
        callbacks=Callbacks(database, channels, clock, secret.key("callbacks"), settings.public_url),
        guard=guard,
        metrics=metrics,
    )
    poller = Poller(database, tasks, channels, exchange, assets, pricing, switches, node, clock, settings)
    return App(settings, secret, database, node, channels, client, station, poller, settler, courier)


def webhooks_for(
    secret: ServerSecret, database: Database, clock: Clock, guard: AddressGuard, fetcher: Fetcher
) -> tuple[Webhooks, Secrets, Sender]:
    """Build the webhooks of a station, and what they work with."""
    secrets, sender = Secrets(Seal(secret, "webhooks")), Sender(fetcher.post, clock)
    return Webhooks(database, secrets, sender, guard), secrets, sender


def assets_for(settings: Settings, secret: ServerSecret, database: Database, clock: Clock, fetcher: Fetcher) -> Assets:
    """Build the asset room of a station."""
    return Assets(
        database,
        files_at(settings.assets_url, folder=settings.data / "assets"),
        fetcher,
        Links(settings.public_url, secret.key("asset-links"), clock=clock),
        clock=clock,
        retention=Retention(live_s=settings.retention_live_days * DAY_S, test_s=settings.retention_test_days * DAY_S),
        limits=FileLimits(),
    )


async def repeat(work: Callable[[], Awaitable[object]], *, every_s: float, name: str) -> None:
    """Do something again and again; an outage of the database is waited out."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await work()
        except StationError as error:
            log.warning("background_waits", work=name, error=error.code)
        except Exception:
            log.exception("background_broke", work=name)


def tend(app: App) -> None:
    """Start what every node does beside its own work: keep its lease, exchange snapshots, take over from the dead."""
    settings = app.settings
    calls = app.station.calls
    app.start(app.node.keep_alive(app.database, every_s=settings.lease_renew_s, lost=calls.lose))
    app.start(Tending(app.database, calls, app.settler, app.station.clock).run())
    app.start(repeat(app.refresh, every_s=settings.snapshot_refresh_s, name="snapshots"))
    app.start(repeat(app.recover, every_s=TEND_S, name="recover"))

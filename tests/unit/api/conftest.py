"""What the tests of our own API share: a node on either database, tenants, callers, and rows to read."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from yiapi.api import api_app
from yiapi.apikeys import Restrictions, insert_account, insert_key
from yiapi.app import App, open_app
from yiapi.calls import Attempt, Ending, Record
from yiapi.calls import store as calls_store
from yiapi.calls.models import Finished
from yiapi.db import Transaction, migrate
from yiapi.ids import new_id
from yiapi.ledger import NewHold, open_wallet, take_hold, top_up, wallet_of
from yiapi.money import Money
from yiapi.providers.contract import Status, Unit, Usage
from yiapi.settings import Settings, load_settings
from yiapi.tasks import NewTask, new_task_id
from yiapi.tasks import store as tasks_store
from yiapi.upstream import AddressGuard

BASE_URL = "http://station.example"
SECRET = "a-secret-of-the-tests-0123456789-abcdef"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def settings_for(url: str, data: Path) -> Settings:
    return load_settings(data=data, database=url, sandbox=False, base_url=BASE_URL, secret=SECRET)


def prepare(url: str, data: Path) -> None:
    """Bring a database to where a node has been: schema and prices are there."""

    async def visit() -> None:
        async with open_app(settings_for(url, data), "template"):
            pass

    migrate(url)
    asyncio.run(visit())


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    prepare(f"sqlite:///{folder / 'station.db'}", folder)
    return folder / "station.db"


@pytest.fixture(scope="session")
def postgres(postgres_server, tmp_path_factory) -> Callable[[], str]:
    """Make a new database that a node has visited at each call."""
    return postgres_server.template(lambda url: prepare(url, tmp_path_factory.mktemp("template")))


@dataclass(frozen=True)
class Caller:
    """A tenant with a client that shows its key."""

    client: httpx.AsyncClient
    account_id: str
    mode: str
    key_id: str
    key: str

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.client.get(path, **options)

    async def json(self, path: str, **options: Any) -> Any:
        answer = await self.client.get(path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()


@dataclass
class World:
    """A node, its API, and those who call it."""

    app: App
    asgi: Any
    anonymous: httpx.AsyncClient

    def caller(self, account_id: str, mode: str, key_id: str, key: str) -> Caller:
        client = self.client({"authorization": f"Bearer {key}"})
        return Caller(client, account_id, mode, key_id, key)

    def client(self, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.asgi)
        return httpx.AsyncClient(transport=transport, base_url=BASE_URL, headers=headers)

    async def tenant(self, mode: str = "test", *, balance_usd: str = "10", opens_wallet: bool = True) -> Caller:
        """Make an account with a key and money."""
        apikeys = self.app.station.apikeys

        def make(tx: Transaction) -> tuple[str, str, str]:
            account = insert_account(tx, "customer")
            if opens_wallet:
                open_wallet(tx, account.id, mode)
                top_up(tx, f"start:{account.id}", wallet_of(account.id, mode), Money.parse(balance_usd), "grant")
            new, text = apikeys.new_key(account.id, mode, name="key")
            insert_key(tx, new)
            return account.id, new.id, text

        account_id, key_id, text = await self.app.database.write(make)
        await self.app.refresh()
        return self.caller(account_id, mode, key_id, text)

    async def key(self, of: Caller, **restrictions: Any) -> Caller:
        """Make another key of an account."""
        made, text = await self.app.station.apikeys.create_key(
            of.account_id, of.mode, name="restricted", restrictions=Restrictions(**restrictions)
        )
        return self.caller(of.account_id, of.mode, made.id, text)

    async def call(self, of: Caller, *, charge: str = "0.01", attempts: int = 1, **fields: Any) -> str:
        """Write the record of a call and return its id."""
        values = {
            "id": new_id("req"),
            "account_id": of.account_id,
            "mode": of.mode,
            "key_id": of.key_id,
            "operation": "openai.chat",
            "provider": "openai",
            "model": "gpt-4o",
            "price_version": 1,
            "multiplier": 1_000_000,
            "created_at_ms": self.app.station.clock.now_ms(),
            "usage": (Usage("gpt-4o", Unit.TOKEN_IN, 7),),
        }
        record = Record(**(values | fields))
        tried = [Attempt("chan_secret", "cred_secret", record.created_at_ms) for _ in range(attempts)]
        ending = Ending(record=record, hold_id="hold", attempts=tried, price=None)

        def write(tx: Transaction) -> None:
            row = calls_store.request_row(ending, Finished(Money.parse(charge), Money(0)))
            tx.run(calls_store.SQL.insert_request, **row)
            for number, attempt in enumerate(tried, 1):
                tx.run(
                    calls_store.SQL.insert_attempt,
                    request_id=record.id,
                    number=number,
                    channel_id=attempt.channel_id,
                    credential_id=attempt.credential_id,
                    fault=None,
                    http_status=200,
                    cost=0,
                    started_at=attempt.started_at_ms,
                    duration_ms=1,
                    detail="the channel's own words",
                )

        await self.app.database.write(write)
        return record.id

    async def task(self, of: Caller, **fields: Any) -> str:
        """Write a task that runs and return its id."""
        task_id = new_task_id(self.app.station.registry.providers["kling"].ids)
        values = {
            "id": task_id,
            "account_id": of.account_id,
            "mode": of.mode,
            "key_id": of.key_id,
            "request_id": new_id("req"),
            "operation": "kling.text2video",
            "provider": "kling",
            "model": "kling-v1",
            "usage": (Usage("kling-v1:std", Unit.SECOND, 5),),
            "price_version": 1,
            "multiplier": 1_000_000,
            "external_id": None,
            "hook_url": None,
            "deadline_s": 3600.0,
            "open_tasks_max": 100,
        }
        new = NewTask(**(values | fields))
        hold = NewHold(
            reference=task_id,
            wallet=wallet_of(of.account_id, of.mode),
            amount=Money.parse("0.14"),
            owner=None,
            expires_s=4000,
        )

        def write(tx: Transaction) -> None:
            tasks_store.insert(tx, new, take_hold(tx, hold), owner=self.app.node.id)
            tasks_store.accepted(
                tx,
                task_id,
                status=Status.RUNNING,
                vendor_task_id="vendor-1",
                channel_id="chan_secret",
                credential_id="cred_secret",
                answer='{"data": {}}',
                look_s=3600,
            )

        await self.app.database.write(write)
        return task_id

    async def asset(self, of: Caller, content: bytes, task_id: str | None = None) -> str:
        """Keep a file and return its id."""
        assets = self.app.station.assets
        kept = await assets.keep_bytes(of.account_id, of.mode, content)
        asset = await self.app.database.write(lambda tx: assets.record(tx, kept, request_id=None, task_id=task_id))
        return asset.id


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request) -> str:
    return (
        request.getfixturevalue("postgres")()
        if request.param == "postgresql"
        else request.getfixturevalue("sqlite_url")
    )


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'station.db')}"


async def resolve(name: str, port: int) -> list[str]:
    """A name server that knows example.com."""
    if name.endswith(".example.com"):
        return ["93.184.215.14"]
    raise OSError("no such name")


async def opened(url: str, data: Path) -> AsyncIterator[World]:
    async with open_app(settings_for(url, data), "test", guard=AddressGuard((), resolve)) as app:
        asgi = api_app(app.station, app.database)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(asgi), base_url=BASE_URL) as anonymous:
            yield World(app, asgi, anonymous)


@pytest.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """A node on each of both databases."""
    async for one in opened(database_url, tmp_path):
        yield one


@pytest.fixture
async def small(sqlite_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """A node for what no database decides."""
    async for one in opened(sqlite_url, tmp_path):
        yield one


@pytest.fixture
async def caller(world: World) -> Caller:
    return await world.tenant()

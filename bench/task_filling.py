"""Fills a station with accounts and open tasks, as submissions would have left them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.task_provider import MODEL, SLUG
from bench.task_station import registry
from yiapi.apikeys import insert_account, insert_key
from yiapi.app import open_app
from yiapi.db import Database, Transaction, migrate
from yiapi.db.sql import query_of
from yiapi.ids import new_id
from yiapi.ledger import NewHold, open_wallet, take_holds, top_up, wallet_of
from yiapi.money import Money
from yiapi.providers.contract import Status, Unit, Usage
from yiapi.settings import load_settings
from yiapi.tasks import store
from yiapi.tasks.models import NewTask

PRICE_NANO = 10_000_000
SHARE = 1_000
OPEN = query_of("bench.open", "SELECT id, operation FROM tasks WHERE finished_at IS NULL ORDER BY id LIMIT :limit")
DROP = query_of(
    "bench.drop",
    "UPDATE tasks SET bucket = NULL, next_look_at = NULL WHERE id IN"
    " (SELECT id FROM tasks WHERE finished_at IS NULL AND bucket IS NOT NULL LIMIT 5000)",
)
RESUME = query_of(
    "bench.resume",
    "UPDATE tasks SET bucket = :bucket, started_at = now_ms(), deadline_at = now_ms() + 7200000 WHERE id = :id",
)


@dataclass(frozen=True)
class Filled:
    """What was made: the accounts, a key of each, the channel."""

    accounts: tuple[str, ...]
    keys: tuple[str, ...]
    channel_id: str
    credential_id: str


async def furnish(data: Path, url: str, vendor: str, accounts: int) -> Filled:
    """Prepare a station: funded live accounts with keys, a channel to the vendor, a price."""
    data.mkdir(exist_ok=True)
    settings = load_settings(data=data, database=url, sandbox=False, port=1, permit_host=("127.0.0.1",))
    migrate(url)
    async with open_app(settings, "furnish", registry=registry()) as app:
        apikeys = app.station.apikeys

        def make(tx: Transaction) -> list[tuple[str, str]]:
            made = []
            for number in range(accounts):
                account = insert_account(tx, f"customer {number}", open_tasks_max=1_000_000)
                open_wallet(tx, account.id, "live")
                top_up(tx, f"bench:{number}", wallet_of(account.id, "live"), Money.parse("500000"))
                new, text = apikeys.new_key(account.id, "live", name="bench")
                insert_key(tx, new)
                made.append((account.id, text))
            return made

        made = await app.database.write(make)
        await app.station.pricing.edit(SLUG, MODEL, Unit.CALL, sell=PRICE_NANO * 10**6, cost=0, author="bench")
        channel_id = await app.channels.create_channel(SLUG, "vendor", vendor, ["bench-credential"])
        channel = app.channels.get(channel_id)
        assert channel is not None
        return Filled(
            tuple(account for account, _ in made),
            tuple(key for _, key in made),
            channel_id,
            channel.credentials[0].id,
        )


async def fill(url: str, filled: Filled, count: int, name: str) -> None:
    """Have exactly so many tasks of one operation waiting, all of them in the memory of whoever takes their bucket."""
    database = Database(url)
    try:
        while await database.write(lambda tx: tx.run(DROP)):
            pass
        found = await database.read(lambda tx: tx.all(OPEN, limit=10**7))
        here = [row["id"] for row in found if row["operation"] == f"{SLUG}.{name}"][:count]
        for at in range(0, len(here), SHARE):
            rows = [{"id": one, "bucket": store.bucket_of(one)} for one in here[at : at + SHARE]]
            await database.write(lambda tx, rows=rows: tx.run_many(RESUME, rows))  # type: ignore[misc]
        for at in range(len(here), count, SHARE):
            await database.write(
                lambda tx, at=at: _add(tx, filled, min(SHARE, count - at), at, name)  # type: ignore[misc]
            )
    finally:
        database.close()


def _add(tx: Transaction, filled: Filled, count: int, number: int, name: str) -> None:
    news = [_new(filled.accounts[(number + one) % len(filled.accounts)], name) for one in range(count)]
    holds = take_holds(
        tx,
        [
            NewHold(new.id, wallet_of(new.account_id, "live"), Money(PRICE_NANO), owner=None, expires_s=14_400)
            for new in news
        ],
    )
    pairs = [(new, hold) for new, hold in zip(news, holds, strict=True) if not isinstance(hold, Exception)]
    store.insert_many(tx, pairs, owner="bench", now=store.now(tx))
    store.open_more(
        tx,
        [
            {
                "account_id": account,
                "mode": "live",
                "more": sum(new.account_id == account for new in news),
                "most": 10**6,
            }
            for account in sorted({new.account_id for new in news})
        ],
    )
    rows = [
        store.accepted_row(
            new.id,
            status=Status.RUNNING,
            vendor_task_id=f"{name}-{new.id}",
            channel_id=filled.channel_id,
            credential_id=filled.credential_id,
            answer='{"id":"x","status":"running","progress":40}',
            look_s=0,
        )
        for new in news
    ]
    store.accept_many(tx, rows)
    tx.run_many(TAKEN_UP, [{"id": new.id} for new in news])


TAKEN_UP = query_of("bench.taken_up", "UPDATE tasks SET next_look_at = NULL, progress = 40 WHERE id = :id")


def _new(account_id: str, name: str) -> NewTask:
    return NewTask(
        id=new_id("job"),
        account_id=account_id,
        mode="live",
        key_id="key",
        request_id=new_id("req"),
        operation=f"{SLUG}.{name}",
        provider=SLUG,
        model=MODEL,
        usage=(Usage(MODEL, Unit.CALL, 1),),
        price_version=1,
        multiplier=1_000_000,
        external_id=None,
        hook_url=None,
        deadline_s=7200.0,
        open_tasks_max=10**6,
    )

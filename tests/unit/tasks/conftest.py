"""What the tests of the task engine share: a database of each kind with a clock that can be turned, and open tasks."""

import itertools
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from yiapi.apikeys import insert_account
from yiapi.calls import Node
from yiapi.clock import ManualClock
from yiapi.db import Database, Transaction
from yiapi.db.sql import query_of
from yiapi.ledger import NewHold, open_wallet, take_holds, top_up, wallet_of
from yiapi.metrics import Metrics
from yiapi.money import Money
from yiapi.pricing import Pricing
from yiapi.providers.contract import Status, Unit, Usage
from yiapi.tasks import NewTask, store
from yiapi.tasks.buckets import Buckets
from yiapi.tasks.ends import Ends, Outcome
from yiapi.tasks.models import Ended, EndOrder

LEASE_S = 30.0
ALL = query_of("all", "SELECT * FROM tasks ORDER BY id")
OWNERS = query_of("owners", "SELECT owner, count(*) AS count FROM task_buckets GROUP BY owner")
BUCKET_OF = query_of("bucket", "SELECT * FROM task_buckets WHERE number = :number")
TAKEN_UP = query_of("taken_up", "UPDATE tasks SET next_look_at = NULL WHERE node_id IS NULL")


@dataclass
class World:
    """A database, its time, and a customer with money."""

    database: Database
    clock: ManualClock
    account_id: str
    numbers: itertools.count = field(default_factory=lambda: itertools.count(1))

    spoilt: str | None = None

    async def end(self, task_id: str, status: Status, code: str | None = None) -> Outcome:
        return await self.ends.submit(EndOrder(task_id=task_id, end=Ended(status=status, error_code=code)))

    def put_out(self, tx: Transaction, ends: Any) -> None:
        """The outbox of the tests: there is one task whose event cannot be written."""
        if any(task.id == self.spoilt for task, _ in ends):
            raise ValueError("this event cannot be written")

    def sent_soon(self) -> None:
        """Nobody waits for what was put out."""

    @cached_property
    def ends(self) -> Ends:
        metrics = Metrics(CollectorRegistry())
        return Ends(self.database, Pricing(self.database, self.clock), None, metrics, self)

    async def worker(self, name: str) -> tuple[Node, Buckets]:
        """Start a worker; it owns nothing yet."""
        node = await Node.begin(self.database, name, lease_s=LEASE_S, clock=self.clock)
        return node, Buckets(self.database, node, self.clock, LEASE_S)

    async def pass_time(self, seconds: float, *alive: Node) -> None:
        """Let time go by, with the nodes that live renewing their leases."""
        for _ in range(max(round(seconds / 10), 1)):
            self.clock.turn(seconds / max(round(seconds / 10), 1))
            for node in alive:
                await node.renew(self.database)

    async def owners(self) -> dict[str | None, int]:
        rows = await self.database.read(lambda tx: tx.all(OWNERS))
        return {row["owner"]: row["count"] for row in rows}

    async def rows(self) -> list[Any]:
        return await self.database.read(lambda tx: tx.all(ALL))

    def new(self, **fields: Any) -> NewTask:
        number = next(self.numbers)
        values = {
            "id": f"task-{number}",
            "account_id": self.account_id,
            "mode": "live",
            "key_id": "key",
            "request_id": f"req-{number}",
            "operation": "kling.text2video",
            "provider": "kling",
            "model": "kling-v1",
            "usage": (Usage("kling-v1:std", Unit.SECOND, 5),),
            "price_version": 1,
            "multiplier": 1_000_000,
            "external_id": None,
            "hook_url": "https://hooks.example.com/x",
            "deadline_s": 3600.0,
            "open_tasks_max": 10_000,
        }
        return NewTask(**(values | fields))

    def hold(self, new: NewTask, amount: str = "0.14") -> NewHold:
        wallet = wallet_of(new.account_id, new.mode)
        return NewHold(new.id, wallet, Money.parse(amount), owner=None, expires_s=9000)

    async def tasks(self, count: int, *, look_s: float = 0.0, in_memory: bool = False) -> list[str]:
        """Have some tasks that their vendor has taken; ``in_memory`` as their owner leaves them in the database."""
        news = [self.new() for _ in range(count)]

        def write(tx: Transaction) -> None:
            holds = take_holds(tx, [self.hold(new) for new in news])
            store.insert_many(tx, list(zip(news, holds, strict=True)), owner="gone", now=store.now(tx))
            store.open_more(tx, [{"account_id": self.account_id, "mode": "live", "more": count, "most": 10**6}])
            store.accept_many(
                tx,
                [
                    store.accepted_row(
                        new.id,
                        status=Status.RUNNING,
                        vendor_task_id=f"vendor-{new.id}",
                        channel_id="chan",
                        credential_id="cred",
                        answer="{}",
                        look_s=look_s,
                    )
                    for new in news
                ],
            )
            if in_memory:
                tx.run(TAKEN_UP)

        await self.database.write(write)
        return [new.id for new in news]


@pytest.fixture
async def world(database, clock):
    def furnish(tx: Transaction) -> str:
        account = insert_account(tx, "customer")
        open_wallet(tx, account.id, "live")
        top_up(tx, "start", wallet_of(account.id, "live"), Money.parse("1000"))
        return account.id

    return World(database, clock, await database.write(furnish))

"""Ends: state, capture or release, record, asset rows and deliveries of many tasks in one transaction.

A task ends once. Whoever comes second, has lost its bucket or comes too early changes nothing and is told so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto

from yiapi.assets import Assets
from yiapi.crashpoints import crashpoint
from yiapi.db import Database, Row, Transaction
from yiapi.errors import StationError, StorageUnavailable
from yiapi.ledger import Settled, Settlement, release_many, settle_many
from yiapi.ledger.store import take_turn
from yiapi.logs import get_logger
from yiapi.metrics import Metrics
from yiapi.money import ZERO, Money
from yiapi.pricing import Pricing
from yiapi.providers.contract import Status, Usage
from yiapi.tasks import store
from yiapi.tasks.models import Ended, EndOrder, Task, task_of
from yiapi.tasks.outbox import Outbox
from yiapi.tasks.waiting import over_of

RING_S = 1.0
"""A look after the end that is due sooner than this is announced with the bell."""

log = get_logger()


class Outcome(Enum):
    """What became of a wish to end a task."""

    ENDED = auto()
    EARLY = auto()  # its time is not over yet by the database's clock
    REFUSED = auto()  # it has ended before, or its bucket belongs to another


TIMED_OUT = Ended(status=Status.EXPIRED, error_code="timeout", error_message="The vendor did not finish in time.")
UNUSED = Ended(status=Status.EXPIRED, error_code="timeout", error_message="The window was not filled in time.")
NOT_TAKEN = Ended(
    status=Status.FAILED, error_code="submission_unknown", error_message="The vendor did not take the task."
)
NEVER_FOUND = Ended(
    status=Status.EXPIRED,
    error_code="submission_unknown",
    error_message="It is not known whether the vendor took the task.",
)


class Ends:
    """Ends tasks, many at once, and puts their events into the outbox."""

    def __init__(self, database: Database, pricing: Pricing, assets: Assets, metrics: Metrics, outbox: Outbox) -> None:
        self._database = database
        self._pricing = pricing
        self._assets = assets
        self._metrics = metrics
        self._outbox = outbox
        self._group = database.group(self._end_many, in_turn=True)

    def submit(self, order: EndOrder) -> Awaitable[Outcome]:
        """End a task; what was submitted is done, whoever stops waiting. Raises StorageUnavailable."""
        return asyncio.shield(self._end(order))

    async def _end(self, order: EndOrder) -> Outcome:
        try:
            outcome, task = await self._group.submit(order)
        except StorageUnavailable:
            raise
        except Exception:  # one that cannot be ended must not take the others along
            log.exception("end_broke", task_id=order.task_id)
            outcome, task = await self._database.write(lambda tx: self._end_alone(tx, order))
        crashpoint("task.ended")
        if outcome is Outcome.ENDED and task is not None:
            self._outbox.sent_soon()
            self._metrics.tasks.labels(task.operation, task.mode, order.end.status.value).inc()
            log.info("task_ended", task_id=task.id, status=order.end.status.value, code=order.end.error_code)
        elif outcome is Outcome.REFUSED:
            log.info("already_resolved", task_id=order.task_id, status=order.end.status.value)
        return outcome

    def _end_alone(self, tx: Transaction, order: EndOrder) -> tuple[Outcome, Task | None]:
        [outcome] = self._end_many(tx, [order])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _end_many(self, tx: Transaction, orders: list[EndOrder]) -> list[tuple[Outcome, Task | None] | Exception]:
        """End what may be ended; of two wishes for one task the first counts."""
        take_turn(tx)  # before any row is locked: writers of the ledger wait for each other here and nowhere else
        rows = store.to_end(tx, {order.task_id for order in orders})
        outcomes: list[tuple[Outcome, Task | None] | Exception] = []
        chosen: dict[str, EndOrder] = {}
        for order in orders:
            row = rows.get(order.task_id)
            outcome = Outcome.REFUSED if row is None or order.task_id in chosen else _judge(row, order)
            if outcome is Outcome.ENDED:
                chosen[order.task_id] = order
            outcomes.append((outcome, task_of(row) if row is not None else None))
        if chosen:
            self._write(tx, [(task_of(rows[task_id]), order) for task_id, order in chosen.items()])
        crashpoint("task.ending")
        return outcomes

    def _write(self, tx: Transaction, ends: Sequence[tuple[Task, EndOrder]]) -> None:
        charges = _resolve(tx, ends)
        ends = [(task, _without_charge(order) if task.id not in charges else order) for task, order in ends]
        store.finish_many(tx, [(task, order, charges.get(task.id, _FREE).captured) for task, order in ends])
        store.open_fewer(tx, ((task.account_id, task.mode) for task, _ in ends))
        records = [self._record(task, order, charges) for task, order in ends]
        tx.run_many(store.SQL.finish_request, records)
        costs = [{"id": record["id"], "cost": record["cost"]} for record in records if record["cost"]]
        if costs:
            tx.run_many(store.SQL.add_attempt_cost, costs)
        for task, order in ends:
            for position, file in enumerate(order.kept):
                self._assets.record(tx, file, request_id=task.request_id, task_id=task.id, position=position)
        self._outbox.put_out(tx, [(task, order.end.status) for task, order in ends])
        if any(0 < order.late_look_s < RING_S for _, order in ends):
            tx.one(store.SQL.ring)

    def _record(self, task: Task, order: EndOrder, charges: Mapping[str, Settled]) -> dict[str, object]:
        charge = charges.get(task.id, _FREE)
        cost = cost_of(self._pricing, task.provider, task.usage) if order.end.captures else ZERO
        return store.request_row(task, order, charge=charge.captured, loss=charge.uncovered, cost=cost)


_FREE = Settled(ZERO, ZERO)


def cost_of(pricing: Pricing, provider: str, usage: Sequence[Usage]) -> Money:
    """Return what a task cost us; a price that is there no more must not keep it from its end."""
    try:
        return pricing.book.cost(provider, usage)
    except StationError as error:
        log.warning("cost_unknown", provider=provider, error=error.code)
        return ZERO


def _judge(row: Row, order: EndOrder) -> Outcome:
    """Decide on a locked row whether a task may be ended so."""
    if row["finished_at"] is not None or (order.fence and row["fence"] != order.fence):
        return Outcome.REFUSED
    if order.is_by_time and over_of(row, Status(row["status"])) > row["now"]:
        return Outcome.EARLY
    return Outcome.ENDED


def _resolve(tx: Transaction, ends: Sequence[tuple[Task, EndOrder]]) -> dict[str, Settled]:
    """Capture or release the holds; return what was captured, and nothing for a hold that has ended before."""
    paid = [task for task, order in ends if order.end.captures]
    free = [task for task, order in ends if not order.end.captures]
    settled = settle_many(tx, [Settlement(task.hold_id, task.held) for task in paid]) if paid else []
    charges: dict[str, Settled] = {task.id: _FREE for task in free}
    for task, result in zip(paid, settled, strict=True):
        if isinstance(result, Exception):
            log.error("settlement_refused", task_id=task.id, error=str(result))
        else:
            charges[task.id] = result
    if free:
        release_many(tx, [task.hold_id for task in free])
    return charges


def _without_charge(order: EndOrder) -> EndOrder:
    """End a task whose hold is gone: nobody pays for it, so nobody gets it."""
    return replace(order, end=TIMED_OUT, kept=())

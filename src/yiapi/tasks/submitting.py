"""Submissions: what is written before the vendor hears of a task, and when it has answered. Many in one commit.

The row is there before the network is touched, and leaves ``submitting`` once. Nothing is read in between: whoever
submits knows what was written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from yiapi.calls import Calls, Claim, Ending, Finished, Replay
from yiapi.calls import store as calls_store
from yiapi.crashpoints import crashpoint
from yiapi.db import Database, DuplicateRow, Group, Transaction
from yiapi.errors import Conflict, InsufficientQuota, InvalidRequest, StationError, StorageUnavailable
from yiapi.ledger import Hold, NewHold, take_holds
from yiapi.ledger.store import take_turn
from yiapi.logs import get_logger
from yiapi.money import ZERO
from yiapi.providers.contract import Provider, Status, TaskShape
from yiapi.providers.registry import Registry
from yiapi.tasks import store
from yiapi.tasks.cadence import FIND_PAUSE_S, UNKNOWN_S
from yiapi.tasks.models import NewTask, Task, begun, task_of
from yiapi.tasks.render import view_of

RING_S = 1.0
"""A first look that is due sooner than this is announced with the bell."""

ORPHANS_MAX = 200

Created = Task | Replay

log = get_logger()


@dataclass(frozen=True, slots=True)
class Creation:
    """A task that is to be created, its hold, and the claim of its caller's idempotency key."""

    new: NewTask
    hold: NewHold
    claim: Claim | None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A submission that the vendor took: what is written into its row, and how its call ends."""

    row: Mapping[str, Any]
    ending: Ending


@dataclass(frozen=True, slots=True)
class Sending:
    """Where a submission goes."""

    task_id: str
    channel_id: str
    credential_id: str


class IdTaken(Conflict):
    """Another task has this id; draw another one."""


class Submissions:
    """Writes what submissions of this node come to."""

    def __init__(self, database: Database, registry: Registry, calls: Calls) -> None:
        self._database = database
        self._registry = registry
        self._calls = calls
        self._creations: Group[Creation, Created] = database.group(self._create_many, in_turn=True)
        self._sendings: Group[Sending, bool] = database.group(self._send_many)
        self._acceptances = database.group(_accept_many)

    async def create(self, new: NewTask, hold: NewHold, claim: Claim | None) -> Created:
        """Write task, hold and claim in one transaction, or return the stored answer of the claim.

        Raises InsufficientQuota (also for too many open tasks), InvalidRequest for an external id in use, IdTaken, and
        what a claim raises.
        """
        creation = Creation(new, hold, claim)
        try:
            created = await self._calls.reserve(hold.wallet, lambda: self._creations.submit(creation))
        except StationError:
            raise
        except DuplicateRow as error:
            if new.external_id is None:
                raise Conflict("This task exists already.") from error
            raise InvalidRequest("This reference of yours names another task.", param="external_id") from error
        except Exception:  # one that cannot be written must not take the others along
            log.exception("creation_broke", task_id=new.id)
            created = await self._database.write(lambda tx: self._create_alone(tx, creation))
        crashpoint("task.created")
        return created

    def _create_alone(self, tx: Transaction, creation: Creation) -> Created:
        [created] = self._create_many(tx, [creation])
        if isinstance(created, Exception):
            raise created
        return created

    def _create_many(self, tx: Transaction, creations: list[Creation]) -> list[Created | Exception]:
        now = take_turn(tx)
        results: dict[int, Created | Exception] = {}
        left = dict(enumerate(creations))
        for refuse in (self._claim, _refuse_ids, _refuse_references, _refuse_above_limits):
            refused = refuse(tx, left)
            results |= refused
            left = {place: creation for place, creation in left.items() if place not in refused}
        holds = take_holds(tx, [creation.hold for creation in left.values()]) if left else []
        rows: list[tuple[NewTask, Hold]] = []
        for (place, creation), hold in zip(left.items(), holds, strict=True):
            if isinstance(hold, Exception):
                results[place] = hold
            else:
                rows.append((creation.new, hold))
                results[place] = begun(creation.new, hold, store.bucket_of(creation.new.id), now)
        if rows:
            store.insert_many(tx, rows, owner=self._calls.node.id, now=now)
        _give_back(tx, left, results)
        for place, creation in enumerate(creations):
            if creation.claim is not None and isinstance(results[place], Exception):
                _free_claim(tx, creation.claim)
        return [results[place] for place in range(len(creations))]

    def _claim(self, tx: Transaction, creations: Mapping[int, Creation]) -> dict[int, Created | Exception]:
        """Claim the keys; one that was used before answers what its first run did, or refuses."""
        answered: dict[int, Created | Exception] = {}
        for place, creation in creations.items():
            if creation.claim is None:
                continue
            try:
                replay = calls_store.claim(tx, creation.claim, owner=self._calls.node.id)
            except StorageUnavailable:
                raise
            except StationError as error:
                answered[place] = error
            else:
                if replay is not None:
                    answered[place] = replay
        return answered

    async def sending(self, task_id: str, channel_id: str, credential_id: str) -> bool:
        """Note where the task goes, so that it can be looked for there whatever happens next.

        False when it is not this node's to send any more: others have taken it over, or it has ended.
        """
        is_ours = await self._sendings.submit(Sending(task_id, channel_id, credential_id))
        crashpoint("task.sending")
        return is_ours

    def _send_many(self, tx: Transaction, sendings: list[Sending]) -> list[bool | Exception]:
        owner = self._calls.node.id
        rows = [
            {
                "id": sending.task_id,
                "channel_id": sending.channel_id,
                "credential_id": sending.credential_id,
                "owner": owner,
            }
            for sending in sendings
        ]
        if tx.run_many(store.SQL.sending, rows) == len(rows):
            return [True] * len(rows)
        ours = store.to_send(tx, [sending.task_id for sending in sendings], owner)
        return [sending.task_id in ours for sending in sendings]

    async def accepted(
        self,
        task_id: str,
        ending: Ending,
        *,
        status: Status,
        vendor_task_id: str,
        channel_id: str,
        credential_id: str,
        answer: str | None,
        look_s: float,
    ) -> bool:
        """Note that the vendor took it, with the record and the claim's answer; False when it has ended here before."""
        crashpoint("task.answered")
        row = store.accepted_row(
            task_id,
            status=status,
            vendor_task_id=vendor_task_id,
            channel_id=channel_id,
            credential_id=credential_id,
            answer=answer,
            look_s=look_s,
        )
        acceptance = Acceptance(row, ending)
        is_open = await self._accept(acceptance)
        crashpoint("task.accepted")
        return is_open

    async def _accept(self, acceptance: Acceptance) -> bool:
        try:
            return await self._acceptances.submit(acceptance)
        except StorageUnavailable:
            raise
        except Exception:  # one that cannot be written must not take the others along
            log.exception("acceptance_broke", task_id=acceptance.row["id"])
            return await self._database.write(lambda tx: _accept_many(tx, [acceptance])[0]) is True

    async def unclear(
        self,
        task_id: str,
        ending: Ending,
        shape: TaskShape,
        provider: Provider,
        place: tuple[str, str] | None = None,
        *,
        has_vendor_id: bool = False,
    ) -> None:
        """Note that nobody knows whether the vendor took it: it is looked for, and nothing is sent again.

        ``place`` is the channel and credential that it was sent to; what fills a window is asked for by its id.
        """
        row = _unclear_row(task_id, shape, provider, place, has_vendor_id=has_vendor_id)
        ending.also = [*ending.also, lambda tx: tx.run(store.SQL.unclear, **row)]
        log.warning("submission_unclear", task_id=task_id)
        await asyncio.shield(self._calls.finish(ending))

    async def refused(self, task_id: str, ending: Ending) -> None:
        """Take the task back: the vendor refused it, or has it under another id of ours; the record stays."""

        def write(tx: Transaction) -> None:
            if tx.run(store.SQL.remove, id=task_id):
                store.open_fewer(tx, [(ending.record.account_id, ending.record.mode)])

        ending.also = [*ending.also, write]
        await asyncio.shield(self._calls.finish(ending))

    async def refused_by_name(self, task_id: str, ending: Ending) -> None:
        """Keep a task that the vendor refused, because its refusal names it: it has failed, and no hook hears of it."""
        record = ending.record
        code, message = record.error_code, record.error_message

        def write(tx: Transaction) -> None:
            if tx.run(store.SQL.refuse_named, id=task_id, error_code=code, error_message=message):
                store.open_fewer(tx, [(record.account_id, record.mode)])

        ending.also = [*ending.also, write]
        await asyncio.shield(self._calls.finish(ending))

    async def recover(self) -> int:
        """Take over submissions of dead nodes: their fate is unclear, and the claim answers as if accepted."""
        if await self._database.read(lambda tx: tx.one(store.SQL.is_any_orphan)) is None:
            return 0

        def write(tx: Transaction) -> int:
            tasks = [task_of(row) for row in tx.all(store.SQL.orphans, limit=ORPHANS_MAX)]
            for task in tasks:
                self._take_over(tx, task)
            return len(tasks)

        found = await self._database.write(write)
        if found:
            log.warning("submissions_taken_over", count=found)
        return found

    def _take_over(self, tx: Transaction, task: Task) -> None:
        served = self._registry.served[task.operation]
        shape = served.operation.task
        assert shape is not None
        has_vendor_id = task.vendor_task_id is not None
        row = _unclear_row(task.id, shape, served.provider, None, has_vendor_id=has_vendor_id)
        if task.channel_id is None and shape.find and served.provider.reference:
            row["look_ms"] = 0  # it was never sent, and the next look ends it
        tx.run(store.SQL.unclear, **row)
        body = shape.acceptance(view_of(task, shape, {}), task.request_id)
        headers = [("content-type", "application/json"), ("x-yiapi-held", str(task.held))]
        tx.run(
            store.SQL.finish_orphan_claim,
            request_id=task.request_id,
            account_id=task.account_id,
            task_id=task.id,
            headers=msgspec.json.encode(headers).decode(),
            body=msgspec.json.encode(body),
        )
        calls_store.record_accepted(tx, task)


def _refuse_ids(tx: Transaction, creations: Mapping[int, Creation]) -> dict[int, Created | Exception]:
    """Refuse ids that name a task already, or that two of these share; most are too long for that."""
    news = {place: creation.new.id for place, creation in creations.items() if creation.new.id_may_clash}
    taken = store.taken_ids(tx, news.values()) if news else set()
    refused: dict[int, Created | Exception] = {}
    for place, task_id in news.items():
        if task_id in taken:
            refused[place] = IdTaken("This task exists already.")
        taken.add(task_id)
    return refused


def _refuse_references(tx: Transaction, creations: Mapping[int, Creation]) -> dict[int, Created | Exception]:
    """Refuse references of callers that name a task already, or that two of these share."""
    refused: dict[int, Created | Exception] = {}
    seen: set[tuple[str, str, str, str]] = set()
    for place, creation in creations.items():
        new = creation.new
        if new.external_id is None:
            continue
        key = (new.account_id, new.mode, new.provider, new.external_id)
        if key in seen or store.by_external_id(tx, *key) is not None:
            refused[place] = DuplicateRow(new.external_id)
        seen.add(key)
    return refused


def _refuse_above_limits(tx: Transaction, creations: Mapping[int, Creation]) -> dict[int, Created | Exception]:
    """Count what begins, and refuse what is above a tenant's limit of open tasks."""
    refused: dict[int, Created | Exception] = {}
    if not creations:
        return refused
    counts = store.open_counts(tx, (creation.new.account_id for creation in creations.values()))
    more: dict[tuple[str, str], int] = {}
    most: dict[tuple[str, str], int] = {}
    for place, creation in creations.items():
        new = creation.new
        tenant = (new.account_id, new.mode)
        if counts.get(tenant, 0) + more.get(tenant, 0) >= new.open_tasks_max:
            refused[place] = InsufficientQuota("The account has too many open tasks.")
        else:
            more[tenant] = more.get(tenant, 0) + 1
            most[tenant] = new.open_tasks_max
    store.open_more(
        tx,
        [
            {"account_id": tenant[0], "mode": tenant[1], "more": count, "most": most[tenant]}
            for tenant, count in sorted(more.items())
        ],
    )
    return refused


def _give_back(tx: Transaction, creations: Mapping[int, Creation], results: Mapping[int, Created | Exception]) -> None:
    """Count what was refused its hold as never begun."""
    store.open_fewer(
        tx,
        (
            (creation.new.account_id, creation.new.mode)
            for place, creation in creations.items()
            if isinstance(results[place], Exception)
        ),
    )


def _free_claim(tx: Transaction, claim: Claim) -> None:
    """Let a key be used again; a claim of another run stays."""
    tx.run(
        calls_store.SQL.free_own_claim,
        account_id=claim.account_id,
        mode=claim.mode,
        route=claim.route,
        key=claim.key,
        request_id=claim.request_id,
    )


def _accept_many(tx: Transaction, acceptances: list[Acceptance]) -> list[bool | Exception]:
    late = store.accept_many(tx, [acceptance.row for acceptance in acceptances])
    endings = [acceptance.ending for acceptance in acceptances]
    calls_store.write_records(tx, [(ending, Finished(ZERO, ZERO)) for ending in endings])
    for ending in endings:
        for write in ending.also:
            write(tx)
        if ending.claim is not None:
            calls_store.end_claim(tx, ending, ZERO)
    if min(acceptance.row["look_ms"] for acceptance in acceptances) < RING_S * 1000:
        tx.one(store.SQL.ring)
    return [acceptance.row["id"] not in late for acceptance in acceptances]


def _unclear_row(
    task_id: str, shape: TaskShape, provider: Provider, place: tuple[str, str] | None, *, has_vendor_id: bool
) -> dict[str, str | int | None]:
    channel_id, credential_id = place or (None, None)
    look_s = FIND_PAUSE_S if has_vendor_id or (shape.find and provider.reference) else UNKNOWN_S
    return {
        "id": task_id,
        "channel_id": channel_id,
        "credential_id": credential_id,
        "look_ms": round(look_s * 1000),
    }

"""The SQL of tasks. Every write of a worker names the fence of the task's bucket, so an older owner changes nothing."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from yiapi.calls.store import usage_text
from yiapi.db import ConflictInDatabase, DuplicateRow, Row, Transaction, queries
from yiapi.ledger import Hold
from yiapi.money import Money
from yiapi.providers.contract import Status
from yiapi.tasks.models import EndOrder, NewTask, Task, task_of

SQL = queries("tasks")
BUCKETS = 256

Rows = Sequence[Mapping[str, Any]]


def bucket_of(task_id: str) -> int:
    """Return the bucket that a task belongs to."""
    return zlib.crc32(task_id.encode()) % BUCKETS


def now(tx: Transaction) -> int:
    """Return the database's time in milliseconds."""
    row = tx.one(SQL.now)
    assert row is not None
    return int(row["now"])


# Submitting


def insert(tx: Transaction, new: NewTask, hold: Hold, *, owner: str) -> None:
    """Write the row of a task; the vendor has not heard of it yet. Raises DuplicateRow for an external id in use."""
    if tx.run(SQL.insert, **_new_row(new, hold, owner, now(tx))) != 1:
        raise DuplicateRow(new.id)


def insert_many(tx: Transaction, news: Sequence[tuple[NewTask, Hold]], *, owner: str, now: int) -> None:
    """Write the rows of many tasks; if one of them is there meanwhile, everything is done again."""
    rows = [_new_row(new, hold, owner, now) for new, hold in news]
    if tx.run_many(SQL.insert, rows) != len(rows):
        raise ConflictInDatabase("a task with this id or reference is there")


def _new_row(new: NewTask, hold: Hold, owner: str, now: int) -> dict[str, Any]:
    return {
        "id": new.id,
        "account_id": new.account_id,
        "mode": new.mode,
        "key_id": new.key_id,
        "request_id": new.request_id,
        "operation": new.operation,
        "provider": new.provider,
        "model": new.model,
        "bucket": bucket_of(new.id),
        "node_id": owner,
        "hold_id": hold.id,
        "held": hold.amount.nano,
        "usage": usage_text(new.usage),
        "price_version": new.price_version,
        "multiplier": new.multiplier,
        "external_id": new.external_id,
        "hook_url": new.hook_url,
        "parent_id": new.parent_id,
        "names": new.names,
        "asked": new.asked,
        "deadline_ms": round(new.deadline_s * 1000),
        "now": now,
    }


def open_counts(tx: Transaction, account_ids: Iterable[str]) -> dict[tuple[str, str], int]:
    """Return how many tasks of some accounts have not ended, by account and mode."""
    rows = tx.all(SQL.open_counts, accounts=json.dumps(sorted(set(account_ids))))
    return {(row["account_id"], row["mode"]): row["count"] for row in rows}


def open_more(tx: Transaction, rows: Rows) -> None:
    """Count tasks that begin; if that is above a tenant's limit meanwhile, everything is done again."""
    if tx.run_many(SQL.open_more, rows) != len(rows):
        raise ConflictInDatabase("a tenant has reached its limit of open tasks")


def open_fewer(tx: Transaction, tenants: Iterable[tuple[str, str]]) -> None:
    """Count tasks that have ended, or never began."""
    counts: dict[tuple[str, str], int] = {}
    for tenant in tenants:
        counts[tenant] = counts.get(tenant, 0) + 1
    rows = [{"account_id": key[0], "mode": key[1], "fewer": count} for key, count in sorted(counts.items())]
    tx.run_many(SQL.open_fewer, rows)


def to_send(tx: Transaction, task_ids: Iterable[str], owner: str) -> set[str]:
    """Return which of some tasks are still a node's to send."""
    return {row["id"] for row in tx.all(SQL.to_send, ids=_ids(task_ids), owner=owner)}


def accepted(
    tx: Transaction,
    task_id: str,
    *,
    status: Status,
    vendor_task_id: str,
    channel_id: str,
    credential_id: str,
    answer: str | None,
    look_s: float,
) -> bool:
    """Note that the vendor took it."""
    row = accepted_row(
        task_id,
        status=status,
        vendor_task_id=vendor_task_id,
        channel_id=channel_id,
        credential_id=credential_id,
        answer=answer,
        look_s=look_s,
    )
    return accept_many(tx, [row]) == set()


def accepted_row(
    task_id: str,
    *,
    status: Status,
    vendor_task_id: str,
    channel_id: str,
    credential_id: str,
    answer: str | None,
    look_s: float,
) -> dict[str, Any]:
    """Describe what ``accept_many`` writes."""
    return {
        "id": task_id,
        "status": status.value,
        "vendor_task_id": vendor_task_id,
        "channel_id": channel_id,
        "credential_id": credential_id,
        "answer": answer,
        "look_ms": round(look_s * 1000),
    }


def accept_many(tx: Transaction, rows: Rows) -> set[str]:
    """Note that the vendor took these; return those that had ended here before, which are looked at for their cost."""
    if tx.run_many(SQL.accepted, rows) == len(rows):
        return set()
    missed = {row["id"] for row in tx.all(SQL.not_accepted, ids=_ids(row["id"] for row in rows))}
    late = [{**row, "bucket": bucket_of(row["id"])} for row in rows if row["id"] in missed]
    tx.run_many(SQL.accepted_late, [{name: row[name] for name in _LATE} for row in late])
    return missed


_LATE = ("id", "vendor_task_id", "channel_id", "credential_id", "bucket")


def taken_ids(tx: Transaction, task_ids: Iterable[str]) -> set[str]:
    """Return which of some ids name a task already."""
    return {row["id"] for row in tx.all(SQL.taken_ids, ids=_ids(task_ids))}


# Reading


def get(tx: Transaction, account_id: str, mode: str, task_id: str) -> Task | None:
    """Return a tenant's task."""
    if "\0" in task_id:
        return None  # no id has one, and PostgreSQL takes none to look for
    row = tx.one(SQL.get, account_id=account_id, mode=mode, id=task_id)
    return None if row is None else task_of(row)


def by_external_id(tx: Transaction, account_id: str, mode: str, provider: str, external_id: str) -> Task | None:
    """Return a tenant's task by the tenant's own reference."""
    if "\0" in external_id:
        return None
    row = tx.one(SQL.by_external_id, account_id=account_id, mode=mode, provider=provider, external_id=external_id)
    return None if row is None else task_of(row)


def by_id(tx: Transaction, task_id: str) -> Task | None:
    """Return a task of anybody, for work of our own."""
    row = tx.one(SQL.by_id, id=task_id)
    return None if row is None else task_of(row)


def by_ids(tx: Transaction, task_ids: Iterable[str]) -> list[Task]:
    """Return tasks of anybody, for work of our own."""
    return [task_of(row) for row in tx.all(SQL.by_ids, ids=_ids(task_ids))]


def ended_of(tx: Transaction, task_ids: Iterable[str]) -> list[str]:
    """Return which of some tasks have ended."""
    return [row["id"] for row in tx.all(SQL.ended_of, ids=_ids(task_ids))]


def page(tx: Transaction, account_id: str, mode: str, operation: str, *, offset: int, limit: int) -> list[Task]:
    """Return a tenant's tasks of one operation, newest first."""
    rows = tx.all(SQL.page, account_id=account_id, mode=mode, operation=operation, offset=offset, limit=limit)
    return [task_of(row) for row in rows]


def listed(
    tx: Transaction, account_id: str, mode: str, *, before: tuple[int, str], limit: int, filters: dict[str, str]
) -> list[Task]:
    """Return a page of a tenant's tasks, newest first; ``filters`` may name status, provider, operation."""
    chosen = {name: filters.get(name, "") for name in ("status", "provider", "operation")}
    rows = tx.all(
        SQL.list, account_id=account_id, mode=mode, before=before[0], before_id=before[1], limit=limit, **chosen
    )
    return [task_of(row) for row in rows]


def open_tasks(tx: Transaction, *, limit: int, filters: dict[str, str]) -> list[Task]:
    """Return tasks of every tenant that have not ended, newest first."""
    chosen = {name: filters.get(name, "") for name in ("status", "provider", "operation")}
    return [task_of(row) for row in tx.all(SQL.open, limit=limit, **chosen)]


def open_by_status(tx: Transaction) -> dict[str, int]:
    """Count the tasks of every tenant that have not ended."""
    return {row["status"]: row["count"] for row in tx.all(SQL.open_by_status)}


# The owners of buckets


def workers(tx: Transaction) -> list[str]:
    """Return the nodes that share the buckets, in an order on which they agree."""
    return [row["node_id"] for row in tx.all(SQL.workers)]


def free_buckets(tx: Transaction) -> int:
    """Count the buckets that nobody holds, or a dead node."""
    row = tx.one(SQL.free_buckets)
    return int(row["count"]) if row else 0


def take_buckets(tx: Transaction, owner: str, lease_s: float, limit: int) -> dict[int, int]:
    """Take free buckets; return their fences."""
    rows = tx.all(SQL.take_buckets, owner=owner, lease_ms=round(lease_s * 1000), limit=limit)
    return {row["number"]: row["fence"] for row in rows}


def renew_buckets(tx: Transaction, owner: str, lease_s: float) -> dict[int, int]:
    """Extend the leases; return the fences of the buckets that are still the owner's."""
    rows = tx.all(SQL.renew_buckets, owner=owner, lease_ms=round(lease_s * 1000))
    return {row["number"]: row["fence"] for row in rows}


def hand_back(tx: Transaction, owner: str, numbers: Iterable[int]) -> None:
    """Let somebody else have these buckets."""
    tx.run(SQL.hand_back, owner=owner, numbers=json.dumps(sorted(numbers)))


# What an owner reads and writes


def take_up(tx: Transaction, owner: str, limit: int) -> list[Row]:
    """Take rows out of the queue that their gateways have put there, as far as their time has come."""
    return tx.all(SQL.take_up, owner=owner, limit=limit)


def waiting(tx: Transaction, bucket: int, *, after: str, limit: int) -> list[Row]:
    """Return a page of what the owner of a bucket has to know."""
    return tx.all(SQL.waiting, bucket=bucket, after=after, limit=limit)


def waiting_ids(tx: Transaction, bucket: int) -> set[str]:
    """Return which tasks the owner of a bucket has to know."""
    return {row["id"] for row in tx.all(SQL.waiting_ids, bucket=bucket)}


def held(tx: Transaction, fences: Mapping[str, int]) -> set[str]:
    """Return which of some tasks have not ended and are in a bucket with the given fence; their rows are locked."""
    rows = tx.all(SQL.held, ids=_ids(fences))
    return {row["id"] for row in rows if row["fence"] == fences[row["id"]]}


def note_progress(tx: Transaction, rows: Rows) -> None:
    """Write what a look found; whoever has lost a bucket meanwhile does everything again."""
    if tx.run_many(SQL.progress, rows) != len(rows):
        raise ConflictInDatabase("a bucket has changed hands")


def note_success(tx: Transaction, rows: Rows) -> None:
    """Write when the vendor's success was first seen."""
    if tx.run_many(SQL.note_success, rows) != len(rows):
        raise ConflictInDatabase("a bucket has changed hands")


def forget(tx: Transaction, task_id: str, fence: int) -> Row | None:
    """Look for nothing more of an ended task; None when somebody did before."""
    return tx.one(SQL.forget, id=task_id, fence=fence)


def to_end(tx: Transaction, task_ids: Iterable[str]) -> dict[str, Row]:
    """Return the rows of tasks with ``fence`` and ``now``, locked until the end of the transaction."""
    return {row["id"]: row for row in tx.all(SQL.to_end, ids=_ids(task_ids))}


def finish_many(tx: Transaction, ends: Sequence[tuple[Task, EndOrder, Money]]) -> None:
    """Write the ends of tasks with what was captured; whoever has lost a bucket meanwhile does everything again."""
    if tx.run_many(SQL.finish, [_end_row(*end) for end in ends]) != len(ends):
        raise ConflictInDatabase("a bucket has changed hands")


def _end_row(task: Task, order: EndOrder, captured: Money) -> dict[str, Any]:
    end = order.end
    result = None
    if end.status is Status.SUCCEEDED:
        result = msgspec.json.encode({"text": end.text, "assets": [file.id for file in order.kept]}).decode()
    return {
        "id": task.id,
        "status": end.status.value,
        "progress": 100 if end.status is Status.SUCCEEDED else task.progress,
        "answer": end.answer,
        "result": result,
        "captured": captured.nano,
        "error_code": end.error_code,
        "error_message": end.error_message,
        "vendor_task_id": order.vendor_task_id,
        "fence": order.fence,
        "late_look_ms": round(order.late_look_s * 1000),
    }


def request_row(task: Task, order: EndOrder, *, charge: Money, loss: Money, cost: Money) -> dict[str, Any]:
    """Describe what an end writes into the record of the call that submitted the task."""
    return {
        "id": task.request_id,
        "status": order.end.status.value,
        "usage": usage_text(task.usage if order.end.captures else ()),
        "charge": charge.nano,
        "loss": loss.nano,
        "cost": cost.nano,
        "error_code": order.end.error_code,
        "error_message": order.end.error_message,
    }


def _ids(task_ids: Iterable[str]) -> str:
    return json.dumps(list(task_ids))

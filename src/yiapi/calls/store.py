"""The SQL of calls: records, attempts, idempotency claims."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Sequence
from functools import lru_cache
from typing import Any, Protocol

import msgspec

from yiapi.calls.journal import BEGINNING, Place
from yiapi.calls.models import Attempt, Claim, Ending, Finished, Record, Replay
from yiapi.db import Row, Transaction, queries
from yiapi.errors import IdempotencyInProgress, IdempotencyMismatch, IdempotencyNotReplayable
from yiapi.ledger import Hold
from yiapi.money import Money, money_text
from yiapi.providers.contract import Usage

SQL = queries("calls")
CLAIM_KEPT_MS = 24 * 3600 * 1000
HTTP_OK = 200


def usage_text(usage: Sequence[Usage]) -> str:
    """Write usage as the JSON of its column."""
    return _usage_json([(line.sku, line.unit, line.quantity) for line in usage])


def _usage_json(lines: Iterable[Sequence[Any]]) -> str:
    """Write it from lines that begin with sku, unit and quantity, as the journal has them."""
    return "[" + ",".join([f"{_usage_head(line[0], line[1])}{line[2]}}}" for line in lines]) + "]"


@lru_cache(maxsize=1024)
def _usage_head(sku: str, unit: str) -> str:
    """Return a line of a usage's JSON up to its quantity."""
    return msgspec.json.encode({"sku": sku, "unit": unit}).decode()[:-1] + ',"quantity":'


def write_records(tx: Transaction, endings: Sequence[tuple[Ending, Finished]]) -> None:
    """Insert the rows of calls and of their attempts."""
    tx.run_many(SQL.insert_request, [request_row(ending, result) for ending, result in endings])
    tx.run_many(
        SQL.insert_attempt,
        [
            attempt_row(ending.record.id, number, attempt)
            for ending, _ in endings
            for number, attempt in enumerate(ending.attempts, 1)
        ],
    )


def request_row(ending: Ending, result: Finished) -> dict[str, Any]:
    """Spell one record as its row."""
    record = ending.record
    return {
        "id": record.id,
        "account_id": record.account_id,
        "mode": record.mode,
        "key_id": record.key_id,
        "operation": record.operation,
        "provider": record.provider,
        "model": record.model,
        "status": record.status,
        "http_status": record.http_status,
        "usage": usage_text(record.usage),
        "is_estimated": int(record.is_estimated),
        "is_partial": int(record.is_partial),
        "price_version": record.price_version,
        "multiplier": record.multiplier,
        "charge": result.charge.nano,
        "loss": result.loss.nano,
        "cost": sum(attempt.cost.nano for attempt in ending.attempts),
        "hold_id": ending.hold_id,
        "settled_by": None,
        "task_id": record.task_id,
        "client_request_id": record.client_request_id,
        "error_code": record.error_code,
        "error_message": record.error_message,
        "created_at": record.created_at_ms,
        "duration_ms": record.duration_ms,
        "first_byte_ms": record.first_byte_ms,
    }


def attempt_row(request_id: str, number: int, attempt: Attempt) -> dict[str, Any]:
    """Spell one attempt as its row."""
    return {
        "request_id": request_id,
        "number": number,
        "channel_id": attempt.channel_id,
        "credential_id": attempt.credential_id,
        "fault": attempt.fault and attempt.fault.value,
        "http_status": attempt.http_status,
        "cost": attempt.cost.nano,
        "started_at": attempt.started_at_ms,
        "duration_ms": attempt.duration_ms,
        "detail": attempt.detail,
    }


def record_interrupted(tx: Transaction, hold: Hold) -> None:
    """Note a call whose node died: what is known of it is its id, its wallet and its time."""
    _, account_id, mode = hold.wallet.split(":")
    now = (tx.one(SQL.now) or {"now": 0})["now"]
    record = Record(
        id=hold.reference,
        account_id=account_id,
        mode=mode,
        key_id="",
        operation="",
        provider="",
        model="",
        price_version=0,
        multiplier=0,
        created_at_ms=now,
        status="interrupted",
        http_status=500,
        error_code="internal_error",
        error_message="The station was stopped while this call ran; nothing was charged.",
    )
    ending = Ending(record=record, hold_id=hold.id, attempts=(), price=None)
    tx.run(SQL.insert_request, **request_row(ending, Finished(Money(0), Money(0))))


def forget_interrupted(tx: Transaction, request_id: str) -> None:
    """Make room for the record of a call that was thought dead."""
    tx.run(SQL.forget_interrupted, id=request_id)


# Journals

JOURNAL_ENDED = 2**53
"""The segment where a journal is that has ended: behind all others."""


def _columns(row: type[Record | Attempt]) -> tuple[str, ...]:
    """Name the columns for the fields of a row, in the order in which they lie in the journal."""
    return tuple(name.replace("_at_ms", "_at") for name in row.__struct_fields__)


ATTEMPT_COLUMNS = _columns(Attempt)
_USAGE = _columns(Record).index("usage")
RECORD_COLUMNS = _columns(Record)[:_USAGE]  # usage, and what a call that is settled here never has, come behind them
_FLAG = RECORD_COLUMNS.index("is_estimated")
_ONLY_ATTEMPT_COLUMNS = ("channel_id", "credential_id", "tried_at", "tried_ms")
_REQUEST_COLUMNS = (*RECORD_COLUMNS, "usage", "charge", "loss", "cost", "hold_id", "settled_by", *_ONLY_ATTEMPT_COLUMNS)
_NO_ATTEMPT = (None,) * len(_ONLY_ATTEMPT_COLUMNS)
_ATTEMPT_COLUMNS = ("request_id", "number", *ATTEMPT_COLUMNS)


class Journaled(Protocol):
    """A call as its journal tells of it: fields of its row and its attempts, and amounts in nano-dollars."""

    hold_id: str
    charge: int
    loss: int
    record: list[Any]
    attempts: list[list[Any]]


def load_calls(tx: Transaction, calls: Sequence[Journaled], reference: str, lost: Container[str]) -> None:
    """Write the rows of calls that a batch settled. Raises DuplicateRow.

    What an allowance among the ``lost`` should have paid is our loss, and moved nothing. A call that worked at once is
    one row with its attempt in it; the attempts of others are rows apart.
    """
    rows: list[list[Any]] = []
    apart: list[tuple[Any, ...]] = []
    for call in calls:
        record, attempts, only, cost = call.record, call.attempts, _NO_ATTEMPT, 0
        for attempt in attempts:
            cost += attempt[-1][0]
        if _is_one_row(attempts):
            channel_id, credential_id, started_at, _, _, _, duration_ms, _ = attempts[0]
            only = channel_id, credential_id, started_at, duration_ms
        else:
            apart.extend((record[0], number, *rest, nano) for number, (*rest, (nano,)) in enumerate(attempts, 1))
        usage = _usage_json(record[_USAGE])
        row = record[:_USAGE]
        row[_FLAG], row[_FLAG + 1] = +row[_FLAG], +row[_FLAG + 1]
        if call.hold_id in lost:
            row += (usage, 0, call.charge + call.loss, cost, call.hold_id, None, *only)
        else:
            row += (usage, call.charge, call.loss, cost, call.hold_id, reference, *only)
        rows.append(row)
    tx.load("requests", _REQUEST_COLUMNS, rows)
    tx.load("attempts_apart", _ATTEMPT_COLUMNS, apart)


def _is_one_row(attempts: Sequence[Sequence[Any]]) -> bool:
    """Whether the view ``attempts`` says of a single attempt what there is to say beside the row of its call."""
    if len(attempts) != 1:
        return False
    _, _, _, fault, http_status, detail, _, _ = attempts[0]
    return fault is None and http_status == HTTP_OK and detail is None


def begin_journal(tx: Transaction, node_id: str) -> Place:
    """Return how far a journal is settled, from now on kept."""
    tx.run(SQL.begin_journal, node_id=node_id, position=BEGINNING.position)
    row = tx.one(SQL.journal, node_id=node_id)
    assert row is not None
    return Place(row["segment"], row["position"])


def advance_journal(tx: Transaction, node_id: str, before: Place, behind: Place) -> bool:
    """Note how far a journal is settled; False when somebody else has settled that."""
    places = {"segment": behind.segment, "position": behind.position}
    return (
        tx.run(SQL.advance_journal, node_id=node_id, old_segment=before.segment, old_position=before.position, **places)
        == 1
    )


def end_journal(tx: Transaction, node_id: str) -> None:
    """Note that a journal is settled to its end and its node is gone."""
    tx.run(SQL.end_journal, node_id=node_id, ended=JOURNAL_ENDED)
    tx.run(SQL.end_node, id=node_id)


def has_lease(tx: Transaction, node_id: str) -> bool:
    """Whether a node may still live."""
    return tx.one(SQL.has_lease, id=node_id) is not None


def journal_places(tx: Transaction, node_ids: Collection[str]) -> dict[str, Place]:
    """Return how far the journals of nodes are settled; one that nobody has begun to settle is not there."""
    rows = tx.all(SQL.journal_places, ids=msgspec.json.encode(sorted(node_ids)).decode())
    return {row["node_id"]: Place(row["segment"], row["position"]) for row in rows}


# Idempotency


def claim(tx: Transaction, new: Claim, *, owner: str) -> Replay | None:
    """Claim a key, or return the answer of its first run.

    Raises IdempotencyMismatch, IdempotencyInProgress, IdempotencyNotReplayable.
    """
    place = _place(new)
    insert = {**place, "fingerprint": new.fingerprint, "owner": owner, "request_id": new.request_id}
    if tx.run(SQL.claim, **insert) == 1:
        return None
    first = tx.one(SQL.claimed, **place, keep_ms=CLAIM_KEPT_MS)
    if first is None or first["is_old"]:
        tx.run(SQL.free_claim, **place)
        tx.run(SQL.claim, **insert)
        return None
    if first["fingerprint"] != new.fingerprint:
        raise IdempotencyMismatch("This Idempotency-Key was used with another request.")
    if first["state"] == "running":
        raise IdempotencyInProgress("The first call with this Idempotency-Key still runs.", retry_after_s=1)
    if first["state"] == "partial":
        raise IdempotencyNotReplayable("The first call with this Idempotency-Key left a partial result only.")
    headers = [(name, value) for name, value in msgspec.json.decode(first["headers"])]
    return Replay(first["status"], headers, bytes(first["body"]))


def end_claim(tx: Transaction, ending: Ending, charge: Money) -> None:
    """Store the answer of a claim, or free its key; a partial result does neither."""
    assert ending.claim is not None
    place = _place(ending.claim) | {"request_id": ending.claim.request_id}
    stored = ending.stored
    if stored is None and not ending.keeps_key:
        tx.run(SQL.free_own_claim, **place)
        return
    headers = [*(stored.headers if stored else ())]
    if ending.price is not None:
        headers.append(("x-yiapi-charge", money_text(charge.nano)))
    tx.run(
        SQL.finish_claim,
        **place,
        state="partial" if stored is None else "finished",
        status=stored and stored.status,
        headers=msgspec.json.encode(headers).decode(),
        body=stored and stored.body,
        task_id=ending.record.task_id,
    )


def free_orphan_claims(tx: Transaction, limit: int) -> None:
    """Free the keys of dead nodes; those of a task are ended by the task."""
    for row in tx.all(SQL.orphan_claims, limit=limit):
        if row["task_id"] is None:
            place = {name: row[name] for name in ("account_id", "mode", "route", "key", "request_id")}
            tx.run(SQL.free_own_claim, **place)


def forget_claims(tx: Transaction) -> int:
    """Delete claims that are past their time."""
    return tx.run(SQL.forget_claims, keep_ms=CLAIM_KEPT_MS)


def _place(claim: Claim) -> dict[str, str]:
    return {"account_id": claim.account_id, "mode": claim.mode, "route": claim.route, "key": claim.key}


# Reading


def request(tx: Transaction, account_id: str, mode: str, request_id: str) -> Row | None:
    """Return one record of a tenant."""
    return tx.one(SQL.request, account_id=account_id, mode=mode, id=request_id)


def requests(tx: Transaction, account_id: str, mode: str, *, before: tuple[int, str], limit: int) -> list[Row]:
    """Return a page of records, newest first."""
    return tx.all(SQL.requests, account_id=account_id, mode=mode, before=before[0], before_id=before[1], limit=limit)


def attempts(tx: Transaction, request_id: str) -> list[Row]:
    """Return the attempts of a call in order."""
    return tx.all(SQL.attempts, request_id=request_id)


def requests_between(tx: Transaction, account_id: str, mode: str, from_ms: int, to_ms: int) -> list[Row]:
    """Return what a report needs of a tenant's calls in a span."""
    return tx.all(SQL.requests_between, account_id=account_id, mode=mode, from_ms=from_ms, to_ms=to_ms)


class Accepted(Protocol):
    """What is known of a task whose submission nobody finished."""

    @property
    def id(self) -> str: ...  # noqa: D102 - the names are those of the row
    @property
    def account_id(self) -> str: ...  # noqa: D102 - the names are those of the row
    @property
    def mode(self) -> str: ...  # noqa: D102 - the names are those of the row
    @property
    def key_id(self) -> str: ...  # noqa: D102 - the names are those of the row
    @property
    def request_id(self) -> str: ...  # noqa: D102 - the names are those of the row
    @property
    def operation(self) -> str: ...  # noqa: D102 - the names are those of the row
    @property
    def provider(self) -> str: ...  # noqa: D102 - the names are those of the row
    @property
    def model(self) -> str: ...  # noqa: D102 - the names are those of the row
    @property
    def hold_id(self) -> str: ...  # noqa: D102 - the names are those of the row
    @property
    def price_version(self) -> int: ...  # noqa: D102 - the names are those of the row
    @property
    def multiplier(self) -> int: ...  # noqa: D102 - the names are those of the row
    @property
    def created_at(self) -> int: ...  # noqa: D102 - the names are those of the row


def record_accepted(tx: Transaction, task: Accepted) -> None:
    """Write the record of a submission that its node did not live to write."""
    record = Record(
        id=task.request_id,
        account_id=task.account_id,
        mode=task.mode,
        key_id=task.key_id,
        operation=task.operation,
        provider=task.provider,
        model=task.model,
        price_version=task.price_version,
        multiplier=task.multiplier,
        created_at_ms=task.created_at,
        status="accepted",
        task_id=task.id,
    )
    ending = Ending(record=record, hold_id=task.hold_id, attempts=(), price=None)
    tx.run(SQL.insert_request, **request_row(ending, Finished(Money(0), Money(0))))

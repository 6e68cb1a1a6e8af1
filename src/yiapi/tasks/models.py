"""A task: a caller's generation with a public id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from yiapi.assets import KeptFile
from yiapi.calls import Claim
from yiapi.db import Row
from yiapi.ledger import Hold
from yiapi.money import ZERO, Money
from yiapi.providers.contract import Status, Unit, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task that is about to be submitted."""

    id: str
    account_id: str
    mode: str
    key_id: str
    request_id: str
    operation: str
    provider: str
    model: str
    usage: tuple[Usage, ...]
    price_version: int
    multiplier: int
    external_id: str | None
    hook_url: str | None
    deadline_s: float
    open_tasks_max: int
    parent_id: str | None = None
    names: str = "{}"
    asked: str | None = None
    id_may_clash: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task as its row says it. Times are milliseconds since 1970, by the database's clock."""

    id: str
    account_id: str
    mode: str
    key_id: str
    request_id: str
    operation: str
    provider: str
    model: str
    status: Status
    progress: int
    version: int
    bucket: int | None
    hold_id: str
    held: Money
    captured: Money
    usage: tuple[Usage, ...]
    price_version: int
    multiplier: int
    channel_id: str | None
    credential_id: str | None
    vendor_task_id: str | None
    external_id: str | None
    hook_url: str | None
    hook_is_gone: int = 0
    parent_id: str | None
    names: str
    asked: str | None
    answer: str | None
    result: str | None
    metadata: str
    error_code: str | None
    error_message: str | None
    watched_until: int | None
    succeeded_at: int | None
    created_at: int
    started_at: int | None
    finished_at: int | None
    deadline_at: int
    window_until: int | None = None
    opened_by: str | None = None

    @property
    def is_window(self) -> bool:
        """Whether this is an open window: the vendor waits for the submission that says the rest."""
        return self.window_until is not None and self.status is Status.QUEUED

    def answer_json(self) -> Any:
        """Return a copy of the vendor's last answer, or None."""
        return None if self.answer is None else msgspec.json.decode(self.answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a task ends."""

    status: Status
    answer: str | None = None
    text: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    captures: bool = False
    claim: Claim | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndOrder:
    """A wish to end a task. ``fence`` is that of the owner of its bucket; 0 is for whoever needs no bucket.

    ``is_by_time`` ends it only if its time is over by the database's clock. ``late_look_s`` above 0 lets a task that
    the vendor has be looked at after its end, for its cost.
    """

    task_id: str
    end: Ended
    fence: int = 0
    kept: Sequence[KeptFile] = ()
    late_look_s: float = 0.0
    is_by_time: bool = False
    vendor_task_id: str | None = None


def task_of(row: Row) -> Task:
    """Read a row."""
    fields = {name: row[name] for name in Task.__dataclass_fields__ if name in row}
    fields["status"] = Status(row["status"])
    fields["held"], fields["captured"] = Money(row["held"]), Money(row["captured"])
    fields["usage"] = usage_of(row["usage"])
    return Task(**fields)


def usage_of(text: str) -> tuple[Usage, ...]:
    """Read usage as its column keeps it."""
    return tuple(Usage(line["sku"], Unit(line["unit"]), line["quantity"]) for line in msgspec.json.decode(text))


def begun(new: NewTask, hold: Hold, bucket: int, now: int) -> Task:
    """Describe a task whose row has just been written."""
    return Task(
        id=new.id,
        account_id=new.account_id,
        mode=new.mode,
        key_id=new.key_id,
        request_id=new.request_id,
        operation=new.operation,
        provider=new.provider,
        model=new.model,
        status=Status.SUBMITTING,
        progress=0,
        version=1,
        bucket=bucket,
        hold_id=hold.id,
        held=hold.amount,
        captured=ZERO,
        usage=new.usage,
        price_version=new.price_version,
        multiplier=new.multiplier,
        channel_id=None,
        credential_id=None,
        vendor_task_id=None,
        external_id=new.external_id,
        hook_url=new.hook_url,
        parent_id=new.parent_id,
        names=new.names,
        asked=new.asked,
        answer=None,
        result=None,
        metadata="{}",
        error_code=None,
        error_message=None,
        watched_until=None,
        succeeded_at=None,
        created_at=now,
        started_at=None,
        finished_at=None,
        deadline_at=now + round(new.deadline_s * 1000),
    )

"""Who is told of an event, and one event on its way there. Times are milliseconds since 1970."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from yiapi.db import Row


class EventType(StrEnum):
    """What an endpoint may be told of: the ends of a task."""

    TASK_SUCCEEDED = "task.succeeded"
    TASK_FAILED = "task.failed"
    TASK_CANCELLED = "task.cancelled"
    TASK_EXPIRED = "task.expired"


class DeliveryStatus(StrEnum):
    """Where a delivery is."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"  # nothing more is tried, unless somebody replays it


class DeadReason(StrEnum):
    """Why nothing more is tried."""

    ATTEMPTS_USED = "attempts_used"
    GONE = "gone"  # the receiver said 410
    ENDPOINT_DISABLED = "endpoint_disabled"
    ENDPOINT_DELETED = "endpoint_deleted"


class DisabledReason(StrEnum):
    """Why an endpoint is told nothing."""

    ASKED = "asked"
    GONE = "gone"  # it said 410
    FAILING = "failing"  # an event used up its attempts, and nothing else arrived in that time


class Attempt(msgspec.Struct, frozen=True):
    """One attempt: when, the receiver's status, and the beginning of what it said, or why there was no answer."""

    time: int
    status: int | None
    excerpt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a tenant wants to be told of its tasks. ``events`` None: of everything."""

    id: str
    account_id: str
    mode: str
    url: str
    events: tuple[EventType, ...] | None
    enabled: bool
    disabled_reason: DisabledReason | None
    disabled_at: int | None
    last_success_at: int | None
    created_at: int

    def wants(self, event_type: EventType) -> bool:
        """Whether it is to be told of this."""
        return self.enabled and (self.events is None or event_type in self.events)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The end of a task, as it is put out."""

    account_id: str
    mode: str
    task_id: str
    type: EventType


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one receiver, as its tenant reads it."""

    id: str
    endpoint_id: str | None
    task_id: str
    event_id: str
    event_type: EventType
    body: str
    status: DeliveryStatus
    dead_reason: DeadReason | None
    attempts: tuple[Attempt, ...]
    next_attempt_at: int | None
    created_at: int

    @property
    def data(self) -> Any:
        """Return what the event says: of an endpoint's envelope the content, of a task's own hook the whole body."""
        said = msgspec.json.decode(self.body)
        return said if self.endpoint_id is None else said["data"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A delivery in the hands of a courier, who alone may write its outcome as long as the fence is the same."""

    id: str
    fence: int
    lane: str
    account_id: str
    mode: str
    endpoint_id: str | None
    url: str
    event_id: str
    body: str
    secrets: tuple[str, ...] = field(repr=False)
    attempts: tuple[Attempt, ...]
    tries: int
    round_began_at: int
    created_at: int
    claimed_at: int


def endpoint_of(row: Row) -> Endpoint:
    """Read a row."""
    events = row["events"]
    return Endpoint(
        id=row["id"],
        account_id=row["account_id"],
        mode=row["mode"],
        url=row["url"],
        events=None if events is None else msgspec.json.decode(events, type=tuple[EventType, ...]),
        enabled=bool(row["enabled"]),
        disabled_reason=None if row["disabled_reason"] is None else DisabledReason(row["disabled_reason"]),
        disabled_at=row["disabled_at"],
        last_success_at=row["last_success_at"],
        created_at=row["created_at"],
    )


def delivery_of(row: Row) -> Delivery:
    """Read a row."""
    return Delivery(
        id=row["id"],
        endpoint_id=row["endpoint_id"],
        task_id=row["task_id"],
        event_id=row["event_id"],
        event_type=EventType(row["event_type"]),
        body=row["body"],
        status=DeliveryStatus(row["status"]),
        dead_reason=None if row["dead_reason"] is None else DeadReason(row["dead_reason"]),
        attempts=attempts_of(row),
        next_attempt_at=row["next_attempt_at"],
        created_at=row["created_at"],
    )


def attempts_of(row: Row) -> tuple[Attempt, ...]:
    """Read the attempts of a delivery's row."""
    return msgspec.json.decode(row["attempts"], type=tuple[Attempt, ...])

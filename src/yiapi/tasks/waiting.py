"""What the owner of a bucket keeps in memory of a task that waits: what it takes to ask for it, and no more."""

from __future__ import annotations

from yiapi.db import Row
from yiapi.providers.contract import Operation, Provider, Status, TaskShape
from yiapi.providers.registry import Served
from yiapi.tasks.cadence import over_at

NEVER = float("inf")
GONE = float("-inf")


class Waiting:
    """A task that is looked at. Times are seconds by the monotonic clock.

    ``ends_at`` is when it ends by itself; of one that has ended already, when it is no longer looked at. ``is_busy``
    while somebody asks for it or copies its files.
    """

    __slots__ = (
        "began_at",
        "bucket",
        "channel_id",
        "credential_id",
        "ends_at",
        "has_ended",
        "has_succeeded",
        "id",
        "is_busy",
        "is_copying",
        "is_to_be_stopped",
        "is_unnamed",
        "look_at",
        "misses",
        "progress",
        "request_id",
        "served",
        "status",
        "told",
        "vendor_task_id",
        "watched_until",
        "window_until",
    )

    def __init__(self, row: Row, served: Served | None, now: float) -> None:
        at = row["now"]
        status = Status(row["status"])
        self.id: str = row["id"]
        self.bucket: int = row["bucket"]
        self.served = served  # None: an operation that there is no more; it only waits for its end
        self.request_id: str = row["request_id"]
        self.status = status
        self.progress: int = row["progress"]
        self.channel_id: str | None = row["channel_id"]
        self.credential_id: str | None = row["credential_id"]
        self.vendor_task_id: str | None = row["vendor_task_id"]
        self.has_ended = row["finished_at"] is not None
        self.has_succeeded = row["succeeded_at"] is not None
        self.window_until: int | None = row["window_until"]
        self.told: str | None = row["told"]  # the account whose hook hears of changes; null: nobody does
        self.began_at: float = now - (at - (row["finished_at"] or row["started_at"] or row["created_at"])) / 1000
        watched_until = row["watched_until"]
        self.watched_until = GONE if watched_until is None or watched_until <= at else now + (watched_until - at) / 1000
        self.ends_at: float = now + (over_of(row, status) - at) / 1000
        self.look_at = now
        self.misses = 0  # how often the vendor did not know our reference
        self.is_unnamed = False  # a batch did not name it: the next look asks for it alone
        self.is_to_be_stopped = False  # it was cancelled: the vendor is to be told
        self.is_busy = False
        self.is_copying = False

    def __lt__(self, other: Waiting) -> bool:
        is_first: bool = self.id < other.id  # two that end at the same time
        return is_first

    @property
    def operation(self) -> Operation:
        """Return the operation that made it."""
        assert self.served is not None
        return self.served.operation

    @property
    def provider(self) -> Provider:
        """Return the provider that makes it."""
        assert self.served is not None
        return self.served.provider

    @property
    def shape(self) -> TaskShape:
        """Return how its vendor shows it."""
        shape = self.operation.task
        assert shape is not None
        return shape

    @property
    def can_be_found(self) -> bool:
        """Whether the vendor can be asked for it by our reference."""
        return self.provider.reference is not None and self.shape.find is not None

    @property
    def is_window(self) -> bool:
        """Whether it is an open window: nobody asks for it, it only waits for its end."""
        return self.window_until is not None and self.status is Status.QUEUED

    @property
    def is_gone(self) -> bool:
        """Whether it is no longer in the agenda: another has its bucket, it has ended, or its row was read anew."""
        return self.ends_at == GONE


def over_of(row: Row, status: Status) -> int:
    """Return when the task of a row ends by itself."""
    return over_at(
        status,
        created_at=row["created_at"],
        started_at=row["started_at"],
        succeeded_at=row["succeeded_at"],
        finished_at=row["finished_at"],
        deadline_at=row["deadline_at"],
        window_until=row["window_until"],
    )

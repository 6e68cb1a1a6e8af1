"""Where a task is: our own words, the same for every vendor."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Where a task is. The first four are open, the last four final."""

    QUEUED = "queued"
    SUBMITTING = "submitting"
    RUNNING = "running"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        """Whether the task has ended."""
        return self in _FINAL


_FINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.EXPIRED})

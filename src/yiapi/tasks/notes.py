"""What a worker writes about tasks that go on: a changed state, or that the vendor has succeeded. Many at once."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass

from yiapi.db import Database, Transaction
from yiapi.providers.contract import Status
from yiapi.tasks import store


@dataclass(frozen=True, slots=True)
class Progress:
    """A task as its vendor shows it now."""

    task_id: str
    fence: int
    status: Status
    progress: int
    answer: str
    vendor_task_id: str | None


@dataclass(frozen=True, slots=True)
class Success:
    """The vendor has succeeded; the files are yet to be copied."""

    task_id: str
    fence: int
    vendor_task_id: str | None


Note = Progress | Success


class Notes:
    """Writes notes; one about a task that has ended or is another's is refused."""

    def __init__(self, database: Database) -> None:
        self._group = database.group(_write_many)

    def submit(self, note: Note) -> Awaitable[bool]:
        """Write a note; False when it is refused. Raises StorageUnavailable."""
        return self._group.submit(note)


def _write_many(tx: Transaction, notes: list[Note]) -> list[bool | Exception]:
    held = store.held(tx, {note.task_id: note.fence for note in notes})
    good = [note for note in notes if note.task_id in held]
    changed = [note for note in good if isinstance(note, Progress)]
    store.note_progress(tx, [_row(note) for note in changed])
    succeeded = [note for note in good if isinstance(note, Success)]
    rows = [{"id": note.task_id, "fence": note.fence, "vendor_task_id": note.vendor_task_id} for note in succeeded]
    store.note_success(tx, rows)
    return [note.task_id in held for note in notes]


def _row(note: Progress) -> dict[str, object]:
    return {
        "id": note.task_id,
        "fence": note.fence,
        "status": note.status.value,
        "progress": note.progress,
        "answer": note.answer,
        "vendor_task_id": note.vendor_task_id,
    }

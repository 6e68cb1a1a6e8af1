"""Books that keep nothing: the same as the others, only in dictionaries, for benchmarks and for tests."""

from collections import deque
from typing import Any

from yiapi_sandbox.books import CALLS_MAX, Books, ReferenceTaken, Task

Call = tuple[float, str, str, str, str | None, int | None, str, str]


class MemoryBooks(Books):
    """What is written for every call and every task stays in this process, and ends with it."""

    def __init__(self) -> None:
        super().__init__(None)
        self._every: dict[tuple[str, str], Task] = {}
        self._references: dict[tuple[str, str], Task] = {}
        self._files: dict[str, tuple[bytes, float]] = {}
        self._calls: deque[Call] = deque(maxlen=CALLS_MAX)

    def note_call(
        self,
        at: float,
        *,
        vendor: str,
        method: str,
        path: str,
        operation: str,
        request_id: str | None,
        status: int | None,
        outcome: str,
    ) -> None:
        """Remember one call and how it went; of very many, the oldest are dropped."""
        self._calls.append((at, vendor, method, path, request_id, status, outcome, operation))

    def count_calls(self, vendor: str, operation: str, request_id: str) -> int:
        """Count the attempts that one request has made at one operation."""
        wanted = (vendor, request_id, operation)
        return sum((call[1], call[4], call[7]) == wanted for call in self._calls)

    def calls(self, request_id: str | None, limit: int = 1000) -> list[dict[str, Any]]:
        """List the calls of one request, or the latest of all, oldest first."""
        names = ("at", "vendor", "method", "path", "request_id", "status", "outcome")
        found = [call for call in self._calls if request_id is None or call[4] == request_id]
        return [dict(zip(names, call[:7], strict=True)) for call in found[-limit:]]

    def add_task(self, task: Task) -> None:
        """Keep a new task. Raises ReferenceTaken."""
        taken = task.reference is not None and (task.vendor, task.reference) in self._references
        if taken or (task.vendor, task.id) in self._every:
            raise ReferenceTaken(task.reference)
        self._keep(task)

    def change_task(self, task: Task) -> None:
        """Keep a task as it is from now on."""
        before = self._every[task.vendor, task.id]
        if before.reference is not None:
            del self._references[task.vendor, before.reference]
        self._keep(task)

    def _keep(self, task: Task) -> None:
        self._every[task.vendor, task.id] = task
        if task.reference is not None:
            self._references[task.vendor, task.reference] = task

    def task(self, vendor: str, task_id: str) -> Task | None:
        """Find a task by its id."""
        return self._every.get((vendor, task_id))

    def task_by_reference(self, vendor: str, reference: str) -> Task | None:
        """Find a task by the reference that its caller gave it."""
        return self._references.get((vendor, reference))

    def tasks(self, vendor: str | None = None, limit: int = -1) -> list[Task]:
        """List tasks, newest first; a limit below 0 is none."""
        newest = [task for task in reversed(self._every.values()) if vendor in (None, task.vendor)]
        return newest[:limit] if limit >= 0 else newest

    def open_tasks(self, vendor: str, now: float) -> list[Task]:
        """List the tasks that have not ended, oldest first."""
        return [task for task in self._every.values() if task.vendor == vendor and task.ends_at > now]

    def add_file(self, file_id: str, recipe: bytes, expires_at: float) -> None:
        """Keep what is needed to make a result again."""
        self._files[file_id] = (recipe, expires_at)

    def file(self, file_id: str) -> bytes | None:
        """Return the recipe of a result."""
        found = self._files.get(file_id)
        return found[0] if found else None

    def drop_expired_files(self, now: float) -> None:
        """Forget the results whose links are over, and what they were made from."""
        super().drop_expired_files(now)
        self._files = {name: file for name, file in self._files.items() if file[1] >= now}

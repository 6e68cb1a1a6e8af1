"""The sandbox's books: calls, tasks, results and the bill, in one SQLite file.

Everything is written at once, so that a killed sandbox forgets nothing. Tasks are also kept in memory, because they are
read at every poll.
"""

import sqlite3
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

TASKS_IN_MEMORY_MAX = 200_000
CALLS_MAX = 200_000
NANO = 1_000_000_000

_SCHEMA = """
create table if not exists facts (name text primary key, value text not null);
create table if not exists calls (
    id integer primary key, at real not null, vendor text not null, method text not null, path text not null,
    request_id text, operation text not null, status integer, outcome text not null);
create index if not exists calls_by_request on calls (request_id) where request_id is not null;
create table if not exists tasks (
    vendor text not null, id text not null, reference text, created_at real not null, ends_at real not null,
    task blob not null, primary key (vendor, id));
create unique index if not exists tasks_by_reference on tasks (vendor, reference) where reference is not null;
create index if not exists tasks_by_end on tasks (vendor, ends_at);
create table if not exists bill (
    vendor text not null, sku text not null, unit text not null, quantity real not null, usd_nano integer not null,
    primary key (vendor, sku, unit));
create table if not exists files (id text primary key, recipe blob not null, expires_at real not null);
create table if not exists sources (digest text primary key, content blob not null, expires_at real not null);
"""


class Usage(msgspec.Struct, frozen=True):
    """What a vendor would bill for one call: how much of what, and the money."""

    sku: str
    unit: str
    quantity: float
    usd_nano: int


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A generation that takes time. Its state follows from the clock alone."""

    vendor: str
    id: str
    operation: str
    created_at: float
    begins_at: float
    ends_at: float
    reference: str | None = None
    failure: str | None = None
    """Why it will fail, if it will."""
    files: list[str] = []
    usage: Usage
    callback_url: str | None = None
    base_url: str = ""
    detail: dict[str, Any] = {}


class ReferenceTaken(Exception):
    """Another task has this reference already."""


class Books:
    """One SQLite database: a file, or memory alone."""

    def __init__(self, path: Path | None) -> None:
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = normal")
        self._db.execute("pragma busy_timeout = 5000")
        self._db.executescript(_SCHEMA)
        self._tasks: dict[tuple[str, str], Task] = {}

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # Facts

    def fact(self, name: str, default: str) -> str:
        """Return a lasting fact, which is the default the first time."""
        self._db.execute("insert or ignore into facts values (?, ?)", (name, default))
        return str(self._db.execute("select value from facts where name = ?", (name,)).fetchone()[0])

    # Calls

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
        """Write down one call and how it went; of very many, the oldest are dropped."""
        cursor = self._db.execute(
            "insert into calls (at, vendor, method, path, operation, request_id, status, outcome)"
            " values (?, ?, ?, ?, ?, ?, ?, ?)",
            (at, vendor, method, path, operation, request_id, status, outcome),
        )
        if cursor.lastrowid and cursor.lastrowid % 10_000 == 0:
            self._db.execute("delete from calls where id <= ?", (cursor.lastrowid - CALLS_MAX,))

    def count_calls(self, vendor: str, operation: str, request_id: str) -> int:
        """Count the attempts that one request has made at one operation."""
        rows = self._db.execute(
            "select count(*) from calls where request_id = ? and vendor = ? and operation = ?",
            (request_id, vendor, operation),
        )
        return int(rows.fetchone()[0])

    def calls(self, request_id: str | None, limit: int = 1000) -> list[dict[str, Any]]:
        """List the calls of one request, or the latest of all, oldest first."""
        rows = self._db.execute(
            "select at, vendor, method, path, request_id, status, outcome from calls"
            " where ?1 is null or request_id = ?1 order by id desc limit ?2",
            (request_id, limit),
        ).fetchall()
        names = ("at", "vendor", "method", "path", "request_id", "status", "outcome")
        return [dict(zip(names, row, strict=True)) for row in reversed(rows)]

    # Tasks

    def add_task(self, task: Task) -> None:
        """Keep a new task. Raises ReferenceTaken."""
        row = (task.vendor, task.id, task.reference, task.created_at, task.ends_at, msgspec.json.encode(task))
        try:
            self._db.execute("insert into tasks values (?, ?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError as error:
            raise ReferenceTaken(task.reference) from error
        self._remember(task)

    def change_task(self, task: Task) -> None:
        """Keep a task as it is from now on."""
        self._db.execute(
            "update tasks set reference = ?, ends_at = ?, task = ? where vendor = ? and id = ?",
            (task.reference, task.ends_at, msgspec.json.encode(task), task.vendor, task.id),
        )
        self._remember(task)

    def task(self, vendor: str, task_id: str) -> Task | None:
        """Find a task by its id."""
        if found := self._tasks.get((vendor, task_id)):
            return found
        return self._find_task("select task from tasks where vendor = ? and id = ?", vendor, task_id)

    def task_by_reference(self, vendor: str, reference: str) -> Task | None:
        """Find a task by the reference that its caller gave it."""
        return self._find_task("select task from tasks where vendor = ? and reference = ?", vendor, reference)

    def tasks(self, vendor: str | None = None, limit: int = -1) -> list[Task]:
        """List tasks, newest first; a limit below 0 is none."""
        rows = self._db.execute(
            "select task from tasks where ?1 is null or vendor = ?1 order by created_at desc, rowid desc limit ?2",
            (vendor, limit),
        )
        return [msgspec.json.decode(row[0], type=Task) for row in rows]

    def open_tasks(self, vendor: str, now: float) -> list[Task]:
        """List the tasks that have not ended, oldest first."""
        rows = self._db.execute(
            "select task from tasks where vendor = ? and ends_at > ? order by created_at, rowid", (vendor, now)
        )
        return [msgspec.json.decode(row[0], type=Task) for row in rows]

    def _find_task(self, sql: str, *values: str) -> Task | None:
        row = self._db.execute(sql, values).fetchone()
        if row is None:
            return None
        task = msgspec.json.decode(row[0], type=Task)
        self._remember(task)
        return task

    def _remember(self, task: Task) -> None:
        if len(self._tasks) >= TASKS_IN_MEMORY_MAX:
            for key in list(islice(self._tasks, TASKS_IN_MEMORY_MAX // 10)):
                del self._tasks[key]
        self._tasks[task.vendor, task.id] = task

    # The bill

    def bill(self, vendor: str, usage: Usage) -> None:
        """Add to what the vendor would bill."""
        self._db.execute(
            "insert into bill values (?, ?, ?, ?, ?) on conflict do update"
            " set quantity = quantity + excluded.quantity, usd_nano = usd_nano + excluded.usd_nano",
            (vendor, usage.sku, usage.unit, usage.quantity, usage.usd_nano),
        )

    def billed(self, now: float) -> dict[str, list[Usage]]:
        """Sum up per vendor: what was billed at once, and the tasks that have ended well by now."""
        sums: dict[tuple[str, str, str], tuple[float, int]] = {}
        rows: Iterable[tuple[str, str, str, float, int]] = self._db.execute("select * from bill").fetchall()
        done = [task for task in self.tasks() if task.ends_at <= now and task.failure is None]
        ended = [(t.vendor, t.usage.sku, t.usage.unit, t.usage.quantity, t.usage.usd_nano) for t in done]
        for vendor, sku, unit, quantity, usd_nano in [*rows, *ended]:
            so_far = sums.get((vendor, sku, unit), (0.0, 0))
            sums[vendor, sku, unit] = (so_far[0] + quantity, so_far[1] + usd_nano)
        bill: dict[str, list[Usage]] = {}
        for (vendor, sku, unit), (quantity, usd_nano) in sorted(sums.items()):
            bill.setdefault(vendor, []).append(Usage(sku, unit, quantity, usd_nano))
        return bill

    # Results

    def add_file(self, file_id: str, recipe: bytes, expires_at: float) -> None:
        """Keep what is needed to make a result again."""
        self._db.execute("insert into files values (?, ?, ?)", (file_id, recipe, expires_at))

    def file(self, file_id: str) -> bytes | None:
        """Return the recipe of a result."""
        row = self._db.execute("select recipe from files where id = ?", (file_id,)).fetchone()
        return row[0] if row else None

    def drop_expired_files(self, now: float) -> None:
        """Forget the results whose links are over, and what they were made from."""
        self._db.execute("delete from files where expires_at < ?", (now,))
        self._db.execute("delete from sources where expires_at < ?", (now,))

    def add_source(self, digest: str, content: bytes, expires_at: float) -> None:
        """Keep a picture that a caller sent, once, for as long as any result needs it."""
        self._db.execute(
            "insert into sources values (?, ?, ?) on conflict do update set expires_at = max(expires_at, ?)",
            (digest, content, expires_at, expires_at),
        )

    def keep_source(self, digest: str, expires_at: float) -> None:
        """Keep a picture that a caller sent for longer."""
        self._db.execute("update sources set expires_at = max(expires_at, ?) where digest = ?", (expires_at, digest))

    def source(self, digest: str) -> bytes:
        """Return a picture that a caller sent."""
        return bytes(self._db.execute("select content from sources where digest = ?", (digest,)).fetchone()[0])


def usd(nano: int) -> str:
    """Write nano-dollars as a decimal text in USD."""
    whole, rest = divmod(nano, NANO)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".")

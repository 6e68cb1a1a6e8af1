# ruff: noqa: D102 - what each method does is what its name says, and both databases are used through Transaction
"""Connections: the one place that knows which database is behind.

A ``Connection`` is used by one thread at a time. Transactions are opened by its owner (``yiapi.db.database``); a store
sees only ``Transaction``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from yiapi.clock import Clock, SystemClock
from yiapi.db.faults import DuplicateRow, Row, RowRefused
from yiapi.db.postgres import PostgresConnection
from yiapi.db.sql import Query
from yiapi.errors import StorageUnavailable

Kind = Literal["sqlite", "postgresql"]

BUSY_TIMEOUT_MS = 1500


class Connection(Protocol):
    """What both databases can do."""

    @property
    def kind(self) -> Kind: ...
    def begin(self, *, write: bool) -> None: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def command(self, text: str) -> None: ...
    def execute(self, query: Query, params: Mapping[str, Any]) -> tuple[list[Row], int]: ...
    def execute_many(self, query: Query, rows: Sequence[Mapping[str, Any]]) -> int: ...
    def load(self, table: str, columns: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> None: ...
    def script(self, text: str) -> None: ...
    def take_time(self) -> None: ...
    def close(self) -> None: ...


def kind_of(url: str) -> Kind:
    """Tell the database of a URL. Raises ValueError for one that is not served."""
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        return "sqlite"
    if scheme in {"postgresql", "postgres"}:
        return "postgresql"
    raise ValueError(f"unknown database {scheme!r}: use sqlite:///path or postgresql://…")


def connect(url: str, clock: Clock | None = None) -> Connection:
    """Open a connection. Raises StorageUnavailable when the database does not answer."""
    if kind_of(url) == "sqlite":
        return SqliteConnection(Path(url.removeprefix("sqlite:///")), clock or SystemClock())
    return PostgresConnection(url, clock or SystemClock())


class SqliteConnection:
    """SQLite with write-ahead log and full synchronisation: a commit that returned survives a power cut."""

    kind: Kind = "sqlite"

    def __init__(self, path: Path, clock: Clock) -> None:
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
            self._db.row_factory = _dict_row
            self._db.create_function("now_ms", 0, clock.now_ms)
            self._db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
        except sqlite3.Error as error:
            raise StorageUnavailable("the database cannot be opened") from error

    def begin(self, *, write: bool) -> None:
        self.command("BEGIN IMMEDIATE" if write else "BEGIN")

    def commit(self) -> None:
        self.command("COMMIT")

    def rollback(self) -> None:
        if self._db.in_transaction:
            self.command("ROLLBACK")

    def command(self, text: str) -> None:
        try:
            self._db.execute(text)
        except sqlite3.Error as error:
            raise _sqlite_fault(error) from error

    def execute(self, query: Query, params: Mapping[str, Any]) -> tuple[list[Row], int]:
        try:
            cursor = self._db.execute(query.sqlite, params)
            return (cursor.fetchall() if cursor.description else []), cursor.rowcount
        except sqlite3.Error as error:
            raise _sqlite_fault(error) from error

    def execute_many(self, query: Query, rows: Sequence[Mapping[str, Any]]) -> int:
        try:
            return self._db.executemany(query.sqlite, rows).rowcount
        except sqlite3.Error as error:
            raise _sqlite_fault(error) from error

    def load(self, table: str, columns: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> None:
        try:
            self._db.executemany(_insertion(table, columns), rows)
        except sqlite3.Error as error:
            raise _sqlite_fault(error) from error

    def script(self, text: str) -> None:
        for statement in _statements(text):
            self.command(statement)

    def take_time(self) -> None:
        """Nothing hurries a statement of SQLite."""

    def close(self) -> None:
        self._db.close()


@cache
def _insertion(table: str, columns: tuple[str, ...]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - names of ours


def _dict_row(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def _statements(text: str) -> Iterable[str]:
    """Split a script where SQLite itself sees the end of a statement (a trigger holds semicolons)."""
    pending = ""
    for line in text.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


def _sqlite_fault(error: sqlite3.Error) -> Exception:
    if isinstance(error, sqlite3.IntegrityError) and "UNIQUE" in str(error):
        return DuplicateRow(str(error))
    if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError):
        return RowRefused(str(error))
    if isinstance(error, sqlite3.OperationalError) and not _is_mistake(error):
        return StorageUnavailable("the database cannot take this now", retry_after_s=1)
    return error


def _is_mistake(error: sqlite3.OperationalError) -> bool:
    """A statement that is wrong is a bug, not an outage."""
    text = str(error)
    return any(part in text for part in ("syntax error", "no such", "has no column", "already exists"))

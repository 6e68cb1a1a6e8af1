# ruff: noqa: D102 - what each method does is what its name says (yiapi.db.connect)
"""PostgreSQL: psycopg's connection, spoken to through its libpq.

Every statement is prepared once and then costs one exchange; psycopg's own cursors take five times as long on our side,
and the writers of money take turns, so that time is everybody's. Values go and come as text, but for bytes.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

import msgspec
import psycopg
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from yiapi.clock import Clock, SystemClock
from yiapi.db.faults import ConflictInDatabase, DuplicateRow, Row, RowRefused
from yiapi.db.sql import Query
from yiapi.errors import StorageUnavailable

STATEMENT_TIMEOUT_MS = 1800
CONNECT_TIMEOUT_S = 2
ANSWER_S = 1.9
"""How long an answer is waited for: a server that hangs cannot stop its own statements."""
STALE_S_MAX = 0.2
"""A connection that was lost before is noticed at once; what takes longer is an outage of now."""
ROWS_AT_ONCE = 200
"""Statements sent before their results are read; few enough that no side waits for the other to read."""

BOOL, BYTEA, INT8, FLOAT8 = 16, 17, 20, 701
DONE = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.COPY_IN, ExecStatus.PIPELINE_SYNC})
INT8_MAX = 2**63 - 1

_Statement = tuple[bytes, list[Any], list[int] | None]
"""A prepared statement's name, its values, and which of them are bytes."""

_READ: Mapping[int, Callable[[bytes], Any]] = {
    BOOL: lambda value: value == b"t",
    BYTEA: lambda value: bytes.fromhex(value[2:].decode()),
    INT8: int,
    21: int,
    23: int,
    26: int,
    700: float,
    FLOAT8: float,
    1700: lambda value: Decimal(value.decode()),
}
NULL = "null"
"""What COPY takes for NULL as JSON does; a text of that spelling has quotes."""
_COPY = rf"COPY {{table}} ({{columns}}) FROM STDIN (FORMAT csv, NULL '{NULL}', ESCAPE E'\\')"
_JSON = msgspec.json.Encoder()


class PostgresConnection:
    """A connection that is opened again at the next transaction when it was lost."""

    kind: Literal["postgresql"] = "postgresql"

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = None if isinstance(clock, SystemClock) else clock
        self._db: psycopg.Connection[Any] | None = None
        self._prepared: dict[tuple[str, tuple[int, ...]], bytes] = {}
        self._limit_s: float | None = ANSWER_S
        self._lost_after_s = 0.0  # how long the answer was waited for with which the connection was lost
        self._open()

    def _open(self) -> None:
        if self._db is None or self._db.pgconn.status != ConnStatus.OK:
            self.close()
            try:
                self._db = psycopg.connect(
                    self._url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, application_name="yiapi"
                )
            except psycopg.Error as error:
                raise StorageUnavailable("the database does not answer", retry_after_s=1) from error
            self._db.pgconn.nonblocking = 0
            self._prepared.clear()
            self._limit_s = ANSWER_S
            self.command(f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}")

    def _alive(self) -> PGconn:
        """Return the connection of the transaction; one that was lost is not replaced in its middle."""
        if self._db is None or self._db.pgconn.status != ConnStatus.OK:
            raise StorageUnavailable("the database is gone", retry_after_s=1)
        return self._db.pgconn

    def begin(self, *, write: bool) -> None:
        was_open = self._db is not None and self._db.pgconn.status == ConnStatus.OK
        self._open()
        text = "BEGIN" if write else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        try:
            self.command(text)
        except StorageUnavailable:
            if not was_open or self._lost_after_s > STALE_S_MAX:
                raise
            self._open()  # it was lost while nobody used it, and nothing was under way
            self.command(text)
        self._limit_s = ANSWER_S
        if self._clock is not None:
            self.command(f"SELECT set_config('yiapi.now_ms', '{self._clock.now_ms()}', true)")

    def commit(self) -> None:
        self.command("COMMIT")

    def rollback(self) -> None:
        if self._db is not None and self._db.pgconn.status == ConnStatus.OK:
            try:
                self.command("ROLLBACK")
            except StorageUnavailable:
                self.close()

    def take_time(self) -> None:
        """Let statements of this transaction take as long as they need."""
        self.command("SET LOCAL statement_timeout = 0")
        self._limit_s = None

    def command(self, text: str) -> None:
        connection = self._alive()
        connection.send_query(text.encode())
        self._checked(self._answer(connection))

    def execute(self, query: Query, params: Mapping[str, Any]) -> tuple[list[Row], int]:
        connection = self._alive()
        name, values, formats = self._prepare(connection, query, params)
        connection.send_query_prepared(name, values, formats)
        result = self._checked(self._answer(connection))
        return _rows(result), result.command_tuples or 0

    def execute_many(self, query: Query, rows: Sequence[Mapping[str, Any]]) -> int:
        if len(rows) == 1:
            return self.execute(query, rows[0])[1]
        connection = self._alive()
        sent = [self._prepare(connection, query, row) for row in rows]
        return sum(
            self._send(connection, sent[begin : begin + ROWS_AT_ONCE]) for begin in range(0, len(sent), ROWS_AT_ONCE)
        )

    def _answer(self, connection: PGconn) -> PGresult | None:
        """Read all that a command is answered with, and return the first that failed, else the last."""
        answer: PGresult | None = None
        while (result := self._next_result(connection)) is not None:
            if answer is None or answer.status in DONE:
                answer = result
            if result.status == ExecStatus.COPY_IN:
                break
        return answer

    def _next_result(self, connection: PGconn) -> PGresult | None:
        """Wait for one result within the limit; a connection whose answer does not come is given up."""
        began = time.monotonic()
        try:
            while connection.is_busy():
                left_s = 3600.0 if self._limit_s is None else max(self._limit_s - (time.monotonic() - began), 0.0)
                if not _is_readable(connection.socket, left_s):
                    break
                connection.consume_input()
            else:
                return connection.get_result()
        except psycopg.Error as error:
            raise self._lost(began) from error
        raise self._lost(began)

    def _lost(self, began: float) -> StorageUnavailable:
        """Give the connection up, and say so."""
        self._lost_after_s = time.monotonic() - began
        self.close()
        return StorageUnavailable("the database does not answer", retry_after_s=1)

    def _send(self, connection: PGconn, sent: Sequence[_Statement]) -> int:
        """Send statements without waiting in between and count the rows they changed; the first that fails is told."""
        failed: PGresult | None = None
        changed = 0
        connection.enter_pipeline_mode()
        try:
            for name, values, formats in sent:
                connection.send_query_prepared(name, values, formats)
            connection.pipeline_sync()
            while connection.status == ConnStatus.OK:
                result = self._next_result(connection)
                if result is not None and result.status == ExecStatus.PIPELINE_SYNC:
                    break
                if failed is None and result is not None and result.status == ExecStatus.FATAL_ERROR:
                    failed = result
                changed += (result is not None and result.command_tuples) or 0
            else:
                raise StorageUnavailable("the database is gone", retry_after_s=1)
            connection.exit_pipeline_mode()
        except psycopg.Error as error:
            raise _fault(error) from error
        if failed is not None:
            self._checked(failed)
        return changed

    def load(self, table: str, columns: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> None:
        text = b"\n".join(map(_line, rows))
        connection = self._alive()
        try:
            connection.send_query(_COPY.format(table=table, columns=", ".join(columns)).encode())
            self._checked(self._answer(connection))
            connection.put_copy_data(text)
            connection.put_copy_end()
        except psycopg.Error as error:
            raise _fault(error) from error
        self._checked(self._answer(connection))

    def script(self, text: str) -> None:
        self.command(text)

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _prepare(self, connection: PGconn, query: Query, params: Mapping[str, Any]) -> _Statement:
        """Return the name of a prepared statement and what to run it with."""
        given = [params[name] for name in query.names]
        types = tuple(map(_type_of, given))
        name = self._prepared.get((query.postgresql, types))
        if name is None:
            name = f"q{len(self._prepared)}".encode()
            connection.send_prepare(name, query.postgresql.encode(), types)
            self._checked(self._answer(connection))
            self._prepared[query.postgresql, types] = name
        formats = [int(kind == BYTEA) for kind in types] if BYTEA in types else None
        return name, [_value(value) for value in given], formats

    def _checked(self, result: PGresult | None) -> PGresult:
        """Return a result that is a success. Raises what ``_fault`` says, and StorageUnavailable for none."""
        if result is None:
            raise StorageUnavailable("the database is gone", retry_after_s=1)
        if result.status in DONE:
            return result
        state = (result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b"").decode()
        text = result.error_message.decode("utf-8", "replace").strip()
        if not state or (self._db is not None and self._db.pgconn.status != ConnStatus.OK):
            raise StorageUnavailable("the database is gone", retry_after_s=1)
        try:
            kind = psycopg.errors.lookup(state)
        except KeyError:
            kind = psycopg.DatabaseError
        fault = _fault(kind(text))
        if state == STALE_PLAN:
            self.close()
        raise fault


STALE_PLAN = "0A000"
"""The schema was migrated under a prepared statement: the next connection prepares it anew."""


_OUTAGES = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.QueryCanceled,
    psycopg.errors.ReadOnlySqlTransaction,  # a standby, or a server that was told to keep still
)


def _is_readable(socket: int, timeout_s: float) -> bool:
    poller = select.poll()
    poller.register(socket, select.POLLIN)
    return bool(poller.poll(timeout_s * 1000))


def _fault(error: psycopg.Error) -> Exception:
    if isinstance(error, psycopg.errors.SerializationFailure | psycopg.errors.DeadlockDetected):
        return ConflictInDatabase(str(error))
    if isinstance(error, psycopg.errors.UniqueViolation):
        return DuplicateRow(str(error))
    if isinstance(error, psycopg.IntegrityError | psycopg.DataError):
        return RowRefused(str(error))
    if isinstance(error, _OUTAGES) or error.sqlstate == STALE_PLAN:
        return StorageUnavailable("the database cannot take this now", retry_after_s=1)
    return error


def _type_of(value: Any) -> int:
    """Name the type of a value where it says one; a text is what the statement makes of it."""
    kind = type(value)
    if kind is str or value is None:
        return 0
    if kind is int:
        return INT8
    if kind is bool:
        return BOOL
    if kind is float:
        return FLOAT8
    if isinstance(value, bytes | bytearray | memoryview):
        return BYTEA
    if isinstance(value, str):
        return 0
    raise TypeError(f"{kind.__name__} is no value of a column")


def _value(value: Any) -> bytes | None:
    """Spell a value. Raises RowRefused for what no column takes."""
    if value is None:
        return None
    if isinstance(value, str):
        if "\0" in value:
            raise RowRefused("a text of PostgreSQL has no NUL")
        return value.encode()
    if isinstance(value, bool):
        return b"t" if value else b"f"
    if isinstance(value, int):
        if not -INT8_MAX <= value <= INT8_MAX:
            raise RowRefused(f"{value} is too large")
        return b"%d" % value
    return repr(value).encode() if isinstance(value, float) else bytes(value)


def _rows(result: PGresult) -> list[Row]:
    count = result.ntuples
    if not count:
        return []
    columns = [
        ((result.fname(place) or b"").decode(), _READ.get(result.ftype(place), bytes.decode))
        for place in range(result.nfields)
    ]
    get = result.get_value
    rows: list[Row] = []
    for number in range(count):
        row: dict[str, Any] = {}
        for place, (name, read) in enumerate(columns):
            value = get(number, place)
            row[name] = None if value is None else read(value)
        rows.append(row)
    return rows


def _line(row: Sequence[Any]) -> bytes:
    """Spell a row for COPY: JSON without its brackets, where that is CSV as well. Raises RowRefused."""
    line = _JSON.encode(row)[1:-1]
    if line.replace(b'\\"', b"").find(b"\\") < 0:  # "in" would try it as a number first
        return line
    return ",".join(map(_cell, row)).encode()


def _cell(value: Any) -> str:
    """Spell a value as CSV, where a text may have any character but NUL as it is."""
    if value is None:
        return NULL
    text = str(value)
    if "\0" in text:
        raise RowRefused("a text of PostgreSQL has no NUL")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

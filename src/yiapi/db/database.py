"""One database, two kinds of work: reads side by side, writes in grouped commits.

A unit of work is a plain function that gets a ``Transaction``; it does no I/O of its own and may be run again. A writer
thread takes all that waits, runs it in one transaction (each unit in its own savepoint) and commits once, so durability
costs one flush per group and not per call. Work of the same kind can be submitted as data to a ``Group``, which gets
the whole list at once and can fold it into few statements.

A unit whose waiter was cancelled still runs: what was submitted is done, whoever stopped listening.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, Self, TypeVar

from yiapi.clock import Clock, SystemClock
from yiapi.db.bell import Bell
from yiapi.db.connect import Connection, connect, kind_of
from yiapi.db.faults import ConflictInDatabase, Row
from yiapi.db.sql import Query
from yiapi.errors import InternalError, StorageUnavailable

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 - the item of a group
R = TypeVar("R")

CONFLICT_TRIES_MAX = 5
GROUP_UNITS_MAX = 512
BUSY_UNITS = 4
GATHER_S = 0.0003
READ_WAIT_S = 1.9
"""For a connection that is free. Writers have connections of their own, so what reads wait for holds no settlement."""
LATE_S = 0.1
"""While the database is away, what has waited for longer behind a failure fails with it."""


class Transaction:
    """What a store may do inside a transaction; it neither commits nor opens anything."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def works_here(self) -> bool:
        """Tell whether the database works in this process, so that its work can be shared out in pieces for free."""
        return self._connection.kind == "sqlite"

    def one(self, query: Query, **params: Any) -> Row | None:
        """Return the first row, or None."""
        rows, _ = self._connection.execute(query, params)
        return rows[0] if rows else None

    def all(self, query: Query, **params: Any) -> list[Row]:
        """Return every row."""
        return self._connection.execute(query, params)[0]

    def run(self, query: Query, **params: Any) -> int:
        """Execute a statement and return how many rows it changed."""
        return self._connection.execute(query, params)[1]

    def run_many(self, query: Query, rows: Sequence[Mapping[str, Any]]) -> int:
        """Execute a statement once per row and return how many rows it changed in all."""
        return self._connection.execute_many(query, rows) if rows else 0

    def load(self, table: str, columns: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> None:
        """Insert many rows, each with its values in the order of the columns, in the fastest way there is."""
        if rows:
            self._connection.load(table, columns, rows)


Job = Callable[[Transaction], T]


@dataclass(eq=False)
class _Unit:
    """One piece of waiting work: a job, or an item of a group."""

    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    job: Job[Any] | None = None
    group: Group[Any, Any] | None = None
    item: Any = None
    submitted_at: float = field(default_factory=time.monotonic)
    result: Any = None
    error: BaseException | None = field(default=None)


class Group(Generic[I, R]):
    """Work that comes as data: ``run`` gets every item that waits and returns one result (or exception) for each."""

    def __init__(self, writer: _Writer, run: Callable[[Transaction, list[I]], list[R | Exception]]) -> None:
        self.run = run
        self._writer = writer

    def submit(self, item: I) -> asyncio.Future[R]:
        """Queue an item; the future is done when its transaction is committed."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._writer.put(_Unit(future, loop, group=self, item=item))
        return future


class Database:
    """The station's database. ``write`` and ``read`` raise StorageUnavailable when it cannot be reached."""

    def __init__(self, url: str, *, clock: Clock | None = None, readers: int = 2, writers: int = 4) -> None:
        self.url = url
        self.kind = kind_of(url)
        self._clock = clock or SystemClock()
        self._writer = _Writer(url, self._clock, threads=1 if self.kind == "sqlite" else writers)
        self._turn_writer = self._writer if self.kind == "sqlite" else _Writer(url, self._clock, threads=1)
        self._local = threading.local()
        self._connections: list[Connection] = []
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="db-read")

    async def write(self, job: Job[T]) -> T:
        """Run a unit of work in a transaction and return its result once that is durable.

        The job's own exceptions come back to the caller and undo what it did; it may be run more than once.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._writer.put(_Unit(future, loop, job=job))
        return await future

    async def read(self, job: Job[T]) -> T:
        """Run a unit of work on one consistent view, beside the writer.

        Raises StorageUnavailable, too, where no connection gets free for a while.
        """
        submitted = self._readers.submit(self._read, job)
        reading = asyncio.wrap_future(submitted)
        try:
            await asyncio.wait((reading,), timeout=READ_WAIT_S)
        except asyncio.CancelledError:
            submitted.cancel()
            raise
        if not reading.done() and submitted.cancel():
            raise StorageUnavailable("every connection is busy", retry_after_s=1)
        return await reading

    def group(
        self, run: Callable[[Transaction, list[I]], list[R | Exception]], *, in_turn: bool = False
    ) -> Group[I, R]:
        """Make a kind of work that is submitted as data.

        ``in_turn`` is for work that takes the ledger's turn: it has one thread, so that what would wait for each other
        is one large batch instead.
        """
        return Group(self._turn_writer if in_turn else self._writer, run)

    def bell(self, name: str, rung: Callable[[], object]) -> Bell | None:
        """Have ``rung`` called when another process rings; None where the database has no bell."""
        return Bell(self.url, name, rung) if self.kind == "postgresql" else None

    def _read(self, job: Job[T]) -> T:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self.url, self._clock)
            self._connections.append(connection)
        try:
            connection.begin(write=False)
            return job(Transaction(connection))
        finally:
            connection.rollback()

    def close(self) -> None:
        """Finish what was submitted and close every connection."""
        self._writer.stop()
        self._turn_writer.stop()
        self._readers.shutdown(wait=True)
        for connection in self._connections:
            connection.close()


class _Writer:
    """Threads that commit in groups: one for SQLite, several for PostgreSQL."""

    def __init__(self, url: str, clock: Clock, *, threads: int) -> None:
        self._url = url
        self._clock = clock
        self._waiting: queue.SimpleQueue[_Unit | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name="db-write", daemon=True) for _ in range(threads)]
        self._started = False
        self._stopped = False
        self._is_busy = False
        self._is_away = False
        self._lock = threading.Lock()

    def put(self, unit: _Unit) -> None:
        if self._stopped:
            raise StorageUnavailable("the station is being stopped")
        if not self._started:
            with self._lock:
                if not self._started:
                    self._started = True
                    for thread in self._threads:
                        thread.start()
        self._waiting.put(unit)

    def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        if self._started:
            for _ in self._threads:
                self._waiting.put(None)
            for thread in self._threads:
                thread.join()

    def _work(self) -> None:
        connection: Connection | None = None
        running = True
        while running:
            units, running = self._take()
            if self._is_away:
                units = _refuse_late(units)
            if not units:
                continue
            try:
                connection = connection or connect(self._url, self._clock)
                _commit_together(connection, units)
                self._is_away = False
            except BaseException as error:  # noqa: BLE001 - the thread must outlive whatever a unit did
                self._is_away = isinstance(error, StorageUnavailable)
                _fail(units, error)
            _answer(units)
        if connection is not None:
            connection.close()

    def _take(self) -> tuple[list[_Unit], bool]:
        """Wait for one unit, and take what else is there; a None ends the thread.

        Under load a moment is waited for more, because a commit costs the same for one as for many.
        """
        units = [self._waiting.get()]
        if self._is_busy:
            time.sleep(GATHER_S)
        self._gather(units)
        taken = [unit for unit in units if unit is not None]
        self._is_busy = len(taken) >= BUSY_UNITS
        return taken, len(taken) == len(units)

    def _gather(self, units: list[_Unit | None]) -> None:
        """Take what waits, up to the end mark."""
        while units[-1] is not None and len(units) < GROUP_UNITS_MAX:
            try:
                units.append(self._waiting.get_nowait())
            except queue.Empty:
                return


def _commit_together(connection: Connection, units: list[_Unit]) -> None:
    """Run all units in one transaction; after a conflict with another writer run them once more."""
    for attempt in range(CONFLICT_TRIES_MAX):
        try:
            connection.begin(write=True)
            _run_units(connection, units)
            connection.commit()
        except ConflictInDatabase as error:
            connection.rollback()
            if attempt + 1 == CONFLICT_TRIES_MAX:
                raise StorageUnavailable("the database is busy", retry_after_s=1) from error
        except BaseException:
            connection.rollback()
            raise
        else:
            return


def _run_units(connection: Connection, units: list[_Unit]) -> None:
    transaction = Transaction(connection)
    grouped: dict[Group[Any, Any], list[_Unit]] = {}
    for unit in units:
        unit.error = None
        if unit.group is not None:
            grouped.setdefault(unit.group, []).append(unit)
    alone = len(grouped) + sum(unit.job is not None for unit in units) == 1
    for group, members in grouped.items():
        with _Savepoint(connection, members, needed=not alone) as ran:
            results = group.run(transaction, [unit.item for unit in members])
            ran.keep(results)
    for unit in units:
        if unit.job is not None:
            with _Savepoint(connection, [unit], needed=not alone) as ran:
                ran.keep([unit.job(transaction)])


class _Savepoint:
    """Undoes one unit that failed and leaves its neighbours alone. A failed lone unit undoes the transaction."""

    def __init__(self, connection: Connection, units: list[_Unit], *, needed: bool) -> None:
        self._connection = connection
        self._units = units
        self._needed = needed

    def __enter__(self) -> Self:
        if self._needed:
            self._connection.command("SAVEPOINT unit")
        return self

    def keep(self, results: Sequence[Any]) -> None:
        for unit, result in zip(self._units, results, strict=True):
            if isinstance(result, Exception):
                unit.error = result
            else:
                unit.result = result

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if error is None:
            if self._needed:
                self._connection.command("RELEASE SAVEPOINT unit")
            return False
        if isinstance(error, ConflictInDatabase | StorageUnavailable) or not self._needed:
            return False
        self._connection.command("ROLLBACK TO SAVEPOINT unit")
        self._connection.command("RELEASE SAVEPOINT unit")
        for unit in self._units:
            unit.error = error
        return True


def _refuse_late(units: list[_Unit]) -> list[_Unit]:
    """Fail what has waited behind a failure, so that nobody waits for two of them; return the rest, to be tried."""
    since = time.monotonic() - LATE_S
    late = [unit for unit in units if unit.submitted_at < since]
    _fail(late, StorageUnavailable("the database is away", retry_after_s=1))
    _answer(late)
    return [unit for unit in units if unit.submitted_at >= since]


def _fail(units: list[_Unit], error: BaseException) -> None:
    for unit in units:
        if unit.error is None:
            unit.error = error


def _answer(units: list[_Unit]) -> None:
    """Hand the results back, one wake-up per event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[_Unit]] = {}
    for unit in units:
        loops.setdefault(unit.loop, []).append(unit)
    for loop, members in loops.items():
        try:
            loop.call_soon_threadsafe(_resolve, members)
        except RuntimeError:  # the loop is closed: nobody waits any more
            continue


def _resolve(units: list[_Unit]) -> None:
    for unit in units:
        if unit.future.cancelled():
            continue
        if unit.error is None:
            unit.future.set_result(unit.result)
        elif isinstance(unit.error, Exception):
            unit.future.set_exception(unit.error)
        else:
            unit.future.set_exception(InternalError("a unit of work was interrupted"))

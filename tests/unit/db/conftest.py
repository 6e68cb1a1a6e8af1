"""What the tests of storage share: a table of their own, and a gate that keeps the writer where it is."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from yiapi.db import Database, Transaction
from yiapi.db.connect import Connection, connect
from yiapi.db.sql import query_of

PUT = query_of("put", "INSERT INTO station (name, value) VALUES (:name, :value)")
GET = query_of("get", "SELECT value FROM station WHERE name = :name")
NAMES = query_of("names", "SELECT name FROM station ORDER BY name")


def put(name: str, value: str = "v") -> Callable[[Transaction], int]:
    return lambda tx: tx.run(PUT, name=name, value=value)


async def names(database: Database) -> list[str]:
    return [row["name"] for row in await database.read(lambda tx: tx.all(NAMES))]


@pytest.fixture
def connection(url: str, clock) -> Iterator[Connection]:
    """A connection beside the database's own."""
    connection = connect(url, clock)
    yield connection
    connection.rollback()
    connection.close()


class Gate:
    """Holds a thread of the database until it is opened."""

    def __init__(self) -> None:
        self._is_open = threading.Event()
        self._is_reached = threading.Event()

    def __call__(self, tx: Transaction | None = None) -> None:
        self._is_reached.set()
        assert self._is_open.wait(20)

    def open(self) -> None:
        self._is_open.set()

    async def reached(self) -> None:
        assert await asyncio.to_thread(self._is_reached.wait, 20)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()

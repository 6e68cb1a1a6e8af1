"""What it costs to write a call into the ledger, on SQLite and on PostgreSQL.

That is the settler beside the gateway, and with PostgreSQL all processes of its server too; SQLite runs within the
settler. What the gateway itself asks of the database is in the gateway's time, and of PostgreSQL in the server's too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.load import body, run
from bench.report import Row, medians, rounded
from bench.rig import Meter, Station, mock, postgresql, station

WARM_UP_S = 2
SETTLE_S = 1.0
"""How long the settler may still write after the load, so that all of its work is counted."""
APART_MAX = 0.2


@dataclass(frozen=True)
class Books:
    """A station on one of the databases, and the database's server if it has one."""

    station: Station
    server_pids: tuple[int, ...]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say which options it takes."""
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=int, default=3, help="of load in each round")
    parser.add_argument("--rounds", type=int, default=3)


def measure(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Measure both in turn, each beside the other, which is idle meanwhile."""
    sent = body(folder)
    with ExitStack() as stack:
        port = stack.enter_context(mock(folder))
        both = {"sqlite": _on_sqlite(stack, folder, port), "postgresql": _on_postgresql(stack, folder, port)}
        for books in both.values():
            _round(books, sent, options.connections, WARM_UP_S)
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in both}
        for _ in range(options.rounds):
            for name, books in both.items():
                rounds[name].append(_round(books, sent, options.connections, options.seconds))
    told = {name: medians(rounds[name]) for name in both}
    yield from ({"database": name} | told[name] for name in both)
    speed = told["postgresql"]["requests/s"] / told["sqlite"]["requests/s"]
    yield {
        "requests/s of postgresql over sqlite": rounded(speed),
        "together_us of postgresql over sqlite": rounded(
            told["postgresql"]["together_us"] / told["sqlite"]["together_us"]
        ),
        "requests/s within 20 %": 1 - APART_MAX <= speed <= 1 / (1 - APART_MAX),
    }


def _on_sqlite(stack: ExitStack, folder: Path, mock_port: int) -> Books:
    place = folder / "sqlite"
    place.mkdir()
    return Books(stack.enter_context(station(place, [mock_port])), ())


def _on_postgresql(stack: ExitStack, folder: Path, mock_port: int) -> Books:
    place = folder / "on-postgresql"
    place.mkdir()
    url, server_pid = stack.enter_context(postgresql(place))
    return Books(stack.enter_context(station(place, [mock_port], database=url)), (server_pid,))


def _round(books: Books, sent: Path, connections: int, seconds: int) -> dict[str, float]:
    one = books.station
    with (
        Meter(*one.gateway_pids) as gateway,
        Meter(*one.settler_pids) as settler,
        Meter(families=books.server_pids) as server,
    ):
        told = run(one.url, sent, key=one.key, connections=connections, seconds=seconds)
        time.sleep(SETTLE_S)
    return {
        "requests/s": told.per_second,
        "gateway_us": gateway.us(told.requests),
        "settler_us": settler.us(told.requests),
        "database_us": server.us(told.requests),
        "together_us": settler.us(told.requests) + server.us(told.requests),
        "errors": float(told.errors),
    }

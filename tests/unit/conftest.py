"""What the tests of single rooms share: a clock that is turned by hand, and both databases, new for each test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from yiapi.clock import ManualClock
from yiapi.db import Database, migrate
from yiapi.secrets import ServerSecret

SECRET = "a-secret-of-the-tests-0123456789-abcdef"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="session")
def secret() -> ServerSecret:
    return ServerSecret(SECRET)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("migrated") / "station.db"
    migrate(f"sqlite:///{path}")
    return path.read_bytes()


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server) -> Callable[[], str]:
    return postgres_server.template(migrate)


@pytest.fixture
def sqlite_url(tmp_path: Path, migrated_sqlite: bytes) -> str:
    path = tmp_path / "station.db"
    path.write_bytes(migrated_sqlite)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(migrated_postgres: Callable[[], str]) -> str:
    return migrated_postgres()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request) -> str:
    """A new database of each kind."""
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")


@pytest.fixture
def database(url: str, clock: ManualClock) -> Iterator[Database]:
    database = Database(url, clock=clock)
    yield database
    database.close()

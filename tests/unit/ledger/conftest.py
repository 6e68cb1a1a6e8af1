"""What the tests of the ledger share: both databases, tenants with money, and rows of calls around it."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from yiapi.clock import ManualClock
from yiapi.db import Database, Transaction, migrate
from yiapi.db.connect import Connection, connect
from yiapi.db.sql import query_of
from yiapi.ledger import NewHold, open_wallet, top_up
from yiapi.money import Money

WALLET = "wallet:acct_a:live"

_ACCOUNT = query_of(
    "account",
    "INSERT INTO accounts (id, name, status, price_group, parallel_max, open_tasks_max, created_at, version)"
    " VALUES (:id, 'a', 'active', 'default', 1, 1, 1, 1)",
)
_KEY = query_of(
    "key",
    "INSERT INTO api_keys (id, account_id, mode, hash, hint, name, created_at, version)"
    " VALUES (:id, 'acct_a', 'live', :id, '', '', 1, 1)",
)
_NODE = query_of(
    "node",
    "INSERT INTO nodes (id, name, started_at, lease_until) VALUES ('node_1', 'gateway-0', now_ms(), now_ms() + 30000)",
)
_REQUEST = query_of(
    "request",
    "INSERT INTO requests (id, account_id, mode, key_id, operation, provider, model, status, http_status, usage,"
    " is_estimated, is_partial, price_version, multiplier, charge, loss, cost, hold_id, created_at, duration_ms)"
    " VALUES (:id, 'acct_a', 'live', 'key_1', 'o', 'p', 'm', :status, 200, '[]', 0, 0, 1, 1000000, :charge, :loss, 0,"
    " :hold_id, 1, 1)",
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres(postgres_server) -> Callable[[], str]:
    """Make a new furnished database at each call."""

    def prepare(url: str) -> None:
        migrate(url)
        _furnish(url)

    return postgres_server.template(prepare)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("template") / "station.db"
    migrate(f"sqlite:///{path}")
    _furnish(f"sqlite:///{path}")
    return path.read_bytes()


def _furnish(url: str) -> None:
    """Add two tenants with empty wallets, two keys and a node."""
    connection = connect(url, ManualClock())
    tx = Transaction(connection)
    connection.begin(write=True)
    tx.run_many(_ACCOUNT, [{"id": "acct_a"}, {"id": "acct_b"}])
    tx.run_many(_KEY, [{"id": "key_1"}, {"id": "key_2"}])
    for account in ("acct_a", "acct_b"):
        for mode in ("live", "test"):
            open_wallet(tx, account, mode)
    connection.commit()
    if connection.kind == "sqlite":
        connection.command("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: bytes) -> str:
    path = tmp_path / "station.db"
    path.write_bytes(sqlite_template)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request) -> str:
    """A new database of each kind."""
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")


@pytest.fixture
def postgres_url(postgres) -> str:
    return postgres()


@pytest.fixture
def connection(url: str, clock: ManualClock) -> Iterator[Connection]:
    """A connection inside a transaction that is never committed."""
    connection = connect(url, clock)
    connection.begin(write=True)
    yield connection
    connection.rollback()
    connection.close()


@pytest.fixture
def tx(connection: Connection) -> Transaction:
    return Transaction(connection)


@pytest.fixture
def turn(connection: Connection, clock: ManualClock) -> Callable[[float], None]:
    """Turn the database's clock inside the transaction."""

    def turn_clock(seconds: float) -> None:
        clock.turn(seconds)
        if connection.kind == "postgresql":
            connection.command(f"SELECT set_config('yiapi.now_ms', '{clock.now_ms()}', true)")

    return turn_clock


@pytest.fixture
def database(url: str, clock: ManualClock) -> Iterator[Database]:
    database = Database(url, clock=clock)
    yield database
    database.close()


@pytest.fixture
def funds(tx: Transaction) -> Callable[..., None]:
    """Put money into a wallet."""
    count = itertools.count()

    def add(nano: int, wallet: str = WALLET) -> None:
        top_up(tx, f"funds_{next(count)}", wallet, Money(nano))

    return add


@pytest.fixture(scope="session")
def new() -> Callable[..., NewHold]:
    """Describe a hold; what a test does not say is of no matter to it."""

    def describe(amount: int = 100, reference: str = "req_1", **facts) -> NewHold:
        budget = facts.pop("budget", None)
        values = {"wallet": WALLET, "owner": "node_1", "expires_s": 600} | facts
        if budget is not None:
            values = {"key_id": "key_1", "budget_period": "2026-11", "budget": Money(budget)} | values
        return NewHold(reference=reference, amount=Money(amount), **values)

    return describe


@pytest.fixture
def node(tx: Transaction) -> None:
    """The node node_1 with a lease of 30 s."""
    tx.run(_NODE)


@pytest.fixture(scope="session")
def note_request() -> Callable[..., None]:
    """Write the row of a call as its service does in the transaction that ends it."""

    def note(tx: Transaction, hold, charge: int = 0, loss: int = 0, status: str = "succeeded") -> None:
        values = {"id": hold.reference, "hold_id": hold.id, "charge": charge, "loss": loss, "status": status}
        tx.run(_REQUEST, **values)

    return note

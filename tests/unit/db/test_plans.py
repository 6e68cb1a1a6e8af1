"""No statement of a running station reads a table from end to end that grows with its calls, tasks and files."""

import re
import sqlite3

import psycopg
import pytest

from yiapi.db import migrate
from yiapi.db.sql import Queries, queries

CONCERNS = ("api", "apikeys", "assets", "calls", "channels", "ledger", "pricing", "tasks", "webhooks", "windows")
SMALL = {
    "accounts",
    "api_keys",
    "channel_credentials",
    "channels",
    "price_books",
    "price_groups",
    "prices",
    "recalls",
    "switches",
    "task_buckets",
    "task_workers",
    "vendor_callbacks",
}
PARTS = {"CONSTANT", "due", "w", "waiting"}  # of a statement itself: small by its own limits
ONLY_WHAT_IS_OPEN = ("idempotency_by_owner", "deliveries_waiting")  # indexes of rows that are still to be worked on
BY_AGE_WITH_A_LIMIT = ("deliveries_by_age",)
OF_THE_CHECK = ("check_", "charges_and_costs")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    path = tmp_path_factory.mktemp("plans") / "station.db"
    migrate(f"sqlite:///{path}")
    connection = sqlite3.connect(path)
    connection.create_function("now_ms", 0, lambda: 1)
    yield connection
    connection.close()


def whole_tables(connection, query):
    """Return what a statement reads from end to end."""
    rows = connection.execute("EXPLAIN QUERY PLAN " + query.sqlite, dict.fromkeys(query.names)).fetchall()
    return [words.split() for *_, words in rows if words.startswith("SCAN ")]


def statements(concern: Queries):
    return [query for name, query in vars(concern)["_queries"].items() if not name.startswith(OF_THE_CHECK)]


@pytest.mark.parametrize("concern", CONCERNS)
def test_nothing_that_grows_is_read_from_end_to_end(concern, tables):
    found = statements(queries(concern))
    assert found
    for query in found:
        for words in whole_tables(tables, query):
            is_given = "VIRTUAL" in words  # a list of the caller
            is_small = is_given or words[1] in SMALL | PARTS or words[-1] in ONLY_WHAT_IS_OPEN + BY_AGE_WITH_A_LIMIT
            assert is_small, f"{query.name}: {' '.join(words)}"


@pytest.mark.parametrize(
    ("condition", "indexes"),
    [
        ("request_id = 'req_1'", {"attempts_pkey", "requests_pkey"}),
        ("fault IS NOT NULL AND channel_id = 'ch_1'", {"failed_attempts"}),  # they are always apart
    ],
)
def test_attempts_are_looked_up_where_they_are_on_postgresql(condition, indexes, postgres_server):
    with psycopg.connect(postgres_server.template(migrate)()) as connection:
        connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        plan = connection.execute(f"EXPLAIN SELECT * FROM attempts WHERE {condition} ORDER BY number").fetchall()

    words = " ".join(line for (line,) in plan)
    assert "Seq Scan" not in words
    assert set(re.findall(r"using (\w+)", words)) == indexes

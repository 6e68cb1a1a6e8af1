"""Migrations: each is applied once and whole, or not at all; no service on a schema that is not ours."""

import re
import shutil
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from yiapi.db import SchemaMismatch, migrate, migrations
from yiapi.db.connect import connect
from yiapi.db.migrate import FOLDER
from yiapi.db.sql import query_of
from yiapi.errors import StorageUnavailable

NOW = "-- only: postgresql\nCREATE FUNCTION now_ms() RETURNS BIGINT LANGUAGE sql AS $$ SELECT 1::bigint $$;\n-- end\n"
FIRST = f"{NOW}CREATE TABLE a (x INTEGER);\nINSERT INTO a (x) VALUES (1);\n"
SECOND = "CREATE TABLE b (y INTEGER);\n"
ATTEMPTS = query_of("attempts", "SELECT * FROM attempts ORDER BY request_id, number")
VERSIONS = query_of("versions", "SELECT version, name FROM schema_versions ORDER BY version")


@pytest.fixture(scope="session")
def empty_postgres(postgres_server):
    return postgres_server.template(lambda url: None)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request, tmp_path):
    """A database without any table."""
    return (
        f"sqlite:///{tmp_path / 'empty.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("empty_postgres")()
    )


@pytest.fixture
def folder(tmp_path):
    """Migrations of a program that has two."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_first.sql").write_text(FIRST)
    (folder / "0002_second.sql").write_text(SECOND)
    return folder


def tables(url):
    """Return each table, and each view, with its columns."""
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as db:
            found = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")]
            columns = {name: {row[1] for row in db.execute(f"PRAGMA table_info({name})")} for name in found}
        db.close()
        return columns
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        )
        found = {}
        for table, column in rows:
            found.setdefault(table, set()).add(column)
    return found


def applied(url):
    connection = connect(url)
    connection.begin(write=False)
    rows, _ = connection.execute(VERSIONS, {})
    connection.close()
    return [(row["version"], row["name"]) for row in rows]


def test_what_is_missing_is_applied_in_order_and_once(empty_url, folder):
    assert [one.name for one in migrate(empty_url, folder=folder)] == ["0001_first", "0002_second"]
    assert migrate(empty_url, folder=folder) == []

    assert applied(empty_url) == [(1, "0001_first"), (2, "0002_second")]
    assert set(tables(empty_url)) == {"a", "b", "schema_versions"}


def test_an_update_applies_only_what_is_new(empty_url, folder):
    (folder / "0002_second.sql").rename(folder / "later")
    migrate(empty_url, folder=folder)
    (folder / "later").rename(folder / "0002_second.sql")

    assert [one.name for one in migrate(empty_url, folder=folder)] == ["0002_second"]


def test_a_dry_run_tries_everything_and_leaves_nothing(empty_url, folder):
    assert [one.name for one in migrate(empty_url, dry_run=True, folder=folder)] == ["0001_first", "0002_second"]

    assert tables(empty_url) == {}


def test_a_dry_run_finds_what_would_fail(empty_url, folder):
    migrate(empty_url, folder=folder)
    (folder / "0003_third.sql").write_text("ALTER TABLE nowhere ADD COLUMN z INTEGER;\n")

    with pytest.raises(Exception, match="nowhere"):
        migrate(empty_url, dry_run=True, folder=folder)

    assert applied(empty_url) == [(1, "0001_first"), (2, "0002_second")]


def test_f107_a_migration_that_fails_in_the_middle_leaves_nothing_of_any(empty_url, folder):
    (folder / "0002_second.sql").write_text(f"{SECOND}INSERT INTO nowhere VALUES (1);\n")
    with pytest.raises(Exception, match="nowhere"):
        migrate(empty_url, folder=folder)
    assert tables(empty_url) == {}

    (folder / "0002_second.sql").write_text(SECOND)

    assert len(migrate(empty_url, folder=folder)) == 2


def test_f107_a_migration_whose_process_died_rolls_back_and_the_next_start_completes_it(empty_url, folder):
    dying = connect(empty_url)
    dying.begin(write=True)
    dying.script("CREATE TABLE schema_versions (version INTEGER PRIMARY KEY);\nCREATE TABLE a (x INTEGER);\n")
    dying._db.close()  # as the system does for a process that is killed

    assert len(migrate(empty_url, folder=folder)) == 2
    assert applied(empty_url) == [(1, "0001_first"), (2, "0002_second")]


def test_f107_a_database_that_goes_away_in_the_middle_has_no_half_schema(empty_postgres, folder):
    url = empty_postgres()
    (folder / "0002_second.sql").write_text(f"{SECOND}SELECT pg_sleep(60);\n")

    def cut() -> None:
        sleeping = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
        ends_at = time.monotonic() + 20
        with psycopg.connect(url, autocommit=True) as other:
            while not (found := other.execute(sleeping).fetchone()) and time.monotonic() < ends_at:
                time.sleep(0.01)
            other.execute("SELECT pg_terminate_backend(%s)", found)

    with ThreadPoolExecutor(1) as pool:
        cutting = pool.submit(cut)
        with pytest.raises(StorageUnavailable):
            migrate(url, folder=folder)
        cutting.result()
    assert tables(url) == {}

    (folder / "0002_second.sql").write_text(SECOND)
    assert len(migrate(url, folder=folder)) == 2


def test_nodes_that_start_together_migrate_once(empty_url, folder):
    with ThreadPoolExecutor(4) as pool:
        applied_by = [len(found) for found in pool.map(lambda _: migrate(empty_url, folder=folder), range(4))]

    assert sorted(applied_by) == [0, 0, 0, 2]


def test_a_file_that_was_changed_after_it_was_applied_is_refused(empty_url, folder):
    migrate(empty_url, folder=folder)
    (folder / "0001_first.sql").write_text(FIRST + "-- a later thought\n")

    with pytest.raises(SchemaMismatch, match="0001_first"):
        migrate(empty_url, folder=folder)


def test_a_database_of_a_newer_program_is_refused(empty_url, folder):
    migrate(empty_url, folder=folder)
    (folder / "0002_second.sql").unlink()

    with pytest.raises(SchemaMismatch, match="0002_second"):
        migrate(empty_url, folder=folder)


def test_a_refusal_changes_nothing(empty_url, folder):
    migrate(empty_url, folder=folder)
    (folder / "0002_second.sql").unlink()
    (folder / "0003_third.sql").write_text("CREATE TABLE c (z INTEGER);\n")

    with pytest.raises(SchemaMismatch):
        migrate(empty_url, folder=folder)

    assert "c" not in tables(empty_url)


def test_a_part_may_be_for_one_database_alone(empty_url, folder):
    (folder / "0003_third.sql").write_text(
        "-- only: postgresql\nCREATE TABLE p (x INTEGER);\n-- end\n"
        "-- only: sqlite\nCREATE TABLE s (x INTEGER);\n-- end\n"
    )

    migrate(empty_url, folder=folder)

    assert {"p", "s"} & set(tables(empty_url)) == {"s" if empty_url.startswith("sqlite") else "p"}


def test_a_trigger_may_hold_semicolons(tmp_path, folder):
    url = f"sqlite:///{tmp_path / 'x.db'}"
    (folder / "0003_third.sql").write_text(
        "CREATE TRIGGER t BEFORE DELETE ON a BEGIN\n  SELECT raise(ABORT, 'kept; always');\nEND;\n"
        "CREATE TABLE c (x INTEGER);\n"
    )

    migrate(url, folder=folder)

    assert "c" in tables(url)


def test_our_own_schema_is_the_same_on_both_databases(tmp_path, empty_postgres):
    sqlite, postgres = f"sqlite:///{tmp_path / 'x.db'}", empty_postgres()

    for url in (sqlite, postgres):
        assert migrate(url) == migrations()

    assert tables(sqlite) == tables(postgres)


def test_attempts_that_were_written_before_they_could_be_in_the_row_of_their_call_stay_readable(empty_url, folder):
    for path in folder.iterdir():
        path.unlink()
    shutil.copy(FOLDER / "0001_first.sql", folder)
    migrate(empty_url, folder=folder)
    before = attempts_among(
        empty_url,
        "INSERT INTO attempts VALUES ('req_a', 1, 'ch_1', 'cred_1', 'timeout', NULL, 0, 10, 5, 'too late')",
        "INSERT INTO attempts VALUES ('req_a', 2, 'ch_2', 'cred_2', NULL, 200, 7, 20, 6, NULL)",
        "INSERT INTO attempts VALUES ('req_b', 1, 'ch_1', 'cred_1', NULL, 200, 8, 30, 7, NULL)",
    )

    assert [one.version for one in migrate(empty_url)][:1] == [2]

    assert len(before) == 3
    assert attempts_among(empty_url) == before


def attempts_among(url, *planted):
    """Run statements and return every attempt there is then."""
    connection = connect(url)
    connection.begin(write=True)
    for statement in planted:
        connection.command(statement)
    rows, _ = connection.execute(ATTEMPTS, {})
    connection.commit()
    connection.close()
    return rows


def test_our_own_files_are_numbered_without_gaps():
    assert [one.version for one in migrations()] == list(range(1, len(migrations()) + 1))
    assert all(re.fullmatch(r"\d{4}_[a-z_]+", one.name) for one in migrations())


def test_a_folder_that_cannot_be_written_is_no_traceback_of_the_database(tmp_path):
    with pytest.raises(StorageUnavailable):
        migrate(f"sqlite:///{tmp_path / 'nowhere' / 'station.db'}")
    with pytest.raises(StorageUnavailable):
        migrate("postgresql://nobody@127.0.0.1:1/nowhere")

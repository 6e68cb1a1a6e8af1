"""``yiapi doctor``, ``backup`` and ``restore``."""

import json
import sqlite3
import stat
from contextlib import closing

import pytest


@pytest.fixture
def account(ask):
    return ask("account", "create", "--name", "Ada")


def test_a_backup_is_one_private_file_that_restores(ask, data, tmp_path, account):
    ask("backup", tmp_path / "copy.db")
    ask("account", "create", "--name", "Bob")

    said = ask("restore", tmp_path / "copy.db")

    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    assert [one["name"] for one in ask("account", "list")] == ["Ada"]
    assert ask("check")["is_clean"]
    assert said["kept"] == str(data / "yiapi.db.replaced")


def test_what_was_replaced_can_come_back(ask, tmp_path, account):
    ask("backup", tmp_path / "copy.db")
    ask("account", "create", "--name", "Bob")
    kept = ask("restore", tmp_path / "copy.db")["kept"]

    ask("restore", kept)

    assert len(ask("account", "list")) == 2


def test_a_backup_sees_what_a_running_station_has_committed(ask, data, tmp_path, account):
    with closing(sqlite3.connect(data / "yiapi.db", isolation_level=None)) as running:
        running.execute("BEGIN IMMEDIATE")
        running.execute("UPDATE accounts SET name = 'not yet'")

        ask("backup", tmp_path / "copy.db")

        running.execute("ROLLBACK")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT name FROM accounts").fetchall() == [("Ada",)]


def test_nothing_is_restored_beneath_a_running_station(run, ask, data, tmp_path, account):
    ask("backup", tmp_path / "copy.db")

    with closing(sqlite3.connect(data / "yiapi.db")) as running:
        running.execute("SELECT name FROM accounts").fetchall()
        result = run("restore", tmp_path / "copy.db")

    assert result.exit_code == 1
    assert result.stderr == "yiapi: the station is running: stop it first\n"
    assert not list(data.glob("*.partial"))


def test_a_backup_never_replaces_a_file(run, tmp_path, account):
    (tmp_path / "copy.db").write_text("precious")

    result = run("backup", tmp_path / "copy.db")

    assert result.exit_code == 1
    assert (tmp_path / "copy.db").read_text() == "precious"


def test_what_is_no_backup_is_refused(run, tmp_path, account):
    (tmp_path / "copy.db").write_text("no database at all")

    result = run("restore", tmp_path / "copy.db")

    assert result.exit_code == 1
    assert "is no backup of a station" in result.stderr


def test_a_backup_under_another_secret_is_refused(run, ask, data, tmp_path, account):
    ask("backup", tmp_path / "copy.db")
    (data / "secret").write_text("another-secret-of-forty-characters-or-so")

    result = run("restore", tmp_path / "copy.db")

    assert result.exit_code == 1
    assert "another secret" in result.stderr


def test_a_new_machine_needs_the_secret_first(run, ask, tmp_path, account):
    ask("backup", tmp_path / "copy.db")

    result = run("restore", tmp_path / "copy.db", "--data", tmp_path / "new")

    assert result.exit_code == 1
    assert "put the station's secret into" in result.stderr


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_postgresql_has_its_own_tools(run, tmp_path, command):
    result = run(command, tmp_path / "copy.db", "--database", "postgresql://nowhere/station")

    assert result.exit_code == 1
    assert result.stderr == "yiapi: this station is on PostgreSQL: use pg_dump and pg_restore\n"


def test_a_sound_station_has_nothing_that_fails(ask, account):
    findings = {one["subject"]: one for one in ask("doctor")}

    assert findings["database"]["state"] == "ok"
    assert findings["nodes"]["text"] == "the station is not running"
    assert findings["channels"]["state"] == "note"


def test_a_doctor_changes_nothing(run, data):
    result = run("doctor", "--json")

    assert result.exit_code == 1
    assert "fails" in {one["state"] for one in json.loads(result.stdout)}
    assert not data.exists()


def test_a_secret_that_others_can_read_fails(run, data, account):
    (data / "secret").chmod(0o644)

    result = run("doctor")

    assert result.exit_code == 1
    assert "chmod 600" in result.stdout


def test_a_channel_that_is_off_is_noted_with_its_reason(ask):
    made = ask("channel", "create", "--provider", "openai", "--credential", "sk-0123456789abcdef")
    ask("channel", "disable", made["id"], "--reason", "too dear")

    notes = [one["text"] for one in ask("doctor") if one["subject"] == "channels"]

    assert notes == ["0 of 1 live channels are on", f"{made['id']} is off: too dear"]


def test_another_stations_database_fails(run, data, account):
    (data / "secret").write_text("another-secret-of-forty-characters-or-so")

    result = run("doctor")

    assert result.exit_code == 1
    assert "it belongs to a station with another secret" in result.stdout

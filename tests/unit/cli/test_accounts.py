"""``yiapi account`` and ``yiapi key``."""

import json
import sqlite3
from contextlib import closing

import pytest


@pytest.fixture
def account(ask):
    return ask("account", "create", "--name", "Ada", "--test-balance", "5")


def test_a_new_account_has_two_wallets_and_play_money(ask):
    made = ask("account", "create", "--name", "Ada", "--test-balance", "5")

    assert (made["name"], made["live_available"], made["test_available"]) == ("Ada", "0", "5")


def test_an_account_may_begin_without_play_money(ask):
    assert ask("account", "create", "--name", "Ada", "--test-balance", "0")["test_available"] == "0"


def test_the_books_agree_after_top_ups(ask, account):
    ask("account", "top-up", "--amount", "12.5")

    assert ask("check")["is_clean"]


def test_money_goes_to_the_first_account_unless_another_is_named(ask, account):
    other = ask("account", "create", "--name", "Bob")

    first = ask("account", "top-up", "--amount", "5")
    second = ask("account", "top-up", "--account", other["id"], "--amount", "7")

    assert (first["id"], first["live_available"]) == (account["id"], "5")
    assert (second["id"], second["live_available"]) == (other["id"], "7")


def test_play_money_does_not_touch_the_live_wallet(ask, account):
    shown = ask("account", "top-up", "--test", "--amount", "1")

    assert (shown["live_available"], shown["test_available"]) == ("0", "6")


def test_a_repeated_operation_adds_nothing(ask, account):
    for _ in range(2):
        shown = ask("account", "top-up", "--amount", "5", "--operation-id", "invoice-17")

    assert shown["live_available"] == "5"


def test_an_operation_id_is_not_used_for_another_amount(run, ask, account):
    ask("account", "top-up", "--amount", "5", "--operation-id", "invoice-17")

    result = run("account", "top-up", "--amount", "6", "--operation-id", "invoice-17")

    assert result.exit_code == 1
    assert result.stderr == "yiapi: invoice-17 was used for another movement\n"


@pytest.mark.parametrize("amount", ["0", "-1", "x", "0.0000000001", "inf", "1000001"])
def test_what_is_no_amount_is_a_mistake_of_the_command_line(run, amount):
    result = run("account", "top-up", "--amount", amount)

    assert result.exit_code == 2
    assert result.stderr.startswith("yiapi: ")
    assert result.stderr.count("\n") == 1


def test_an_account_is_suspended_and_resumed(ask, account):
    assert ask("account", "suspend", account["id"])["status"] == "suspended"
    assert ask("account", "resume", account["id"])["status"] == "active"


def test_accounts_are_listed_newest_first_and_shown(ask, account):
    newer = ask("account", "create", "--name", "Bob")

    assert [one["id"] for one in ask("account", "list")] == [newer["id"], account["id"]]
    assert ask("account", "show", "--account", newer["id"])["name"] == "Bob"


def test_an_unknown_account_is_one_line(run):
    result = run("account", "suspend", "acct_none")

    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1


def test_a_table_shows_a_name_as_it_is(run, ask):
    ask("account", "create", "--name", "[red]Ada")

    result = run("account", "list")

    assert "[red]Ada" in result.stdout


def test_a_keys_text_is_shown_once_and_never_listed(run, ask, data, account):
    made = ask("key", "create", "--mode", "test", "--name", "laptop")

    seen = run("key", "list").output + run("key", "list", "--json").output + run("key", "show", made["id"]).output

    assert made["key"].startswith("sk-test-")
    assert made["key"] not in seen
    assert made["id"] in seen
    assert made["key"].encode() not in (data / "yiapi.db").read_bytes()


def test_a_key_keeps_what_it_is_held_to(ask, account):
    made = ask(
        *("key", "create", "--mode", "live", "--operations", "kling.*,openai", "--models", "gpt-4o*"),
        *("--ip", "10.0.0.0/8", "--budget", "20", "--budget-period", "day", "--expires", "2027-01-01"),
        *("--rpm", 60, "--tpm", 1000, "--parallel", 4),
    )

    shown = ask("key", "show", made["id"])

    assert shown["operations"] == ["kling.*", "openai"]
    assert shown["models"] == ["gpt-4o*"]
    assert shown["ip"] == ["10.0.0.0/8"]
    assert (shown["budget"], shown["budget_period"]) == ("20", "day")
    assert shown["expires"] == "2027-01-01T00:00:00.000Z"
    assert (shown["rpm"], shown["tpm"], shown["parallel"]) == (60, 1000, 4)


@pytest.mark.parametrize(
    "wrong",
    [
        ("--mode", "other"),
        ("--mode", "test", "--ip", "10.0.0.0/99"),
        ("--mode", "test", "--expires", "tomorrow"),
        ("--mode", "test", "--budget", "x"),
        ("--mode", "admin", "--account", "acct_1"),
    ],
)
def test_a_key_that_cannot_be_is_a_mistake_of_the_command_line(run, wrong):
    result = run("key", "create", *wrong)

    assert result.exit_code == 2
    assert result.stderr.startswith("yiapi: ")
    assert result.stderr.count("\n") == 1


def test_a_key_needs_an_account(run):
    result = run("key", "create", "--mode", "test")

    assert result.exit_code == 1
    assert "there is no account yet" in result.stderr


def test_an_admin_key_belongs_to_no_account(ask):
    assert ask("key", "create", "--mode", "admin")["account"] is None


def test_keys_are_listed_for_one_account_or_for_all(ask, account):
    other = ask("account", "create", "--name", "Bob")
    ask("key", "create", "--mode", "test")
    ask("key", "create", "--mode", "test", "--account", other["id"])

    assert len(ask("key", "list")) == 2
    assert [one["account"] for one in ask("key", "list", "--account", other["id"])] == [other["id"]]


def test_a_revoked_key_stays_in_the_list(ask, account):
    made = ask("key", "create", "--mode", "test")

    ask("key", "revoke", made["id"])

    assert ask("key", "list")[0]["revoked"] is not None


def test_another_secret_is_refused(run, ask, account, monkeypatch):
    monkeypatch.setenv("YIAPI_SECRET", "another-secret-of-forty-characters-or-so")

    result = run("key", "create", "--mode", "test")

    assert result.exit_code == 1
    assert result.stderr == "yiapi: this database belongs to a station with another secret\n"


def test_check_refuses_a_folder_without_a_station(run, data):
    result = run("check")

    assert result.exit_code == 1
    assert "there is no station" in result.stderr
    assert not data.exists()


def test_check_ends_with_1_on_books_that_do_not_agree(run, ask, data, account):
    with closing(sqlite3.connect(data / "yiapi.db")) as db:
        table = next(
            name
            for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            if "posted" in [column[1] for column in db.execute(f"PRAGMA table_info({name})")]
        )
        db.execute(f"UPDATE {table} SET posted = posted + 1")
        db.commit()

    result = run("check", "--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["is_clean"] is False

"""``yiapi webhook``."""

import sqlite3
import time

import pytest

from yiapi.ids import new_id


@pytest.fixture
def delivery(ask, data):
    """A delivery to a task's own hook that is dead."""
    account = ask("account", "create", "--name", "customer")["id"]
    delivery_id, now = new_id("dlv"), time.time_ns() // 1_000_000
    attempts = '[{"time": 1, "status": 500, "excerpt": "no"}]'
    with sqlite3.connect(data / "yiapi.db") as database:
        database.execute(
            "INSERT INTO deliveries (id, account_id, mode, lane, endpoint_id, task_id, url, event_id, event_type, body,"
            " status, dead_reason, attempts, tries, round_began_at, next_attempt_at, fence, created_at)"
            " VALUES (?, ?, 'live', 'hooks', NULL, 't', 'https://a.example.com/', 'evt_1', 'task.failed', '{}',"
            " 'dead', 'attempts_used', ?, 10, 1, NULL, 3, ?)",
            (delivery_id, account, attempts, now),
        )
    database.close()
    return delivery_id


def test_deliveries_are_listed(ask, delivery):
    [one] = ask("webhook", "list", "--status", "dead")

    assert (one["id"], one["status"], one["attempts"], one["last"]) == (delivery, "dead (attempts_used)", 1, 500)
    assert ask("webhook", "list", "--status", "delivered") == []
    assert ask("webhook", "list", "--account", "acct_other") == []
    assert [row["id"] for row in ask("webhook", "list", "--account", one["account"])] == [delivery]


def test_a_delivery_is_sent_again(ask, delivery):
    assert ask("webhook", "replay", delivery)["status"] == "pending"

    [one] = ask("webhook", "list")
    assert one["next"] is not None


def test_mistakes_are_one_line(run, delivery):
    for arguments, status, text in (
        (("replay", "dlv_other"), 1, "no delivery has this id"),
        (("list", "--status", "lost"), 2, "a status is pending, delivered, dead"),
    ):
        result = run("webhook", *arguments)

        assert (result.exit_code, text in result.stderr) == (status, True)
        assert len(result.stderr.splitlines()) == 1


def test_without_a_station_there_is_nothing_to_list(run):
    result = run("webhook", "list")

    assert result.exit_code == 1
    assert "there is no station in" in result.stderr

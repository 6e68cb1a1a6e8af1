"""``yiapi task``."""

import asyncio
import io

import pytest
from rich.console import Console

from yiapi.cli.tasks import picture, progress_of
from yiapi.db import Database, Transaction
from yiapi.ledger import NewHold, take_hold, wallet_of
from yiapi.money import Money
from yiapi.providers.contract import Status, Unit, Usage
from yiapi.providers.registry import Registry
from yiapi.tasks import NewTask, store


@pytest.fixture
def account(ask):
    return ask("account", "create", "--name", "customer", "--test-balance", "5")["id"]


@pytest.fixture
def make(data, account):
    """Have a task that its vendor works on."""

    def made(number=1, status=Status.RUNNING, **fields):
        values = {
            "id": f"10000000000000000{number}",
            "account_id": account,
            "mode": "test",
            "key_id": "key",
            "request_id": f"req_{number}",
            "operation": "kling.text2video",
            "provider": "kling",
            "model": "kling-v1",
            "usage": (Usage("kling-v1:std", Unit.SECOND, 5),),
            "price_version": 1,
            "multiplier": 1_000_000,
            "external_id": None,
            "hook_url": "https://hooks.example.com/x",
            "deadline_s": 3600.0,
            "open_tasks_max": 100,
        }
        new = NewTask(**(values | fields))

        def write(tx: Transaction) -> None:
            hold = take_hold(tx, NewHold(new.id, wallet_of(account, "test"), Money.parse("0.14"), None, 9000))
            store.insert(tx, new, hold, owner="gateway")
            store.open_more(tx, [{"account_id": account, "mode": "test", "more": 1, "most": 100}])
            store.accepted(
                tx,
                new.id,
                status=status,
                vendor_task_id=f"vendor-{number}",
                channel_id="chan_1",
                credential_id="cred_1",
                answer='{"data": {}}',
                look_s=60,
            )

        database = Database(f"sqlite:///{data / 'yiapi.db'}")
        asyncio.run(database.write(write))
        database.close()
        return new.id

    return made


def test_open_tasks_of_everybody_are_listed(ask, make):
    made = [make(1), make(2, Status.QUEUED)]

    assert {one["id"] for one in ask("task", "list")} == set(made)
    assert [one["id"] for one in ask("task", "list", "--status", "queued")] == made[1:]
    assert ask("task", "list", "--provider", "openai") == []


def test_a_task_is_shown_with_what_the_operator_needs(ask, make):
    shown = ask("task", "show", make())

    assert (shown["vendor_task_id"], shown["channel"], shown["held"]) == ("vendor-1", "chan_1", "0.14")


def test_a_cancelled_task_holds_nothing_and_is_no_longer_open(ask, run, make, account):
    task_id = make()

    for _ in range(2):
        assert ask("task", "cancel", task_id)["status"] == "cancelled"

    assert ask("task", "list") == []
    assert [one["status"] for one in ask("task", "list", "--account", account, "--mode", "test")] == ["cancelled"]
    assert run("check").exit_code == 0


@pytest.mark.parametrize("command", ["show", "cancel"])
def test_a_task_that_is_not_there_is_one_line(run, account, command):
    result = run("task", command, "1")

    assert (result.exit_code, result.stderr) == (1, "yiapi: no task has this id\n")


def test_a_folder_without_a_station_is_not_made_one(run, data):
    result = run("task", "list")

    assert result.exit_code == 1
    assert not (data / "yiapi.db").exists()


def test_what_runs_is_printed_once(run, make):
    task_id = make()

    drawn = run("task", "watch", "--once").stdout

    assert task_id in drawn
    assert "1 running" in drawn


def test_a_station_without_tasks_says_so(run, account):
    assert "nothing runs" in run("task", "watch", "--once").stdout


def test_a_vendors_progress_is_shown_and_an_estimate_is_marked(ask, make, data):
    make()
    database = Database(f"sqlite:///{data / 'yiapi.db'}")
    [task] = asyncio.run(database.read(lambda tx: store.open_tasks(tx, limit=5, filters={})))
    database.close()
    registry = Registry.discover()

    def drawn(one, age_s):
        console = Console(file=io.StringIO(), width=120)
        console.print(picture([one], {"running": 1}, registry, one.started_at + age_s * 1000))
        return console.file.getvalue()

    assert progress_of(task, registry, task.started_at + 30_000) == (50, True)
    assert "≈50%" in drawn(task, 30)
    assert "━━━━━━━━━━" in drawn(task, 30)
    assert "≈95%" in drawn(task, 3600)
    told = type(task)(**({name: getattr(task, name) for name in task.__dataclass_fields__} | {"progress": 46}))
    assert "46%" in drawn(told, 30)
    assert "≈" not in drawn(told, 30)

"""What is written about submissions: many at once, each on its own, and never more than a tenant may have."""

import asyncio

import pytest

from yiapi.calls import Calls, Claim, Ending, Journal, Record, Replay
from yiapi.db.sql import query_of
from yiapi.errors import InsufficientQuota, InvalidRequest
from yiapi.ledger import balance, wallet_of
from yiapi.ledger.check import check
from yiapi.money import Money
from yiapi.providers.contract import Status
from yiapi.providers.registry import Registry
from yiapi.tasks.submitting import Submissions

pytestmark = pytest.mark.anyio

OPEN = query_of("open", "SELECT count FROM open_tasks")
HOLDS = query_of("holds", "SELECT count(*) AS count FROM holds")
CLAIMS = query_of("claims", "SELECT count(*) AS count FROM idempotency")


@pytest.fixture
async def submissions(world, tmp_path):
    node, _ = await world.worker("gateway")
    journal = Journal(tmp_path / "journal", "gateway", node.id)
    calls = Calls(world.database, node, world.clock, journal)
    yield Submissions(world.database, Registry.discover(), calls)
    journal.close()


@pytest.fixture(autouse=True)
async def books(world):
    yield
    report = await check(world.database)
    assert report.is_clean, report.lines()


async def count(world, query):
    row = await world.database.read(lambda tx: tx.one(query))
    return row["count"] if row else 0


def ending(world, task):
    record = Record(
        id=task.request_id,
        account_id=task.account_id,
        mode=task.mode,
        key_id="key",
        operation=task.operation,
        provider=task.provider,
        model=task.model,
        price_version=1,
        multiplier=1_000_000,
        created_at_ms=world.clock.now_ms(),
        status="accepted",
        task_id=task.id,
    )
    return Ending(record=record, hold_id=task.hold_id, attempts=(), price=None, keeps_hold=True)


async def accept(submissions, world, task, **fields):
    given = {
        "status": Status.RUNNING,
        "vendor_task_id": f"vendor-{task.id}",
        "channel_id": "chan",
        "credential_id": "cred",
        "answer": '{"id": 1}',
        "look_s": 60.0,
    }
    return await submissions.accepted(task.id, ending(world, task), **(given | fields))


async def test_many_submissions_are_written_each_on_its_own(submissions, world):
    news = [world.new() for _ in range(50)]

    made = await asyncio.gather(*(submissions.create(new, world.hold(new), None) for new in news))
    await asyncio.gather(*(accept(submissions, world, task) for task in made))

    rows = await world.rows()
    assert {row["id"] for row in rows} == {new.id for new in news}
    assert {row["status"] for row in rows} == {"running"}
    assert all(row["vendor_task_id"] == f"vendor-{row['id']}" and row["node_id"] is None for row in rows)
    assert await count(world, OPEN) == 50
    held = await world.database.read(lambda tx: balance(tx, wallet_of(world.account_id, "live")).held)
    assert held == Money.parse("7")


async def test_what_is_known_of_a_new_task_is_what_its_row_says(submissions, world):
    new = world.new(external_id="mine")

    made = await submissions.create(new, world.hold(new), None)

    [row] = await world.rows()
    known = {name: getattr(made, name) for name in made.__dataclass_fields__}
    for name, value in known.items():
        expected = value.nano if isinstance(value, Money) else value
        if name != "usage":
            assert row[name] == expected, name
    assert (row["status"], row["next_look_at"]) == ("submitting", None)


async def test_a_tenant_has_exactly_as_many_open_tasks_as_it_may(submissions, world):
    news = [world.new(open_tasks_max=7) for _ in range(40)]

    made = await asyncio.gather(
        *(submissions.create(new, world.hold(new), None) for new in news), return_exceptions=True
    )

    refused = [one for one in made if isinstance(one, InsufficientQuota)]
    assert len(refused) == 33
    assert len(await world.rows()) == await count(world, OPEN) == await count(world, HOLDS) == 7


async def test_who_has_no_money_has_no_task_and_counts_for_nothing(submissions, world):
    rich, poor = world.new(), world.new()

    made = await asyncio.gather(
        submissions.create(rich, world.hold(rich), None),
        submissions.create(poor, world.hold(poor, "5000"), None),
        return_exceptions=True,
    )

    assert made[0].id == rich.id
    assert isinstance(made[1], InsufficientQuota)
    assert len(await world.rows()) == await count(world, OPEN) == 1


async def test_a_reference_names_one_task(submissions, world):
    news = [world.new(external_id="mine") for _ in range(5)]

    made = await asyncio.gather(
        *(submissions.create(new, world.hold(new), None) for new in news), return_exceptions=True
    )
    again = world.new(external_id="mine")
    with pytest.raises(InvalidRequest):
        await submissions.create(again, world.hold(again), None)

    assert [type(one).__name__ for one in made] == ["Task"] + ["InvalidRequest"] * 4
    assert len(await world.rows()) == await count(world, HOLDS) == await count(world, OPEN) == 1


def claim_of(world, new, key):
    return Claim(world.account_id, "live", "POST /x", key, "fingerprint", new.request_id)


async def test_one_of_many_with_one_key_runs(submissions, world):
    news = [world.new() for _ in range(5)]

    made = await asyncio.gather(
        *(submissions.create(new, world.hold(new), claim_of(world, new, "one")) for new in news),
        return_exceptions=True,
    )

    assert sorted(type(one).__name__ for one in made) == ["IdempotencyInProgress"] * 4 + ["Task"]
    assert len(await world.rows()) == await count(world, HOLDS) == 1


async def test_the_key_of_a_submission_that_was_refused_is_free(submissions, world):
    poor, rich = world.new(), world.new()

    with pytest.raises(InsufficientQuota):
        await submissions.create(poor, world.hold(poor, "5000"), claim_of(world, poor, "one"))
    made = await submissions.create(rich, world.hold(rich), claim_of(world, rich, "one"))

    assert made.id == rich.id
    assert await count(world, CLAIMS) == 1


async def test_a_key_answers_what_its_first_run_did(submissions, world):
    first, second = world.new(), world.new()
    made = await submissions.create(first, world.hold(first), claim_of(world, first, "one"))
    end = ending(world, made)
    end.claim, end.stored = claim_of(world, first, "one"), Replay(200, [("x", "y")], b"{}")
    await submissions.accepted(
        made.id,
        end,
        status=Status.RUNNING,
        vendor_task_id="v",
        channel_id="chan",
        credential_id="cred",
        answer="{}",
        look_s=1,
    )

    again = await submissions.create(second, world.hold(second), claim_of(world, second, "one"))

    assert again == Replay(200, [("x", "y")], b"{}")
    assert len(await world.rows()) == 1


async def test_a_task_that_ended_before_the_vendors_answer_is_looked_at_for_its_cost(submissions, world):
    new = world.new()
    made = await submissions.create(new, world.hold(new), None)
    await world.end(made.id, Status.CANCELLED, "cancelled")

    is_open = await accept(submissions, world, made)

    [row] = await world.rows()
    assert not is_open
    assert (row["status"], row["vendor_task_id"]) == ("cancelled", f"vendor-{new.id}")
    assert row["bucket"] is not None
    assert row["next_look_at"] is not None


async def test_a_refused_submission_leaves_no_task_and_counts_for_nothing(submissions, world):
    new = world.new()
    made = await submissions.create(new, world.hold(new), None)
    end = ending(world, made)
    end.keeps_hold, end.record.status, end.record.task_id = False, "failed", None

    await submissions.refused(made.id, end)

    assert await world.rows() == []
    assert await count(world, OPEN) == 0
    held = await world.database.read(lambda tx: balance(tx, wallet_of(world.account_id, "live")).held)
    assert held == Money(0)


async def test_what_a_dead_gateway_was_submitting_is_unclear_and_its_key_answers(submissions, world):
    new = world.new()
    await submissions.create(new, world.hold(new), claim_of(world, new, "one"))
    assert await submissions.recover() == 0
    await world.worker("gateway")  # its next start ends the lease of the one before

    assert await submissions.recover() == 1
    assert await submissions.recover() == 0

    [row] = await world.rows()
    assert (row["status"], row["node_id"]) == ("unknown", None)
    again = world.new()
    replay = await submissions.create(again, world.hold(again), claim_of(world, again, "one"))
    assert isinstance(replay, Replay)
    assert new.id.encode() in replay.body

"""Ends: one for each task, whoever comes at once; money, record and count move with it."""

import asyncio
import itertools

import pytest

from yiapi.db.sql import query_of
from yiapi.ledger import balance, wallet_of
from yiapi.ledger.check import check
from yiapi.money import Money
from yiapi.providers.contract import Status
from yiapi.tasks import store
from yiapi.tasks.ends import TIMED_OUT, Outcome
from yiapi.tasks.models import Ended, EndOrder

pytestmark = pytest.mark.anyio

OPEN = query_of("open", "SELECT count FROM open_tasks")
RESOLUTIONS = query_of(
    "resolutions", "SELECT kind, count(*) AS count FROM hold_resolutions GROUP BY kind ORDER BY kind"
)
SUCCESS = Ended(status=Status.SUCCEEDED, answer="{}", captures=True)
FAILURE = Ended(status=Status.FAILED, error_code="task_failed", error_message="no")
CANCEL = Ended(status=Status.CANCELLED, error_code="cancelled", error_message="no")


@pytest.fixture(autouse=True)
async def books(world):
    yield
    report = await check(world.database)
    assert report.is_clean, report.lines()


async def resolutions(world):
    return {row["kind"]: row["count"] for row in await world.database.read(lambda tx: tx.all(RESOLUTIONS))}


async def test_many_tasks_end_together_each_in_its_own_way(world):
    made = await world.tasks(90, in_memory=True)
    ends = dict(zip(made, itertools.cycle([SUCCESS, FAILURE, CANCEL])))

    outcomes = await asyncio.gather(*(world.ends.submit(EndOrder(task_id=one, end=end)) for one, end in ends.items()))

    assert set(outcomes) == {Outcome.ENDED}
    for row in await world.rows():
        assert row["status"] == ends[row["id"]].status.value
        assert row["captured"] == (row["held"] if row["status"] == "succeeded" else 0)
        assert row["bucket"] is None
    assert await resolutions(world) == {"captured": 30, "released": 60}
    assert (await world.database.read(lambda tx: tx.one(OPEN)))["count"] == 0
    wallet = await world.database.read(lambda tx: balance(tx, wallet_of(world.account_id, "live")))
    assert (wallet.held, wallet.spent_total) == (Money(0), Money.parse("4.2"))


@pytest.mark.parametrize("count", [1000])
async def test_f045_a_thousand_races_of_cancel_and_completion_have_one_winner_each(world, count):
    made = await world.tasks(count, in_memory=True)
    orders = [EndOrder(task_id=one, end=end) for one in made for end in (CANCEL, SUCCESS)]
    orders[::3] = reversed(orders[::3])

    outcomes = await asyncio.gather(*map(world.ends.submit, orders))

    assert outcomes.count(Outcome.ENDED) == outcomes.count(Outcome.REFUSED) == count
    rows = await world.rows()
    won = {
        order.task_id: order.end.status.value
        for order, outcome in zip(orders, outcomes, strict=True)
        if outcome is Outcome.ENDED
    }
    assert {row["id"]: row["status"] for row in rows} == won
    assert set(won.values()) == {"cancelled", "succeeded"}
    assert sum((await resolutions(world)).values()) == count


async def test_f046_two_pollers_and_the_sweeper_see_one_failure_at_once(world):
    [task_id] = await world.tasks(1, in_memory=True)
    _, buckets = await world.worker("a")
    await buckets.tend(renew_s=10)
    fence = buckets.fences[store.bucket_of(task_id)]
    world.clock.turn(4000)  # its time is over, too

    outcomes = await asyncio.gather(
        world.ends.submit(EndOrder(task_id=task_id, end=FAILURE, fence=fence)),
        world.ends.submit(EndOrder(task_id=task_id, end=FAILURE, fence=fence)),
        world.ends.submit(EndOrder(task_id=task_id, end=TIMED_OUT, fence=fence, is_by_time=True)),
    )

    assert outcomes == [Outcome.ENDED, Outcome.REFUSED, Outcome.REFUSED]
    assert await resolutions(world) == {"released": 1}
    assert [row["error_code"] for row in await world.rows()] == ["task_failed"]


async def test_an_owner_of_before_ends_nothing(world):
    [task_id] = await world.tasks(1, in_memory=True)
    _, before = await world.worker("a")
    await before.tend(renew_s=10)
    _, after = await world.worker("a")
    await after.tend(renew_s=10)
    bucket = store.bucket_of(task_id)

    late = await world.ends.submit(EndOrder(task_id=task_id, end=SUCCESS, fence=before.fences[bucket]))
    fresh = await world.ends.submit(EndOrder(task_id=task_id, end=FAILURE, fence=after.fences[bucket]))

    assert (late, fresh) == (Outcome.REFUSED, Outcome.ENDED)
    assert await resolutions(world) == {"released": 1}


async def test_a_deadline_is_confirmed_by_the_databases_clock(world):
    [task_id] = await world.tasks(1, in_memory=True)
    order = EndOrder(task_id=task_id, end=TIMED_OUT, is_by_time=True)

    world.clock.turn(3599)
    assert await world.ends.submit(order) is Outcome.EARLY
    world.clock.turn(2)
    assert await world.ends.submit(order) is Outcome.ENDED


async def test_a_success_seen_in_time_has_ten_minutes_more(world):
    [task_id] = await world.tasks(1, in_memory=True)
    order = EndOrder(task_id=task_id, end=TIMED_OUT, is_by_time=True)
    _, buckets = await world.worker("a")
    await buckets.tend(renew_s=10)
    world.clock.turn(3590)
    row = {"id": task_id, "fence": buckets.fences[store.bucket_of(task_id)], "vendor_task_id": None}
    await world.database.write(lambda tx: store.note_success(tx, [row]))

    world.clock.turn(590)
    assert await world.ends.submit(order) is Outcome.EARLY
    world.clock.turn(11)
    assert await world.ends.submit(order) is Outcome.ENDED


async def test_a_cancelled_task_that_the_vendor_has_stays_in_its_bucket(world):
    [kept, gone] = await world.tasks(2, in_memory=True)

    await world.ends.submit(EndOrder(task_id=kept, end=CANCEL, late_look_s=0.001))
    await world.ends.submit(EndOrder(task_id=gone, end=FAILURE))

    rows = {row["id"]: row for row in await world.rows()}
    assert rows[kept]["bucket"] == store.bucket_of(kept)
    assert rows[kept]["next_look_at"] is not None
    assert rows[gone]["bucket"] is None


async def test_one_that_cannot_be_ended_does_not_take_the_others_along(world):
    made = await world.tasks(10, in_memory=True)
    world.spoilt = made[3]

    outcomes = await asyncio.gather(
        *(world.ends.submit(EndOrder(task_id=one, end=FAILURE)) for one in made), return_exceptions=True
    )

    assert [type(one).__name__ for one in outcomes].count("Outcome") == 9
    assert isinstance(outcomes[3], ValueError)
    assert {row["id"] for row in await world.rows() if row["finished_at"] is None} == {made[3]}
    world.spoilt = None
    await world.ends.submit(EndOrder(task_id=made[3], end=FAILURE))

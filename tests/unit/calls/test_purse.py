"""Purses: a node spends below what it has reserved, gives back what it does not need, and knows when it must not."""

import asyncio

import pytest

from yiapi.calls import Draw
from yiapi.calls.purse import AGE_GRACE_S, AGE_S_MAX, CALLS_AHEAD, IDLE_S, TOLD_S
from yiapi.clock import ManualClock
from yiapi.db.sql import query_of
from yiapi.ledger import Hold, take_allowance
from yiapi.money import Money

from .conftest import LEASE_S, OPEN_HOLDS, WALLET, settling_until
from .test_journal import restore, spoil

pytestmark = pytest.mark.anyio

FUNDS = 10**9


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def node(station, clock):
    await station.fund(FUNDS)
    return await station.node(settles=False, tends=False, clock=clock)


def whole(node) -> int:
    """What the books should say of allowances: what calls were charged and may need, and what is left."""
    return sum(one.left + one.needed + one.captured for one in node.purses.own(WALLET).values())


async def test_calls_below_an_allowance_touch_no_database(station, node):
    first = await node.reserve()
    holds = await station.rows(OPEN_HOLDS)

    draws = [node.calls.draw(WALLET, 100) for _ in range(10)]

    assert isinstance(first, Draw)
    assert all(draws)
    assert await station.rows(OPEN_HOLDS) == holds
    assert len(holds) == 1


async def test_an_allowance_is_for_some_calls_and_leaves_most_of_the_wallet(station, node):
    await node.reserve(100)
    [small] = await station.allowances()
    assert small.amount == CALLS_AHEAD * 100

    await node.reserve(FUNDS // 10)

    assert max(one.amount for one in await station.allowances()) <= FUNDS // 4


async def test_what_an_allowance_does_not_reach_is_not_drawn(node):
    await node.reserve(100)
    left = sum(one.left for one in node.purses.own(WALLET).values())

    assert node.calls.draw(WALLET, left + 1) is None
    assert node.calls.draw("wallet:acct_b:live", 1) is None


async def test_a_wallet_near_its_end_takes_exact_holds(station, node):
    assert isinstance(await node.reserve(FUNDS // 7), Hold)
    assert await station.allowances() == []


async def test_no_money_appears_or_vanishes(station, node):
    draws = [await node.reserve(100) for _ in range(8)]
    [before] = await station.allowances()
    for place, draw in enumerate(draws):
        await node.end(draw, (None, 0, 30, 100)[place % 4])
        assert whole(node) == before.amount

    node.settler.settle()

    [after] = await station.allowances()
    assert after.captured == 2 * 130
    assert after.spare == after.amount - after.captured


async def test_a_charge_above_its_reservation_is_paid_from_what_is_left(station, node):
    draw = await node.reserve(100)

    finished = await node.end(draw, 250)
    node.settler.settle()

    [allowance] = await station.allowances()
    assert (finished.charge, finished.loss) == (Money(250), Money(0))
    assert allowance.captured == 250


async def test_a_charge_above_all_that_is_left_is_paid_from_the_wallet(station, node):
    draw = await node.reserve(100)

    finished = await node.end(draw, 50_000)
    node.settler.settle()

    assert (finished.charge, finished.loss) == (Money(50_000), Money(0))
    assert (await node.calls.balance(WALLET)).posted == Money(FUNDS - 50_000)
    [allowance] = await station.allowances()
    assert whole(node) == allowance.amount


async def test_what_the_wallet_does_not_cover_is_our_loss(station, node):
    draw = await node.reserve(100)
    node.tend()

    ending = asyncio.ensure_future(node.end(draw, FUNDS + 77))
    await settling_until(node, ending)

    assert (ending.result().charge, ending.result().loss) == (Money(FUNDS), Money(77))
    assert (await node.calls.balance(WALLET)).posted == Money(0)


async def test_an_idle_allowance_goes_back(station, node, clock):
    await node.call()
    clock.turn(IDLE_S + 0.01)

    node.purses.tick()
    node.settler.settle()

    assert await station.allowances() == []
    assert (await node.calls.balance(WALLET)).held == Money(0)


async def test_what_a_long_call_does_not_need_goes_back_although_it_runs(station, node, clock):
    draw = await node.reserve(100)
    clock.turn(IDLE_S + 0.01)
    node.purses.tick()
    node.settler.settle()

    [allowance] = await station.allowances()
    assert (allowance.amount, allowance.spare) == (100, 0)

    await node.end(draw, 30)
    node.settler.settle()

    assert await station.allowances() == []


async def test_an_allowance_in_use_is_renewed_before_it_is_old(station, node, clock):
    first = await node.reserve()
    for _ in range(int((AGE_S_MAX + AGE_GRACE_S) * 4)):
        clock.turn(0.25)
        if node.calls.draw(WALLET, 1) is None:
            break
        node.calls.node.valid_until = clock.monotonic() + LEASE_S
        node.purses.tick()
        await settled_fill(node)

    current = node.purses._purses[WALLET].current
    assert current is not None
    assert current is not first.allowance
    assert clock.monotonic() > AGE_S_MAX


async def settled_fill(node) -> None:
    filling = node.purses._purses[WALLET].filling
    if filling is not None:
        await filling


async def test_the_next_allowance_is_asked_for_before_this_one_is_used_up(node):
    await node.reserve(100)
    while node.purses._purses[WALLET].filling is None:
        assert node.calls.draw(WALLET, 100)

    await settled_fill(node)

    assert node.calls.draw(WALLET, 100)


async def test_who_waits_for_an_allowance_is_counted_for_it(station, node):
    holds = await asyncio.gather(*[node.reserve(100) for _ in range(200)])

    assert all(isinstance(hold, Draw) for hold in holds)
    assert len(await station.allowances()) <= 3


async def test_nothing_is_drawn_when_the_lease_may_be_over(node, clock):
    await node.reserve()
    clock.turn(LEASE_S - 0.001)
    assert node.calls.draw(WALLET, 1)

    clock.turn(0.001)

    assert node.calls.draw(WALLET, 1) is None
    assert isinstance(await node.reserve(1), Hold)


async def test_a_node_whose_lease_was_ended_gets_no_allowance(station, node):
    end = query_of("end", "UPDATE nodes SET lease_until = 0")
    await station.database.write(lambda tx: tx.run(end))

    assert isinstance(await node.reserve(), Hold)


async def test_nothing_is_drawn_while_the_books_are_behind(node):
    await node.reserve()
    node.purses.is_suspended = True

    assert node.calls.draw(WALLET, 1) is None
    assert isinstance(await node.reserve(1), Hold)


async def test_what_the_journal_has_no_room_for_has_a_hold_of_its_own(station, clock):
    await station.fund(FUNDS)
    node = await station.node(settles=False, tends=False, clock=clock)
    kept = spoil(station.folder)

    assert isinstance(await node.reserve(), Hold)

    assert node.purses.own(WALLET) == {}
    restore(station.folder, kept)
    assert isinstance(await node.reserve(), Draw)


async def test_what_calls_under_way_may_write_is_kept_free(station, node):
    await node.reserve(1)
    draws = 0
    while node.calls.draw(WALLET, 0):
        draws += 1
    kept = spoil(station.folder)

    assert draws > 50
    assert await node.calls.refill(WALLET, 0) is None
    restore(station.folder, kept)
    assert await node.calls.refill(WALLET, 0) is not None


async def test_an_allowance_that_nobody_knows_is_released(station, node):
    """As after a commit whose answer was lost."""
    await node.reserve()
    owner = node.calls.node.id
    await station.database.write(lambda tx: take_allowance(tx, WALLET, owner=owner, wanted=500, least=1, expires_s=600))
    assert len(await station.allowances()) == 2

    await node.tending._release_strangers()
    assert len(await station.allowances()) == 2  # it may be on its way to us

    await node.tending._release_strangers()
    [left] = await station.allowances()
    assert left.id in node.purses.own(WALLET)


async def test_others_are_told_what_is_spare_while_calls_run(station, node, clock):
    await node.reserve(100)
    clock.turn(TOLD_S + 0.01)

    node.purses.tick()
    node.settler.settle()

    [allowance] = await station.allowances()
    assert allowance.spare == allowance.amount - 100


async def test_a_tenant_sees_only_calls_as_held(station, node):
    other = await station.node("gateway-1", settles=False, tends=False)
    draw = await node.reserve(100)

    seen = await node.calls.balance(WALLET)
    assert (seen.held, seen.available, seen.posted) == (Money(100), Money(FUNDS - 100), Money(FUNDS))

    await node.end(draw, 30)
    node.settler.settle()

    for each in (node, other):
        seen = await each.calls.balance(WALLET)
        assert (seen.held, seen.available, seen.spent_total) == (Money(0), Money(FUNDS - 30), Money(30))

"""The fault catalogue where it is about the ledger: F039 to F053."""

import asyncio
from collections import Counter

import pytest

from yiapi.db import Database
from yiapi.db.sql import query_of
from yiapi.errors import InsufficientQuota
from yiapi.ledger import (
    AlreadyResolved,
    Hold,
    RepeatedDifferently,
    Settled,
    Settlement,
    adjust,
    balance,
    expire_holds,
    open_wallet,
    release,
    settle,
    settle_many,
    take_hold,
    take_holds,
    top_up,
)
from yiapi.ledger.check import check
from yiapi.money import Money

WALLET = "wallet:acct_a:live"
ACCOUNT = query_of(
    "account",
    "INSERT INTO accounts (id, name, status, price_group, parallel_max, open_tasks_max, created_at, version)"
    " VALUES (:id, 'a', 'active', 'default', 1, 1, 1, 1)",
)
BUDGET = query_of("budget", "SELECT held, spent FROM key_budgets WHERE key_id = 'key_1'")
RESOLUTIONS = query_of("resolutions", "SELECT COUNT(*) AS count FROM hold_resolutions")


async def fund(database: Database, nano: int) -> None:
    await database.write(lambda tx: top_up(tx, "funds", WALLET, Money(nano)))


async def balance_of(database: Database):
    return await database.read(lambda tx: balance(tx, WALLET))


async def assert_books_agree(database: Database) -> None:
    report = await check(database)
    assert [line for line in report.violations if line.invariant != "I11"] == []  # no calls around these holds


@pytest.fixture
def nodes(database, clock):
    """The database, and on a server a second node at the same one."""
    second = Database(database.url, clock=clock) if database.kind == "postgresql" else database
    yield database, second
    second.close()


async def race(*jobs):
    """Run units of work at once and return what each came to."""
    return await asyncio.gather(*jobs, return_exceptions=True)


async def test_f040_identical_requests_at_once_have_one_hold(database, new):
    await fund(database, 1000)
    group = database.group(take_holds)
    alone = [database.write(lambda tx: take_hold(tx, new(60))) for _ in range(50)]

    holds = await race(*alone, *[group.submit(new(60)) for _ in range(50)])

    assert len(set(holds)) == 1
    assert (await balance_of(database)).held == Money(60)
    await assert_books_agree(database)


async def test_f041_a_reference_with_another_amount_is_refused(nodes, new):
    first, _ = nodes
    await fund(first, 1000)

    results = await race(*[node.write(lambda tx, n=n: take_hold(tx, new(60 + n))) for n in (0, 1) for node in nodes])

    assert Counter(type(result) for result in results) == {Hold: 2, RepeatedDifferently: 2}
    await assert_books_agree(first)


async def test_f042_another_run_is_another_hold(database, new):
    await fund(database, 1000)

    for run in ("req_1", "req_2"):
        hold = await database.write(lambda tx, run=run: take_hold(tx, new(60, run)))
        await database.write(lambda tx, hold=hold: settle(tx, Settlement(hold.id, Money(60))))

    assert (await balance_of(database)).spent_total == Money(120)
    await assert_books_agree(database)


async def test_f043_repeating_before_and_after_the_end_moves_nothing(database, new):
    await fund(database, 1000)

    for _ in range(3):
        hold = await database.write(lambda tx: take_hold(tx, new(60)))
    for _ in range(3):
        await database.write(lambda tx: settle(tx, Settlement(hold.id, Money(50))))
        assert await database.write(lambda tx: take_hold(tx, new(60))) == hold

    assert (await balance_of(database)).available == Money(950)
    await assert_books_agree(database)


async def test_f044_one_code_is_redeemed_by_one_of_fifty(nodes):
    first, _ = nodes
    names = [f"acct_{number}" for number in range(50)]
    await first.write(lambda tx: tx.run_many(ACCOUNT, [{"id": name} for name in names]))
    for name in names:
        await first.write(lambda tx, name=name: open_wallet(tx, name, "live"))

    def redeem(name: str):
        return lambda tx: top_up(tx, "code_1", f"wallet:{name}:live", Money(5), "grant")

    results = await race(*[nodes[number % 2].write(redeem(name)) for number, name in enumerate(names)])

    assert Counter(str(result) if result is True else type(result).__name__ for result in results) == {
        "True": 1,
        "RepeatedDifferently": 49,
    }
    await assert_books_agree(first)


async def test_f045_cancel_against_completion_has_one_winner_each(nodes, new):
    first, second = nodes
    races = 1000 if first is second else 250
    await fund(first, 10**9)
    hold_group, settle_group = first.group(take_holds), second.group(settle_many)
    holds = await asyncio.gather(*[hold_group.submit(new(100, f"req_{number}")) for number in range(races)])

    async def one_race(number: int, hold: Hold):
        cancel = first.write(lambda tx: release(tx, hold.id))
        finish = settle_group.submit(Settlement(hold.id, Money(70)))
        pair = (cancel, finish) if number % 2 else (finish, cancel)
        return await race(*pair)

    ends = await asyncio.gather(*[one_race(number, hold) for number, hold in enumerate(holds)])

    settled = sum(any(isinstance(end, Settled) for end in pair) for pair in ends)
    for pair in ends:
        cancelled = True in pair
        assert cancelled != any(isinstance(end, Settled) for end in pair)
        assert cancelled == any(isinstance(end, AlreadyResolved) for end in pair)
    assert await balance_of(first) == await balance_of(second)
    assert (await balance_of(first)).spent_total == Money(70 * settled)
    await assert_books_agree(first)


async def test_f046_two_pollers_and_the_sweeper_release_once(nodes, new, clock):
    first, second = nodes
    await fund(first, 1000)
    hold = await first.write(lambda tx: take_hold(tx, new(60, owner=None, expires_s=1)))
    clock.turn(2)

    ends = await race(
        first.write(lambda tx: release(tx, hold.id)),
        second.write(lambda tx: release(tx, hold.id)),
        second.write(lambda tx: expire_holds(tx, 10)),
    )

    assert sum(ends) == 1
    assert (await first.read(lambda tx: tx.one(RESOLUTIONS)))["count"] == 1
    await assert_books_agree(first)


@pytest.mark.parametrize(("funds", "uncovered"), [(1000, 0), (130, 20), (100, 50)])
async def test_f047_what_is_above_the_hold_is_debited_as_far_as_the_balance_goes(database, new, funds, uncovered):
    await fund(database, funds)
    hold = await database.write(lambda tx: take_hold(tx, new(100)))

    settled = await database.write(lambda tx: settle(tx, Settlement(hold.id, Money(150))))

    assert settled == Settled(captured=Money(150 - uncovered), uncovered=Money(uncovered))
    assert (await balance_of(database)).available == Money(funds - 150 + uncovered)
    await assert_books_agree(database)


async def test_f048_what_is_below_the_hold_is_free_again(database, new):
    await fund(database, 100)
    hold = await database.write(lambda tx: take_hold(tx, new(100)))

    await database.write(lambda tx: settle(tx, Settlement(hold.id, Money(1))))

    assert (await balance_of(database)).available == Money(99)
    await assert_books_agree(database)


async def test_f049_tiny_and_free_calls_are_exact(database, new):
    await fund(database, 150)
    hold_group, settle_group = database.group(take_holds), database.group(settle_many)
    news = [new(number % 2, f"req_{number}") for number in range(300)]

    holds = await asyncio.gather(*[hold_group.submit(hold) for hold in news])
    await asyncio.gather(*[settle_group.submit(Settlement(hold.id, hold.amount)) for hold in holds])

    now = await balance_of(database)
    assert (now.available, now.held, now.spent_total) == (Money(0), Money(0), Money(150))
    await assert_books_agree(database)


async def test_f050_a_hold_whose_owner_vanished_is_released_in_time(database, new, clock):
    await fund(database, 100)
    await database.write(lambda tx: take_hold(tx, new(100, expires_s=600)))
    clock.turn(660)

    assert any(violation.invariant == "I5" for violation in (await check(database)).violations) is False
    assert await database.write(lambda tx: expire_holds(tx, 100)) == 1
    clock.turn(1)
    await assert_books_agree(database)


async def test_f051_ten_callbacks_credit_once(nodes):
    results = await race(
        *[nodes[number % 2].write(lambda tx: top_up(tx, "payment_1", WALLET, Money(70))) for number in range(10)]
    )

    assert Counter(results) == {True: 1, False: 9}
    assert (await balance_of(nodes[0])).available == Money(70)


async def test_f052_changing_a_balance_during_settlements_is_exact(nodes, new):
    first, second = nodes
    await fund(first, 10_000)
    holds = await asyncio.gather(
        *[first.write(lambda tx, n=n: take_hold(tx, new(100, f"req_{n}"))) for n in range(100)]
    )
    group = second.group(settle_many)

    await race(
        *[group.submit(Settlement(hold.id, Money(60))) for hold in holds],
        *[first.write(lambda tx, n=n: top_up(tx, f"op_{n}", WALLET, Money(7))) for n in range(20)],
        *[first.write(lambda tx, n=n: adjust(tx, f"fix_{n}", WALLET, Money(-1), "funds")) for n in range(20)],
    )

    now = await balance_of(first)
    adjusted = 10_000 - 6_000 + 140 - now.posted.nano
    assert 0 <= adjusted <= 20  # an adjustment before the first top-up or settlement finds nothing available
    assert now.held == Money(0)
    await assert_books_agree(first)


@pytest.mark.parametrize(
    ("funds", "budget", "names"), [(1000, 99, "budget of this API key"), (99, 1000, "wallet's available balance")]
)
async def test_f053_the_refusal_names_what_is_short_and_neither_moves(database, new, funds, budget, names):
    await fund(database, funds)

    with pytest.raises(InsufficientQuota, match=names):
        await database.write(lambda tx: take_hold(tx, new(100, budget=budget)))

    assert (await balance_of(database)).held == Money(0)
    assert (await database.read(lambda tx: tx.one(BUDGET))) in (None, {"held": 0, "spent": 0})


async def test_f053_a_caught_refusal_leaves_nothing_behind_either(database, new):
    await fund(database, 1000)

    def catch(tx):
        return take_holds(
            tx, [new(60, "req_1", budget=100), new(60, "req_2", budget=100), new(40, "req_3", budget=100)]
        )

    results = await database.write(catch)

    assert [type(result) for result in results] == [Hold, InsufficientQuota, Hold]
    assert (await balance_of(database)).held == Money(100)
    assert await database.read(lambda tx: tx.one(BUDGET)) == {"held": 100, "spent": 0}
    await assert_books_agree(database)


async def test_f053_wallet_and_budget_agree_after_many_at_once(nodes, new):
    first, _ = nodes
    await fund(first, 1000)
    groups = [node.group(take_holds) for node in nodes]

    results = await race(
        *[groups[n % 2].submit(new(10, f"req_{n}", budget=330 if n % 3 else None)) for n in range(150)]
    )

    taken = sum(isinstance(result, Hold) for result in results)
    budget = await first.read(lambda tx: tx.one(BUDGET))
    assert budget["held"] == 330
    assert (await balance_of(first)).held == Money(10 * taken)
    await assert_books_agree(first)

"""Settling: what was used is captured, the rest is free, and what nothing covers is the operator's loss."""

import pytest

from yiapi.ledger import (
    AlreadyResolved,
    Settled,
    Settlement,
    UnknownHold,
    balance,
    release,
    settle,
    settle_many,
    take_hold,
)
from yiapi.ledger.store import account
from yiapi.money import AmountOutOfRange, Money

WALLET = "wallet:acct_a:live"


def posted(tx, name: str) -> int:
    return account(tx, name)["posted"]


def test_settling_captures_the_charge_and_frees_the_rest(tx, funds, new):
    funds(1000)
    hold = take_hold(tx, new(300))

    settled = settle(tx, Settlement(hold.id, Money(120)))

    now = balance(tx, WALLET)
    assert settled == Settled(captured=Money(120), uncovered=Money(0))
    assert (now.posted, now.held, now.spent_total) == (Money(880), Money(0), Money(120))
    assert posted(tx, "revenue:live") == 120


def test_settling_nothing_frees_all(tx, funds, new):
    funds(1000)
    hold = take_hold(tx, new(300))

    settle(tx, Settlement(hold.id, Money(0)))

    assert balance(tx, WALLET).available == Money(1000)


def test_a_second_settlement_changes_nothing_and_answers_as_the_first(tx, funds, new):
    funds(100)
    hold = take_hold(tx, new(100))
    first = settle(tx, Settlement(hold.id, Money(130)))

    again = settle(tx, Settlement(hold.id, Money(130)))

    assert again == first == Settled(captured=Money(100), uncovered=Money(30))
    assert posted(tx, "revenue:live") == 130


def test_a_second_settlement_of_another_charge_is_refused(tx, funds, new):
    funds(100)
    hold = take_hold(tx, new(100))
    settle(tx, Settlement(hold.id, Money(70)))

    with pytest.raises(AlreadyResolved, match="captured"):
        settle(tx, Settlement(hold.id, Money(71)))
    assert posted(tx, "revenue:live") == 70


@pytest.mark.parametrize("kind", ["released", "expired"])
def test_a_settlement_after_the_release_is_refused(tx, funds, new, kind):
    funds(100)
    hold = take_hold(tx, new(100))
    release(tx, hold.id, kind)

    with pytest.raises(AlreadyResolved, match=kind):
        settle(tx, Settlement(hold.id, Money(0)))


def test_nobody_settles_an_unknown_hold(tx):
    with pytest.raises(UnknownHold):
        settle(tx, Settlement("hold_x", Money(0)))


@pytest.mark.parametrize("charge", [-1, 10**15 + 1])
def test_a_charge_out_of_range_is_refused(tx, funds, new, charge):
    funds(100)
    hold = take_hold(tx, new(100))

    with pytest.raises(AmountOutOfRange):
        settle(tx, Settlement(hold.id, Money(charge)))
    assert balance(tx, WALLET).held == Money(100)


def test_a_batch_answers_each_of_its_settlements(tx, funds, new):
    funds(100)
    holds = [take_hold(tx, new(30, f"req_{number}")) for number in range(3)]
    release(tx, holds[1].id)

    results = settle_many(
        tx,
        [
            Settlement(holds[0].id, Money(10)),
            Settlement(holds[1].id, Money(10)),
            Settlement("hold_x", Money(10)),
            Settlement(holds[2].id, Money(45)),
            Settlement(holds[0].id, Money(10)),
            Settlement(holds[0].id, Money(11)),
        ],
    )

    assert [type(result) for result in results] == [
        Settled,
        AlreadyResolved,
        UnknownHold,
        Settled,
        Settled,
        AlreadyResolved,
    ]
    assert balance(tx, WALLET).posted == Money(45)


def test_what_a_batch_frees_covers_what_is_above_in_it(tx, funds, new):
    funds(100)
    holds = [take_hold(tx, new(50, f"req_{number}")) for number in range(2)]

    above, within = settle_many(tx, [Settlement(holds[0].id, Money(80)), Settlement(holds[1].id, Money(20))])

    assert above == Settled(captured=Money(80), uncovered=Money(0))
    assert within == Settled(captured=Money(20), uncovered=Money(0))


def test_modes_have_books_of_their_own(tx, funds, new):
    wallet = "wallet:acct_a:test"
    funds(100, wallet)
    hold = take_hold(tx, new(100, wallet=wallet))

    settle(tx, Settlement(hold.id, Money(100)))

    assert (posted(tx, "revenue:test"), posted(tx, "revenue:live")) == (100, 0)


def test_the_budget_of_a_key_counts_what_was_paid(tx, funds, new):
    funds(1000)
    hold = take_hold(tx, new(60, "req_1", budget=100))

    settle(tx, Settlement(hold.id, Money(40)))

    take_hold(tx, new(60, "req_2", budget=100))
    assert balance(tx, WALLET).held == Money(60)

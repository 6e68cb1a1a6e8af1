"""Holds: taken whole or not at all, once for each reference."""

import pytest

from yiapi.errors import InsufficientQuota
from yiapi.ledger import Hold, RepeatedDifferently, Settlement, balance, settle, take_hold, take_holds
from yiapi.money import AmountOutOfRange, Money

WALLET = "wallet:acct_a:live"


def test_a_hold_takes_from_what_is_available_and_leaves_what_is_posted(tx, funds, new):
    funds(1000)

    take_hold(tx, new(300))

    now = balance(tx, WALLET)
    assert (now.posted, now.held, now.available) == (Money(1000), Money(300), Money(700))


def test_a_hold_may_take_the_last_unit_and_nothing_beyond(tx, funds, new):
    funds(100)

    take_hold(tx, new(100, "req_1"))

    with pytest.raises(InsufficientQuota, match="wallet"):
        take_hold(tx, new(1, "req_2"))
    assert balance(tx, WALLET).available == Money(0)


def test_expiry_counts_from_the_time_of_the_database(tx, funds, new, clock):
    funds(100)

    hold = take_hold(tx, new(1, expires_s=600))

    assert hold.expires_at_ms == clock.now_ms() + 600_000


def test_repeating_a_reference_returns_the_first_hold(tx, funds, new):
    funds(100)
    first = take_hold(tx, new(60))

    again = take_hold(tx, new(60, expires_s=9))

    assert again == first
    assert balance(tx, WALLET).held == Money(60)


def test_repeating_a_reference_after_the_end_returns_the_first_hold(tx, funds, new):
    funds(100)
    first = take_hold(tx, new(60))
    settle(tx, Settlement(first.id, Money(60)))

    assert take_hold(tx, new(60)) == first
    assert balance(tx, WALLET).held == Money(0)


@pytest.mark.parametrize("other", [{"amount": 61}, {"amount": 60, "wallet": "wallet:acct_b:live"}])
def test_repeating_a_reference_differently_is_an_error(tx, funds, new, other):
    funds(100)
    take_hold(tx, new(60))

    with pytest.raises(RepeatedDifferently):
        take_hold(tx, new(**other))
    assert balance(tx, WALLET).held == Money(60)


@pytest.mark.parametrize("amount", [-1, 10**15 + 1])
def test_an_amount_out_of_range_is_refused(tx, funds, new, amount):
    funds(100)

    with pytest.raises(AmountOutOfRange):
        take_hold(tx, new(amount))


def test_a_free_call_needs_no_money(tx, new):
    take_hold(tx, new(0))

    assert balance(tx, WALLET).available == Money(0)


def test_a_wallet_that_was_never_opened_covers_nothing(tx, new):
    with pytest.raises(InsufficientQuota):
        take_hold(tx, new(0, wallet="wallet:nobody:live"))


def test_a_budget_without_its_key_is_a_mistake(tx, funds, new):
    funds(100)

    with pytest.raises(ValueError, match="without a key"):
        take_hold(tx, new(1, budget=5, key_id=None))


def test_a_batch_on_one_wallet_takes_what_fits_in_its_order(tx, funds, new):
    funds(100)

    results = take_holds(tx, [new(60, "req_1"), new(50, "req_2"), new(40, "req_3")])

    assert [type(result) for result in results] == [Hold, InsufficientQuota, Hold]
    assert balance(tx, WALLET).available == Money(0)


def test_a_batch_of_several_wallets_keeps_them_apart(tx, funds, new):
    other = "wallet:acct_b:live"
    funds(100)
    funds(10, other)

    results = take_holds(tx, [new(60, "req_1"), new(11, "req_2", wallet=other), new(10, "req_3", wallet=other)])

    assert [type(result) for result in results] == [Hold, InsufficientQuota, Hold]
    assert (balance(tx, WALLET).held, balance(tx, other).held) == (Money(60), Money(10))


def test_a_batch_may_repeat_itself(tx, funds, new):
    funds(100)

    first, second, differently = take_holds(tx, [new(60), new(60), new(61)])

    assert first == second
    assert isinstance(differently, RepeatedDifferently)
    assert balance(tx, WALLET).held == Money(60)


def test_a_refused_reference_may_be_tried_again_with_less(tx, funds, new):
    funds(100)

    refused, taken = take_holds(tx, [new(101), new(100)])

    assert isinstance(refused, InsufficientQuota)
    assert isinstance(taken, Hold)


def test_an_empty_batch_is_no_work(tx):
    assert take_holds(tx, []) == []


def test_a_hold_below_another_takes_nothing_from_the_wallet(tx, funds, new):
    funds(100)
    parent = take_hold(tx, new(80, "slice"))

    take_hold(tx, new(50, "req_1", parent_hold_id=parent.id))

    assert balance(tx, WALLET).held == Money(80)


def test_what_is_settled_below_a_hold_comes_out_of_it(tx, funds, new):
    funds(100)
    parent = take_hold(tx, new(80, "slice"))
    child = take_hold(tx, new(50, "req_1", parent_hold_id=parent.id))

    settle(tx, Settlement(child.id, Money(30)))

    now = balance(tx, WALLET)
    assert (now.posted, now.held, now.available) == (Money(70), Money(50), Money(20))


def test_what_the_hold_above_no_longer_covers_is_debited(tx, funds, new):
    funds(100)
    parent = take_hold(tx, new(20, "slice"))
    child = take_hold(tx, new(50, "req_1", parent_hold_id=parent.id))

    settled = settle(tx, Settlement(child.id, Money(30)))

    assert settled.captured == Money(30)
    now = balance(tx, WALLET)
    assert (now.posted, now.held) == (Money(70), Money(20))

"""Money in and out: once for each operation id, and never below zero."""

import pytest

from yiapi.db import RowRefused
from yiapi.db.sql import query_of
from yiapi.errors import InsufficientQuota
from yiapi.ledger import (
    RepeatedDifferently,
    Settlement,
    UnknownOperation,
    UnknownWallet,
    adjust,
    balance,
    open_wallet,
    refund,
    settle,
    take_hold,
    top_up,
    wallet_of,
)
from yiapi.ledger.store import account
from yiapi.money import AmountOutOfRange, Money

WALLET = "wallet:acct_a:live"


def test_a_wallet_is_named_after_its_tenant_and_opened_once(tx, funds):
    funds(10)

    open_wallet(tx, "acct_a", "live")

    assert balance(tx, wallet_of("acct_a", "live")).posted == Money(10)


def test_a_top_up_comes_from_outside(tx):
    assert top_up(tx, "op_1", WALLET, Money(70))

    assert balance(tx, WALLET).available == Money(70)
    assert account(tx, "funding:live")["posted"] == -70


@pytest.mark.parametrize("move", [top_up, refund, adjust])
def test_repeating_an_operation_changes_nothing(tx, funds, move):
    funds(100)
    assert move(tx, "op_1", WALLET, Money(30))
    before = balance(tx, WALLET)

    assert not move(tx, "op_1", WALLET, Money(30))

    assert balance(tx, WALLET) == before


@pytest.mark.parametrize("move", [top_up, refund, adjust])
@pytest.mark.parametrize("wallet", [WALLET, "wallet:acct_b:live"])
def test_repeating_an_operation_differently_is_an_error(tx, funds, move, wallet):
    funds(100)
    top_up(tx, "op_1", WALLET, Money(31))

    with pytest.raises(RepeatedDifferently):
        move(tx, "op_1", wallet, Money(30))
    assert balance(tx, WALLET).posted == Money(131)


def test_a_grant_is_no_top_up(tx):
    top_up(tx, "op_1", WALLET, Money(5), "grant")

    with pytest.raises(RepeatedDifferently):
        top_up(tx, "op_1", WALLET, Money(5))


def test_a_refund_takes_only_what_is_available(tx, funds, new):
    funds(100)
    take_hold(tx, new(60))

    with pytest.raises(InsufficientQuota):
        refund(tx, "op_1", WALLET, Money(41))
    assert refund(tx, "op_1", WALLET, Money(40))

    assert balance(tx, WALLET).available == Money(0)


def test_an_adjustment_has_a_direction_and_names_what_it_corrects(tx, funds, new):
    funds(100)
    hold = take_hold(tx, new(60))
    settle(tx, Settlement(hold.id, Money(60)))

    adjust(tx, "op_1", WALLET, Money(10), hold.id)
    adjust(tx, "op_2", WALLET, Money(-4), "op_1")

    assert balance(tx, WALLET).posted == Money(46)


def test_an_adjustment_downwards_stops_at_zero(tx, funds):
    funds(100)

    with pytest.raises(InsufficientQuota):
        adjust(tx, "op_1", WALLET, Money(-101))
    assert balance(tx, WALLET).available == Money(100)


def test_nothing_corrects_what_never_was(tx, funds):
    with pytest.raises(UnknownOperation):
        adjust(tx, "op_1", WALLET, Money(1), "op_0")


@pytest.mark.parametrize("move", [top_up, refund, adjust])
def test_a_wallet_must_be_open(tx, move):
    with pytest.raises(UnknownWallet):
        move(tx, "op_1", "wallet:nobody:live", Money(1))


def test_a_wallet_that_was_never_opened_has_no_balance(tx):
    with pytest.raises(UnknownWallet):
        balance(tx, "wallet:nobody:live")


@pytest.mark.parametrize(
    ("move", "amount"), [(top_up, -1), (refund, -1), (top_up, 10**15 + 1), (adjust, -(10**15) - 1)]
)
def test_amounts_out_of_range_are_refused(tx, move, amount):
    with pytest.raises(AmountOutOfRange):
        move(tx, "op_1", WALLET, Money(amount))


def test_a_sum_is_refused_before_it_wraps(tx):
    nearly = query_of("nearly", "UPDATE ledger_accounts SET posted = 8999999999999999999 WHERE id = :id")
    tx.run(nearly, id=WALLET)

    with pytest.raises(RowRefused):
        top_up(tx, "op_1", WALLET, Money(2))

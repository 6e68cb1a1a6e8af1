"""Releasing: by who took it, by any node after its owner vanished, and by the clock."""

import pytest

from yiapi.db.sql import query_of
from yiapi.ledger import (
    Settlement,
    UnknownHold,
    balance,
    expire_holds,
    release,
    release_many,
    release_orphans,
    settle,
    take_hold,
)
from yiapi.money import Money

WALLET = "wallet:acct_a:live"
BUDGET = query_of("budget", "SELECT held, spent FROM key_budgets WHERE key_id = 'key_1'")
KIND = query_of("kind", "SELECT kind FROM hold_resolutions WHERE hold_id = :id")


def test_releasing_frees_the_whole_hold_and_its_budget(tx, funds, new):
    funds(100)
    hold = take_hold(tx, new(60, budget=60))

    assert release(tx, hold.id)

    assert balance(tx, WALLET).available == Money(100)
    assert tx.one(BUDGET) == {"held": 0, "spent": 0}


def test_a_second_release_changes_nothing(tx, funds, new):
    funds(100)
    hold = take_hold(tx, new(60))
    release(tx, hold.id)

    assert not release(tx, hold.id, "expired")
    assert tx.one(KIND, id=hold.id) == {"kind": "released"}


def test_a_release_after_the_settlement_changes_nothing(tx, funds, new):
    funds(100)
    hold = take_hold(tx, new(60))
    settle(tx, Settlement(hold.id, Money(60)))

    assert not release(tx, hold.id)
    assert balance(tx, WALLET).posted == Money(40)


def test_nobody_releases_an_unknown_hold(tx):
    with pytest.raises(UnknownHold):
        release(tx, "hold_x")


def test_a_batch_answers_each(tx, funds, new):
    funds(100)
    hold = take_hold(tx, new(60))

    freed, again, unknown = release_many(tx, [hold.id, hold.id, "hold_x"])

    assert (freed, again) == (True, False)
    assert isinstance(unknown, UnknownHold)


def test_holds_expire_at_their_time_and_not_before(tx, funds, new, turn):
    funds(100)
    take_hold(tx, new(10, "req_1", expires_s=60))
    take_hold(tx, new(20, "req_2", expires_s=61))

    turn(59.999)
    assert expire_holds(tx, 10) == 0
    turn(0.001)
    assert expire_holds(tx, 10) == 1
    assert expire_holds(tx, 10) == 0

    assert balance(tx, WALLET).held == Money(20)


def test_expiry_goes_on_where_its_limit_stopped_it(tx, funds, new, turn):
    funds(100)
    for number in range(5):
        take_hold(tx, new(10, f"req_{number}", expires_s=number))
    turn(10)

    assert [expire_holds(tx, 2) for _ in range(4)] == [2, 2, 1, 0]


def test_holds_of_a_node_stay_until_its_lease_is_ended(tx, funds, new, node, turn):
    funds(100)
    take_hold(tx, new(10))
    turn(3600)  # a clock that jumps releases nothing

    assert release_orphans(tx, 10) == []


def test_holds_of_a_node_without_a_lease_are_released(tx, funds, new, node):
    funds(100)
    hold = take_hold(tx, new(10))
    tx.run(query_of("end", "UPDATE nodes SET lease_until = 0 WHERE id = 'node_1'"))

    assert release_orphans(tx, 10) == [hold]
    assert release_orphans(tx, 10) == []
    assert balance(tx, WALLET).available == Money(100)


def test_holds_of_a_node_that_nobody_knows_are_released(tx, funds, new, node):
    funds(100)
    hold = take_hold(tx, new(10, owner="node_of_yesterday"))

    assert release_orphans(tx, 10) == [hold]


def test_the_hold_of_a_task_belongs_to_no_node(tx, funds, new):
    funds(100)
    take_hold(tx, new(10, owner=None))

    assert release_orphans(tx, 10) == []


def test_a_parent_gives_back_what_was_not_captured_below_it(tx, funds, new):
    funds(100)
    parent = take_hold(tx, new(80, "slice"))
    child = take_hold(tx, new(50, "req_1", parent_hold_id=parent.id))
    settle(tx, Settlement(child.id, Money(30)))

    release(tx, parent.id)

    now = balance(tx, WALLET)
    assert (now.posted, now.held) == (Money(70), Money(0))


def test_a_hold_below_another_gives_nothing_back_to_the_wallet(tx, funds, new):
    funds(100)
    parent = take_hold(tx, new(80, "slice"))
    child = take_hold(tx, new(50, "req_1", parent_hold_id=parent.id))

    release(tx, child.id)

    assert balance(tx, WALLET).held == Money(80)

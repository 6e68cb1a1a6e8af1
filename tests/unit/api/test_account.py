"""The account and what chat clients read of it."""

import msgspec
import pytest

from yiapi.api import shapes


async def test_the_account_says_what_there_is(world, caller):
    account = await caller.json("/v1/account")

    assert account == {
        "object": "account",
        "id": caller.account_id,
        "mode": "test",
        "currency": "USD",
        "balance": "10",
        "held": "0",
        "available": "10",
        "spent_total": "0",
    }


async def test_what_is_held_is_not_available(world, caller):
    await world.task(caller)

    account = await caller.json("/v1/account")

    assert (account["balance"], account["held"], account["available"]) == ("10", "0.14", "9.86")


async def test_a_tenant_without_a_wallet_has_nothing(world):
    caller = await world.tenant("live", opens_wallet=False)

    assert (await caller.json("/v1/account"))["balance"] == "0"


async def test_modes_have_their_own_money(small):
    test, live = await small.tenant("test", balance_usd="1"), await small.tenant("live", balance_usd="2")

    assert [(await one.json("/v1/account"))["balance"] for one in (test, live)] == ["1", "2"]


@pytest.mark.parametrize("prefix", ["/v1", ""])
async def test_chat_clients_can_show_a_balance(small, prefix):
    caller = await small.tenant()

    subscription = await caller.json(f"{prefix}/dashboard/billing/subscription")
    usage = await caller.json(f"{prefix}/dashboard/billing/usage?start_date=2026-01-01&end_date=2026-12-31")

    assert msgspec.convert(subscription, shapes.Subscription).hard_limit_usd == 10
    assert msgspec.convert(usage, shapes.Spent).total_usage == 0

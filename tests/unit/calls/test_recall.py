"""Before a wallet is said to be empty every node gives back what it does not need: money for k calls serves k."""

import asyncio
import itertools

import pytest

from yiapi.calls import Draw, call_in
from yiapi.db.sql import query_of
from yiapi.errors import InsufficientQuota, StorageUnavailable
from yiapi.ledger import Hold, RepeatedDifferently, adjust, balance, refund, take_allowance
from yiapi.ledger.allowance import RECALLED_MS
from yiapi.money import Money

from .conftest import REQUESTS, WALLET, settling_until, until

pytestmark = pytest.mark.anyio

CLIENTS = 64
CALLS = 1000
LONG_AGO = query_of("long_ago", f"UPDATE recalls SET asked_at = asked_at - {RECALLED_MS + 1}")


@pytest.fixture
async def nodes(station):
    """One node on the embedded database, two on the server."""
    first = await station.node("gateway-0")
    if station.database.kind == "sqlite":
        return [first]
    return [first, await station.node("gateway-1", folder=station.folder.with_name("journal-1"))]


@pytest.mark.parametrize("count", [0, 1, 7, 333, 999, 1000])
async def test_with_a_balance_for_k_of_a_thousand_exactly_k_are_served(station, nodes, count):
    await station.fund(100 * count + 99)

    served = await thousand(nodes, amount=100)

    await assert_exact(station, nodes, served, count)


@pytest.mark.parametrize("count", [0, 1, 7, 333, 999, 1000])
async def test_it_is_exact_just_after_traffic_that_made_large_allowances(station, nodes, count):
    await station.fund(10**7)
    await asyncio.gather(*[one.call(20_000, 100) for one in nodes for _ in range(30)])
    assert any(node.purses.own(WALLET) for node in nodes)
    left = 10**7 - 30 * len(nodes) * 100
    await nodes[0].calls.reserve(
        WALLET,
        lambda: station.database.write(lambda tx: refund(tx, "most", WALLET, Money(left - 100 * count - 99))),
    )

    served = await thousand(nodes, amount=100)

    await assert_exact(station, nodes, served, count, before=30 * len(nodes))


@pytest.mark.parametrize("count", [7, 333])
async def test_it_is_exact_while_calls_use_less_than_they_reserved(station, nodes, count):
    """What is freed is free for the next: so many are served that the rest is below one reservation."""
    await station.fund(100 * count)

    served = await thousand(nodes, amount=100, charge=60)

    left = 100 * count - 60 * served
    assert (left < 100) if served < CALLS else (left >= 0)
    await settle(nodes)
    now = await station.database.read(lambda tx: balance(tx, WALLET))
    assert now.posted == Money(left)


async def thousand(nodes, *, amount: int, charge: int | None = None) -> int:
    """Call a thousand times from 64 places, and return how many were served."""
    numbers = iter(range(CALLS))
    served: list[int] = []

    async def client(place: int) -> None:
        for number in numbers:
            node = nodes[(place + number) % len(nodes)]
            try:
                hold = await node.reserve(amount)
            except InsufficientQuota:
                continue
            await asyncio.sleep(0)
            await node.end(hold, amount if charge is None else charge)
            served.append(number)

    await asyncio.gather(*[client(place) for place in range(CLIENTS)])
    return len(served)


async def settle(nodes) -> None:
    for node in nodes:
        node.purses.give_all_back()
        await node.calls.settled()


async def assert_exact(station, nodes, served: int, count: int, *, before: int = 0) -> None:
    assert served == count
    await settle(nodes)
    now = await station.database.read(lambda tx: balance(tx, WALLET))
    assert (now.available, now.held) == (Money(99), Money(0))
    rows = await station.rows(REQUESTS)
    assert len(rows) == count + before
    assert {row["loss"] for row in rows} <= {0}


async def test_who_is_refused_gets_what_another_node_has_to_spare(station):
    first = await station.node("gateway-0")
    second = await station.node("gateway-1")
    await station.fund(1000)
    assert isinstance(await first.reserve(10), Draw)  # and some more is reserved
    keep(first)

    hold = await second.exact(950)

    assert hold.amount == Money(950)
    with pytest.raises(InsufficientQuota):
        await second.exact(41)


def keep(node) -> None:
    """Let an allowance look used, so that only a recall brings it back."""
    for purse in node.purses._purses.values():
        purse.drawn_at = float("inf")


async def test_a_call_that_ended_before_the_refusal_is_counted(station):
    """Its charge is in a journal that nobody has settled yet: the refusal waits for it."""
    first = await station.node("gateway-0", settles=False)
    second = await station.node("gateway-1")
    await station.fund(4000)
    draw = await first.reserve(60)
    await first.end(draw, 0)

    asking = asyncio.ensure_future(second.exact(4000))
    await settling_until(first, asking)

    assert asking.result().amount == Money(4000)


async def test_money_that_a_silent_node_keeps_is_no_empty_wallet(station):
    """A node that does not answer may be dead: the caller is told to try again, and not that there is no money."""
    silent = await station.node("gateway-0", settles=False, tends=False)
    await station.fund(1000)
    await silent.reserve(10)
    second = await station.node("gateway-1")

    with pytest.raises(StorageUnavailable):
        await second.exact(990)


async def test_nobody_takes_an_allowance_just_after_a_recall(station):
    node = await station.node("gateway-0")
    await station.fund(1000)
    await call_in(station.database, WALLET)

    assert isinstance(await node.reserve(10), Hold)

    await station.database.write(lambda tx: tx.run(LONG_AGO))
    node.purses._purses.clear()

    assert isinstance(await node.reserve(10), Draw)


async def test_a_recall_is_not_answered_for_an_allowance_on_its_way(station):
    node = await station.node("gateway-0", tends=False)
    await station.fund(1000)
    filling = asyncio.ensure_future(node.reserve(10))
    await until(lambda: node.purses._purses.get(WALLET) and node.purses._purses[WALLET].filling, pause_s=0)

    node.purses.answer(WALLET, 1)

    assert node.purses._purses[WALLET].answered == 0
    await filling
    node.purses.answer(WALLET, 1)
    assert node.purses._purses[WALLET].current is None


async def test_a_refund_gets_what_nodes_keep(station):
    node = await station.node("gateway-0")
    await station.fund(1000)
    await node.reserve(10)
    keep(node)

    await node.calls.reserve(WALLET, lambda: station.database.write(lambda tx: refund(tx, "all", WALLET, Money(990))))

    with pytest.raises(InsufficientQuota):
        await node.calls.reserve(
            WALLET, lambda: station.database.write(lambda tx: adjust(tx, "more", WALLET, Money(-1)))
        )


async def test_what_is_wrong_with_a_call_is_not_mended_by_a_recall(station):
    node = await station.node("gateway-0")
    await station.fund(1000)
    await node.exact(10, reference="req_1")

    with pytest.raises(RepeatedDifferently):
        await node.exact(20, reference="req_1")


async def test_an_idle_allowance_is_back_within_a_second(station):
    node = await station.node("gateway-0")
    await station.fund(1000)
    await node.call(10)
    assert await station.allowances()

    async def is_back() -> bool:
        return not await station.allowances()

    await until(is_back, seconds=1.0)


async def test_two_nodes_never_reserve_more_than_there_is(station):
    """The slices of a node are its own, whatever the other does: no sum of them is above the wallet."""
    nodes = [await station.node(f"gateway-{number}") for number in range(2)]
    await station.fund(100_000)
    amounts = itertools.cycle([1, 10, 100, 1000])

    async def client(place: int) -> None:
        for amount in itertools.islice(amounts, 40):
            try:
                await nodes[place % 2].call(amount, amount // 2)
            except InsufficientQuota:
                continue

    await asyncio.gather(*[client(place) for place in range(16)])
    for owner in nodes:
        await station.database.write(
            lambda tx, owner=owner: take_allowance(
                tx, WALLET, owner=owner.calls.node.id, wanted=10**12, least=0, expires_s=60
            )
        )

    now = await station.database.read(lambda tx: balance(tx, WALLET))
    assert now.available >= Money(0)
    await station.assert_sound()

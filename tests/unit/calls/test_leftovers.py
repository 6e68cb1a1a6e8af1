"""What a dead node left: nothing that was acknowledged is lost, and nothing of a living node is touched."""

import asyncio
import subprocess
import sys

import pytest

from yiapi.calls import settle_leftovers
from yiapi.calls.nodes import Deaths, machine_of, node_name
from yiapi.clock import ManualClock
from yiapi.db.sql import query_of
from yiapi.ledger import Hold, balance, release_orphans
from yiapi.money import Money

from .conftest import LEASE_S, NODES, POSTINGS, REQUESTS, WALLET, until

pytestmark = pytest.mark.anyio

FUNDS = 10**9
OVER = query_of("over", "UPDATE nodes SET lease_until = 1 WHERE id = :id")


def take_over(station, name: str = "worker") -> None:
    settle_leftovers(station.url, station.folder, name)


async def lease_of(station, node) -> int:
    return next(row["lease_until"] for row in await station.rows(NODES) if row["id"] == node.calls.node.id)


async def end_lease(station, node) -> None:
    """End a lease as others do that have seen it over."""
    await station.database.write(lambda tx: tx.run(OVER, id=node.calls.node.id))
    await Deaths(ManualClock(), 0.0).end_leases(station.database)


async def test_what_a_killed_node_wrote_down_is_charged_and_the_rest_released(station):
    await station.fund(FUNDS)
    node = await station.node(settles=False)
    for _ in range(5):
        await node.call(100, 40)
    await node.reserve(100)  # begun, and never answered
    await node.die()

    take_over(station)
    successor = await station.node()
    await successor.calls.recover()

    assert [row["charge"] for row in await station.rows(REQUESTS)] == [40] * 5
    now = await station.database.read(lambda tx: balance(tx, WALLET))
    assert (now.posted, now.held) == (Money(FUNDS - 200), Money(0))
    assert [path.name for path in station.folder.iterdir() if node.journal.node_id in path.name] == []


async def test_taking_over_again_changes_nothing(station):
    await station.fund(FUNDS)
    node = await station.node(settles=False)
    await node.call(100, 40)
    await node.die()

    for _ in range(3):
        take_over(station)

    assert len(await station.rows(REQUESTS)) == 1
    assert len(await station.rows(POSTINGS)) == 1


async def test_many_that_take_over_at_once_charge_once(station):
    await station.fund(FUNDS)
    node = await station.node(settles=False)
    for _ in range(300):
        await node.call(100, 40)
    await node.die()

    await asyncio.gather(*[asyncio.to_thread(take_over, station) for _ in range(4)])

    assert sum(posting["amount"] for posting in await station.rows(POSTINGS)) == 300 * 40


async def test_a_node_that_died_in_the_middle_of_a_frame_is_taken_over(station):
    await station.fund(FUNDS)
    node = await station.node(settles=False)
    await node.call(100, 40)
    at = node.journal.place().position
    node.journal._map[at : at + 8] = b"\x50\0\0\0abcd"  # a length and a checksum, and no end that counts them
    await node.die()

    take_over(station)

    assert len(await station.rows(REQUESTS)) == 1
    assert not (station.folder / "refused").exists()


async def test_the_journal_of_a_living_node_is_left_alone(station):
    await station.fund(FUNDS)
    node = await station.node(settles=False)
    await node.call(100, 40)
    await end_lease(station, node)  # stopped for so long that its lease was ended, yet it lives

    take_over(station)

    assert node.settler.settle() == 1
    await node.call(100, 40)
    assert node.settler.settle() > 0


async def test_the_journal_of_another_machine_is_left_alone_while_its_node_has_a_lease(station):
    await station.fund(FUNDS)
    node = await station.node("gateway-0@there-1", settles=False)
    await node.call(100, 40)
    await node.die()  # what is a lock on one machine may be none on another

    take_over(station, "gateway-0@here-1")
    assert await station.rows(REQUESTS) == []
    assert await lease_of(station, node) > 0

    await end_lease(station, node)
    take_over(station, "gateway-0@here-1")
    assert len(await station.rows(REQUESTS)) == 1


async def test_who_is_taken_over_has_no_lease(station):
    await station.fund(FUNDS)
    node = await station.node(settles=False)
    hold = await node.exact(100)
    await node.die()

    take_over(station)

    assert await lease_of(station, node) == 0
    released = await station.database.write(lambda tx: release_orphans(tx, 10))
    assert [one.id for one in released] == [hold.id]


async def test_a_settler_that_outlives_its_node_does_not_charge_again(station):
    """It may still read what another has taken over, settled and deleted."""
    await station.fund(FUNDS)
    node = await station.node(settles=False)
    for _ in range(50):
        await node.call(100, 40)
    assert node.settler.once() >= 50
    late = node.settler
    await node.stop_tending()
    node.journal.close()

    take_over(station)
    late._settler._is_placed = False
    late.settle()

    assert sum(posting["amount"] for posting in await station.rows(POSTINGS)) == 50 * 40
    await asyncio.to_thread(node.database.close)
    node.is_dead = True


async def test_a_lease_is_ended_only_when_it_was_over_for_some_time(station):
    clock = ManualClock()
    deaths = Deaths(clock, 12.0)
    node = await station.node(clock=clock)
    await station.database.write(lambda tx: tx.run(OVER, id=node.calls.node.id))  # a clock has jumped

    await deaths.end_leases(station.database)
    clock.turn(10)
    await deaths.end_leases(station.database)
    assert await node.calls.node.renew(station.database)

    clock.turn(3)
    await deaths.end_leases(station.database)
    assert await lease_of(station, node) > 0


async def test_a_lease_that_others_ended_cannot_be_renewed(station):
    node = await station.node()
    await end_lease(station, node)

    assert not await node.calls.node.renew(station.database)


async def test_a_node_that_lost_its_lease_begins_anew(station):
    """As after a pause of a minute: what it held is gone, its late charges are our loss, and it serves again."""
    await station.fund(FUNDS)
    clock = ManualClock()
    node = await station.node(clock=clock, settles=False)
    draw, exact = await node.reserve(100), await node.exact(100)
    clock.turn(LEASE_S)  # it was stopped, and the others were not
    await end_lease(station, node)
    other = await station.node("gateway-1")
    await other.calls.recover()

    keeping = asyncio.ensure_future(node.calls.node.keep_alive(station.database, every_s=0.01, lost=node.calls.lose))
    assert (await node.end(draw, 40)).charge == Money(0)
    assert (await node.end(exact, 40)).charge == Money(0)
    await until(lambda: node.calls.node.valid_until > clock.monotonic())
    keeping.cancel()
    node.settler.settle()

    rows = await station.rows(REQUESTS)
    assert sorted((row["charge"], row["loss"]) for row in rows if row["status"] == "succeeded") == [(0, 40), (0, 40)]
    assert (await station.database.read(lambda tx: balance(tx, WALLET))).posted == Money(FUNDS)
    again = await node.reserve(100)
    assert not isinstance(again, Hold)
    await node.end(again, 40)


async def test_nothing_that_a_node_lost_is_held_when_it_begins_anew(station):
    await station.fund(FUNDS)
    node = await station.node(settles=False)
    for _ in range(3):
        await node.exact(100)
    await node.reserve(100)
    await end_lease(station, node)

    await node.calls.lose()

    assert (await station.database.read(lambda tx: balance(tx, WALLET))).held == Money(0)
    assert node.purses.own(WALLET) == {}


def test_a_process_has_the_same_name_at_every_start_and_another_one_elsewhere(tmp_path):
    name = node_name("gateway-0", tmp_path / "data")

    assert name == node_name("gateway-0", tmp_path / "data")
    assert name.startswith("gateway-0@")
    assert machine_of(name) == machine_of(node_name("worker", tmp_path / "data"))
    assert machine_of(name) != machine_of(node_name("gateway-0", tmp_path / "other"))


async def test_the_settler_as_a_process_settles_the_rest_when_its_gateway_is_gone(station, tmp_path):
    from yiapi.calls import Journal, SettlerProcess
    from yiapi.calls.service import frame_of

    await station.fund(FUNDS)
    node = await station.node(settles=False, tends=False)
    draws = [await node.reserve(100) for _ in range(20)]
    node.journal.close()
    journal = Journal(station.folder, "gateway-7", node.calls.node.id)
    settler = SettlerProcess(journal, station.url, log_level="warning")

    from .conftest import ending_of

    for draw in draws:
        journal.append(frame_of(ending_of(draw, 40), draw.allowance, 40, 0))
    await asyncio.to_thread(settler.end)

    assert len(await station.rows(REQUESTS)) == 20
    assert list(station.folder.glob("gateway-7*")) == []
    assert settler._process.returncode == 0
    node.settler._settler.clean()
    node.is_dead = True
    await asyncio.to_thread(node.database.close)


def test_the_settler_ends_as_a_program_says_it_does():
    done = subprocess.run([sys.executable, "-m", "yiapi.calls", "--help"], capture_output=True, text=True, check=True)

    assert "--node" in done.stdout

"""Buckets: shared evenly, taken over from the dead, and fenced against those who were only asleep."""

import pytest

from yiapi.providers.contract import Status
from yiapi.tasks import store
from yiapi.tasks.notes import Notes, Progress

pytestmark = pytest.mark.anyio

RENEW_S = 10.0


async def tend(*workers):
    return [await buckets.tend(renew_s=RENEW_S) for _, buckets in workers]


async def test_one_worker_owns_everything(world):
    worker = await world.worker("a")

    [change] = await tend(worker)

    assert change.taken == frozenset(range(256))
    assert await world.owners() == {worker[0].id: 256}


async def test_a_worker_that_joins_gets_its_share(world):
    first, second, third = [await world.worker(name) for name in "abc"]
    await tend(first)
    await tend(second)  # nothing is free yet

    for _ in range(2):
        await tend(first, second)
    assert sorted((await world.owners()).values()) == [128, 128]
    for _ in range(3):
        await tend(first, second, third)

    assert sorted((await world.owners()).values()) == [85, 85, 86]
    owned = [set(buckets.fences) for _, buckets in (first, second, third)]
    assert set.union(*owned) == set(range(256))
    assert sum(map(len, owned)) == 256


async def test_who_leaves_hands_everything_back_at_once(world):
    first, second = [await world.worker(name) for name in "ab"]
    for _ in range(3):
        await tend(first, second)

    await first[1].leave()
    await tend(second)

    assert await world.owners() == {second[0].id: 256}


async def test_a_dead_workers_buckets_are_taken_when_its_lease_is_over(world):
    dead, alive = [await world.worker(name) for name in "ab"]
    for _ in range(3):
        await tend(dead, alive)

    await world.pass_time(20, alive[0])
    await tend(alive)
    assert (await world.owners())[dead[0].id] == 128
    await world.pass_time(20, alive[0])
    await tend(alive)

    assert await world.owners() == {alive[0].id: 256}


async def test_a_worker_that_starts_again_takes_what_it_had_at_once(world):
    await tend(before := await world.worker("a"))

    again = await world.worker("a")
    [change] = await tend(again)

    assert before[0].id != again[0].id
    assert len(change.taken) == 256


async def test_a_lease_that_is_renewed_in_time_keeps_its_fence(world):
    worker = await world.worker("a")
    await tend(worker)
    fences = dict(worker[1].fences)

    for _ in range(6):
        await world.pass_time(10, worker[0])
        [change] = await tend(worker)
        assert not change.taken
        assert not change.lost

    assert worker[1].fences == fences


async def test_a_worker_stops_by_its_own_clock_before_its_lease_is_over(world):
    worker = await world.worker("a")
    await tend(worker)
    assert worker[1].are_valid

    world.clock.turn(29)

    assert not worker[1].are_valid


async def test_f102_who_slept_too_long_writes_nothing(world):
    [task_id] = await world.tasks(1, in_memory=True)
    sleeper, taker = [await world.worker(name) for name in "ab"]
    await tend(sleeper)
    fence = sleeper[1].fences[store.bucket_of(task_id)]
    await world.pass_time(40, taker[0])
    await tend(taker)

    notes = Notes(world.database)
    late = await notes.submit(Progress(task_id, fence, Status.RUNNING, 50, "{}", None))
    fresh = await notes.submit(
        Progress(task_id, taker[1].fences[store.bucket_of(task_id)], Status.RUNNING, 60, "{}", None)
    )

    assert (late, fresh) == (False, True)
    assert (await world.rows())[0]["progress"] == 60


async def test_who_slept_too_long_learns_what_it_lost(world):
    sleeper, taker = [await world.worker(name) for name in "ab"]
    await tend(sleeper)
    await world.pass_time(40, taker[0])
    await tend(taker)

    [change] = await tend(sleeper)  # its node is dead too: it has no share

    assert change.lost == frozenset(range(256))
    assert sleeper[1].fences == {}


async def test_two_owners_never_take_up_the_same_row(world):
    first, second = [await world.worker(name) for name in "ab"]
    for _ in range(3):
        await tend(first, second)
    made = await world.tasks(100)

    taken = [
        await world.database.write(lambda tx, node=node: store.take_up(tx, node.id, 1000))
        for node, _ in (first, second)
    ]

    for rows, (_, buckets) in zip(taken, (first, second), strict=True):
        assert {row["bucket"] for row in rows} <= set(buckets.fences)
    assert sorted(row["id"] for rows in taken for row in rows) == sorted(made)
    assert all(row["next_look_at"] is None for row in await world.rows())


async def test_a_row_is_taken_up_when_its_time_has_come(world):
    worker = await world.worker("a")
    await tend(worker)
    await world.tasks(3, look_s=5)

    async def take_up():
        return len(await world.database.write(lambda tx: store.take_up(tx, worker[0].id, 1000)))

    assert await take_up() == 0
    world.clock.turn(6)
    assert await take_up() == 3
    assert await take_up() == 0


def test_tasks_are_spread_over_all_buckets():
    counts = [0] * 256
    for number in range(25_600):
        counts[store.bucket_of(f"{number:018d}")] += 1

    assert min(counts) > 50
    assert max(counts) < 200

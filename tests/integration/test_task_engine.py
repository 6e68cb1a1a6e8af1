"""The task engine against a vendor on a real socket: batches, fairness, cancels, late results, copies, deadlines."""

import asyncio
import io

import pytest
from PIL import Image
from task_support import BATCH_SIZE, COST, MODEL, PRICE, WORKSHOP, Jobs
from tests_support import answer

from yiapi.calls import Node
from yiapi.db.sql import query_of
from yiapi.errors import StorageUnavailable
from yiapi.money import Money
from yiapi.providers.contract import Unit
from yiapi.providers.registry import Registry
from yiapi.tasks import Poller

pytestmark = pytest.mark.anyio

ALL = query_of("all", "SELECT * FROM tasks ORDER BY created_at, id")
PAST = query_of("past", "UPDATE tasks SET deadline_at = now_ms() - 1 WHERE finished_at IS NULL")
COPY_OVER = query_of("copy", "UPDATE tasks SET succeeded_at = deadline_at - 700000, deadline_at = now_ms() - 700000")
HOUR_AGO = query_of("hour", "UPDATE tasks SET finished_at = now_ms() - 3601000 WHERE finished_at IS NOT NULL")
POKE_ENDED = query_of(
    "poke", "UPDATE tasks SET next_look_at = now_ms() WHERE finished_at IS NOT NULL AND bucket IS NOT NULL"
)
OPEN = query_of("open", "SELECT count FROM open_tasks")
COSTS = query_of(
    "costs",
    "SELECT cost, charge, status,"
    " (SELECT CAST(SUM(cost) AS BIGINT) FROM attempts WHERE request_id = requests.id) AS of_attempts"
    " FROM requests ORDER BY created_at, id",
)


@pytest.fixture
def registry():
    return Registry([*Registry.discover().providers.values(), WORKSHOP])


@pytest.fixture
async def jobs(world):
    vendor = Jobs()
    await vendor.start()
    await world.app.station.pricing.edit("workshop", MODEL, Unit.CALL, sell=nano(PRICE), cost=nano(COST), author="test")
    vendor.channel_id = await world.app.channels.create_channel("workshop", "w", vendor.url, ["workshop-credential"])
    await world.app.refresh()
    yield vendor
    vendor.silent.set()
    await world.app.poller.finish()
    await vendor.stop()


def nano(text):
    return Money.parse(text).nano * 1_000_000


def picture():
    file = io.BytesIO()
    Image.linear_gradient("L").save(file, "PNG")
    return file.getvalue()


async def submit(world, name="many", **body):
    accepted = await world.client.post(f"/workshop/v1/{name}", json={"prompt": "a chair"} | body)
    assert accepted.status_code == 200, accepted.text
    return accepted.json()["id"]


async def rows(world):
    return await world.app.database.read(lambda tx: tx.all(ALL))


async def run(world, query):
    await world.app.database.write(lambda tx: tx.run(query))


async def look_again(world):
    """Look at what waits in memory, as if its time had come."""
    poller = world.app.poller
    for line in poller.agenda.lines.values():
        line._paused_until = 0.0
    for bucket in list(poller.agenda._buckets.values()):
        for task in list(bucket.values()):
            if not task.is_busy:
                poller.agenda.look_in(task, 0.0)
    poller.agenda.start_due()
    await poller.finish()


async def test_due_tasks_are_asked_for_in_batches(world, jobs):
    made = await asyncio.gather(*(submit(world) for _ in range(2 * BATCH_SIZE + 3)))

    await world.poll()

    asked = jobs.asked_for("many")
    assert sorted(map(len, asked)) == [3, BATCH_SIZE, BATCH_SIZE]
    assert sorted(one for ids in asked for one in ids) == sorted(jobs.jobs)
    assert jobs.asked_for("one") == []
    assert {row["id"] for row in await rows(world)} == set(made)
    assert {(row["status"], row["progress"]) for row in await rows(world)} == {("running", 10)}


async def test_operations_with_and_without_a_batch_do_not_mix(world, jobs):
    await submit(world)
    await submit(world, "single")

    await world.poll()

    assert jobs.asked_for("many") == [["job-1"]]
    assert jobs.asked_for("one") == [["job-2"]]


async def test_an_unchanged_look_writes_nothing(world, jobs):
    for name in ("many", "single"):
        await submit(world, name)
    await world.poll()
    before, written = await rows(world), []
    write, submit_unit = world.app.database._writer.put, world.app.database._turn_writer.put
    world.app.database._writer.put = lambda unit: (written.append(unit), write(unit))
    world.app.database._turn_writer.put = lambda unit: (written.append(unit), submit_unit(unit))

    for _ in range(3):
        await look_again(world)

    assert len(jobs.asked_for("one")) == len(jobs.asked_for("many")) == 4
    assert written == []
    assert await rows(world) == before


async def test_a_task_that_a_batch_does_not_name_is_asked_for_alone(world, jobs):
    await submit(world)
    await submit(world)
    jobs.hidden = {"job-1"}

    await world.poll()
    await look_again(world)
    jobs.hidden.clear()
    await look_again(world)

    assert jobs.asked_for("one") == [["job-1"]]
    assert {tuple(sorted(ids)) for ids in jobs.asked_for("many")[-1:]} == {("job-1", "job-2")}


@pytest.mark.parametrize(
    "down",
    [
        answer(500, raw=b""),
        answer(404, {"error": "x"}),
        answer(200, raw=b"<html>"),
        answer(200, {"jobs": "many"}),
        answer(200, []),
        answer(200, {"jobs": [None, 7, {"id": ["job-1"]}, {"state": "done"}]}),
    ],
    ids=["500", "404", "html", "no list", "a list", "odd items"],
)
async def test_a_batch_that_cannot_be_used_changes_nothing(world, jobs, down):
    await submit(world)
    await world.poll()
    before = await rows(world)

    jobs.down = down
    for _ in range(4):
        await look_again(world)
    assert await rows(world) == before
    jobs.down = None
    jobs.finish(state="broken")
    await look_again(world)

    assert [row["status"] for row in await rows(world)] == ["failed"]


async def test_a_silent_channel_delays_nobody_else(world, jobs):
    other = Jobs()
    await other.start()
    await world.app.channels.create_channel("workshop", "silent", other.url, ["other-credential"])
    await world.app.channels.disable_channel(jobs.channel_id, "the silent one comes first")
    await submit(world)
    await world.app.channels.enable_channel(jobs.channel_id)
    while not jobs.jobs:
        await submit(world)
    other.silent.clear()
    jobs.finish(state="broken")

    await world.app.database.write(lambda tx: tx.run(DUE))
    await world.app.poller.look_once()
    async with asyncio.timeout(20):
        while not any(row["status"] == "failed" for row in await rows(world)):  # noqa: ASYNC110 - a row tells nobody
            await asyncio.sleep(0)

    assert any(row["status"] != "failed" for row in await rows(world))
    other.silent.set()
    await world.app.poller.finish()
    await other.stop()


DUE = query_of("due", "UPDATE tasks SET next_look_at = now_ms() WHERE bucket IS NOT NULL AND node_id IS NULL")


async def test_a_deadline_does_not_wait_for_a_silent_channel(world, jobs):
    await submit(world)
    await world.poll()
    jobs.silent.clear()
    await world.app.database.write(lambda tx: tx.run(DUE))
    await world.app.poller.look_once()  # its answer does not come

    await run(world, PAST)
    await world.app.database.write(lambda tx: tx.run(DUE))
    await world.app.poller.look_once()

    assert [(row["status"], row["error_code"]) for row in await rows(world)] == [("expired", "timeout")]
    assert (await world.balance()).held == Money(0)


async def test_polls_still_use_a_credential_that_was_taken_out_of_use(world, jobs):
    await submit(world)
    credential_id = (await rows(world))[0]["credential_id"]
    await world.app.channels.disable_credential(credential_id, "refused")
    await world.app.refresh()
    jobs.credentials.clear()

    await world.poll()

    assert jobs.credentials == ["Bearer workshop-credential"]


async def test_what_a_task_cost_is_noted_at_the_attempt_that_made_it(world, jobs):
    await submit(world)
    jobs.finish(files=[])

    await world.poll()

    [row] = await world.rows(COSTS)
    assert row == {
        "cost": Money.parse(COST).nano,
        "charge": Money.parse(PRICE).nano,
        "status": "succeeded",
        "of_attempts": Money.parse(COST).nano,
    }


# Cancelling, and what comes late


async def test_f083_a_cancel_reaches_the_vendor_and_a_late_result_is_recorded_with_its_cost(world, jobs):
    task_id = await submit(world)
    await world.poll()

    cancelled = await world.app.station.tasks.cancel(world.account_id, "live", task_id)
    assert (cancelled.status, (await world.balance()).held) == ("cancelled", Money(0))
    await world.app.poller.look_once()
    await world.app.poller.finish()
    assert jobs.asked_for("stop") == [["job-1"]]

    jobs.finish(files=["late"])
    for _ in range(2):
        await run(world, POKE_ENDED)
        await world.app.poller.look_once()
        await world.app.poller.finish()

    [row] = await rows(world)
    assert (row["status"], row["result"], row["captured"], row["bucket"]) == ("cancelled", None, 0, None)
    cost = Money.parse(COST).nano
    assert await world.rows(COSTS) == [{"cost": cost, "charge": 0, "status": "cancelled", "of_attempts": cost}]
    assert (await world.balance()).posted == Money.parse("10")
    assert jobs.asked_for("stop") == [["job-1"]]


async def test_a_vendor_that_refuses_to_stop_changes_nothing(world, jobs):
    task_id = await submit(world)
    await world.poll()
    await world.app.station.tasks.cancel(world.account_id, "live", task_id)

    jobs.down = answer(409, {"error": "too late"})
    await world.app.poller.look_once()
    await world.app.poller.finish()

    [row] = await rows(world)
    assert (row["status"], row["bucket"] is None) == ("cancelled", False)


async def test_a_result_after_the_deadline_is_recorded_and_not_delivered(world, jobs):
    await submit(world)
    await world.poll()
    await run(world, PAST)
    await world.poll()
    jobs.finish(files=["late"])

    await world.poll()

    [row] = await rows(world)
    assert (row["status"], row["error_code"], row["captured"]) == ("expired", "timeout", 0)
    cost = Money.parse(COST).nano
    assert await world.rows(COSTS) == [{"cost": cost, "charge": 0, "status": "expired", "of_attempts": cost}]


async def test_after_an_hour_nobody_looks_any_more(world, jobs):
    task_id = await submit(world)
    await world.app.station.tasks.cancel(world.account_id, "live", task_id)
    await run(world, HOUR_AGO)
    asked = len(jobs.asked)

    await world.poll()
    await world.poll()

    [row] = await rows(world)
    assert (row["bucket"], len(jobs.asked)) == (None, asked)
    assert len(world.app.poller.agenda) == 0


# Results


async def test_a_success_is_kept_first_and_then_paid(world, jobs):
    await submit(world)
    jobs.files = {"a": picture(), "b": picture()}
    jobs.finish(files=["a", "b"])

    await world.poll()

    [row] = await rows(world)
    assert (row["status"], row["captured"]) == ("succeeded", Money.parse(PRICE).nano)
    task = await world.app.station.tasks.get(world.account_id, "live", row["id"])
    shown = await world.app.station.tasks.shown(task, "r")
    assert all(file["url"].startswith(world.app.settings.public_url) for file in shown["files"])
    assert len(shown["files"]) == 2


async def test_f086_a_full_disk_leaves_the_task_running_and_it_completes_later(world, jobs):
    await submit(world)
    jobs.files = {"a": picture()}
    jobs.finish(files=["a"])
    keeper = world.app.station.assets._keeper
    put, keeper._files.put = keeper._files.put, full

    await world.poll()
    [row] = await rows(world)
    assert (row["status"], row["succeeded_at"] is None, row["captured"]) == ("running", False, 0)
    assert (await world.balance()).held == Money.parse(PRICE)
    keeper._files.put = put
    await look_again(world)

    [row] = await rows(world)
    assert (row["status"], row["captured"]) == ("succeeded", Money.parse(PRICE).nano)


async def full(*_, **__):
    raise StorageUnavailable("no space", retry_after_s=1)


async def test_copies_that_take_too_long_end_the_task(world, jobs):
    await submit(world)
    jobs.files = {"a": picture()}
    jobs.finish(files=["a"])
    world.app.station.assets._keeper._files.put = full
    await world.poll()

    await run(world, COPY_OVER)
    await world.poll()

    [row] = await rows(world)
    assert (row["status"], row["error_code"], row["captured"]) == ("expired", "timeout", 0)


async def test_a_bucket_that_is_lost_while_files_are_copied_is_ended_by_its_next_owner(world, jobs):
    await submit(world)
    jobs.files = {"a": picture()}
    jobs.finish(files=["a"])
    kept, gate = world.app.station.assets.keep, asyncio.Event()

    async def slowly(*given, **options):
        await gate.wait()
        return await kept(*given, **options)

    world.app.station.assets.keep = slowly
    await world.app.database.write(lambda tx: tx.run(DUE))
    await world.app.poller.look_once()
    async with asyncio.timeout(20):
        while not world.app.poller._copier.copies:  # noqa: ASYNC110 - the copy begins by itself
            await asyncio.sleep(0)
    taker = await poller(world)
    await run(world, query_of("dead", "UPDATE nodes SET lease_until = 0 WHERE name = 'gateway-test'"))
    await taker.tend()
    gate.set()
    await world.app.poller.finish()
    [row] = await rows(world)
    assert row["status"] == "running"

    await world.app.database.write(lambda tx: tx.run(DUE))
    await taker.look_once()
    await taker.finish()

    [row] = await rows(world)
    assert row["status"] == "succeeded"
    stored = [path for path in (world.app.settings.data / "assets" / world.account_id).iterdir() if path.is_file()]
    assert len(stored) == 1
    assert (await world.balance()).spent_total == Money.parse(PRICE)


async def poller(world):
    """Another worker in this process."""
    app, station = world.app, world.app.station
    node = await Node.begin(app.database, "other", lease_s=30, clock=app.station.clock)
    return Poller(
        app.database,
        station.tasks,
        app.channels,
        station.exchange,
        station.assets,
        station.pricing,
        station.switches,
        node,
        station.clock,
        app.settings,
    )


async def test_many_ends_leave_the_count_of_open_tasks_exact(world, jobs):
    made = [await submit(world) for _ in range(12)]
    await world.app.station.tasks.cancel(world.account_id, "live", made[0])
    jobs.finish(state="broken")
    jobs.jobs["job-2"].state = "working"

    await world.poll()

    assert await world.rows(OPEN) == [{"count": 1}]
    assert sorted(row["status"] for row in await rows(world)) == ["cancelled"] + ["failed"] * 10 + ["running"]


async def test_a_worker_reads_everything_again_when_it_takes_a_bucket(world, jobs):
    for _ in range(5):
        await submit(world)
    await world.poll()
    await world.app.poller.buckets.leave()
    taker = await poller(world)
    asked = len(jobs.asked)

    await taker.look_once()

    assert len(taker.agenda) == 5
    assert len(jobs.asked) == asked  # looks are spread over their pauses


async def test_what_was_missed_is_found_by_the_walk(world, jobs):
    await submit(world)
    await world.poll()
    agenda = world.app.poller.agenda
    [number] = [number for number in range(256) if agenda.ids(number)]
    agenda.drop_bucket(number)
    assert len(agenda) == 0

    for _ in range(256):
        await world.app.poller._walk()

    assert len(agenda) == 1


async def test_a_running_worker_looks_by_itself(world, jobs):
    working = asyncio.create_task(world.app.poller.run())
    task_id = await submit(world)
    jobs.finish(state="broken")

    task = await world.app.station.tasks.get(world.account_id, "live", task_id)
    ended = await world.app.station.tasks.wait(task, 20)

    assert ended.status == "failed"
    working.cancel()
    await asyncio.wait([working])
    await world.app.poller.drain(1)
    owners = await world.rows(query_of("owners", "SELECT DISTINCT owner FROM task_buckets"))
    assert owners == [{"owner": None}]

"""What a courier does with answers, kills, pauses and dead receivers; the clock is turned, also the database's."""

import asyncio
import json
from dataclasses import replace

import pytest
import standardwebhooks
import time_machine

from yiapi.db.sql import query_of
from yiapi.upstream import FetchFailed, FetchRefused, FetchTimeout, Posted
from yiapi.webhooks import DeadReason, DisabledReason
from yiapi.webhooks.schedule import PAUSES_S

from .conftest import ACCOUNT, OTHER, URL

pytestmark = pytest.mark.anyio

OTHER_URL = "https://other.example.com/hook"


def verify(secret, got, clock):
    with time_machine.travel(clock.now_ms() / 1000, tick=False):
        return standardwebhooks.Webhook(secret).verify(got.body, got.headers)


# One attempt


async def test_a_delivery_is_signed_and_says_what_happened(room):
    _, secret = await room.endpoint()
    await room.put_out(task_id="77")

    await room.deliver()

    [got] = room.receivers.got
    said = verify(secret, got, room.clock)
    assert (said["type"], said["data"]) == ("task.succeeded", {"id": "77"})
    assert got.headers["content-type"] == "application/json"
    assert got.headers["webhook-timestamp"] == str(room.clock.now_ms() // 1000)
    assert got.url == URL


@pytest.mark.parametrize(
    ("answer", "status", "excerpt"),
    [
        pytest.param(500, 500, "", id="500"),
        pytest.param(Posted(404, b"no such\x00 hook", None), 404, r"no such\x00 hook", id="404"),
        pytest.param(301, 301, "", id="301 is not followed"),
        pytest.param(
            FetchTimeout("the request was not done in time"), None, "the request was not done in time", id="slow"
        ),
        pytest.param(FetchFailed("the peer closed it"), None, "the peer closed it", id="reset"),
        pytest.param(FetchRefused("it leads inside"), None, "it leads inside", id="F091 private by now"),
        pytest.param(RuntimeError("a bug"), None, "The station could not send it.", id="a mistake of ours"),
    ],
)
async def test_f090_a_failed_attempt_is_listed_and_followed_by_another(room, answer, status, excerpt):
    await room.endpoint()
    await room.put_out()
    room.receivers.answers = [answer]
    began_ms = room.clock.now_ms()

    await room.deliver()

    failed = await room.only()
    assert failed.status == "pending"
    assert [(one.time, one.status, one.excerpt) for one in failed.attempts] == [(began_ms, status, excerpt)]
    assert failed.next_attempt_at == began_ms + 5000

    room.clock.turn(5)
    await room.deliver()
    assert (await room.only()).status == "delivered"
    assert len(set(room.receivers.ids())) == 1
    assert len({got.headers["webhook-timestamp"] for got in room.receivers.got}) == 2


async def test_f090_200_is_the_end(room):
    await room.endpoint()
    await room.put_out()

    await room.deliver()
    room.clock.turn(80 * 3600)
    await room.deliver()

    assert len(room.receivers.got) == 1
    delivered = await room.only()
    assert (delivered.status, delivered.next_attempt_at) == ("delivered", None)
    assert [one.status for one in delivered.attempts] == [200]


async def test_f090_410_switches_the_endpoint_off(room):
    endpoint, _ = await room.endpoint()
    await room.put_out(task_id="1")
    room.receivers.answers = [410]
    await room.deliver()
    await room.put_out(task_id="2")

    await room.deliver()

    assert len(room.receivers.got) == 1
    gone = await room.only()
    assert (gone.status, gone.dead_reason) == ("dead", DeadReason.GONE)
    found = await room.webhooks.endpoint(ACCOUNT, "live", endpoint.id)
    assert (found.enabled, found.disabled_reason) == (False, DisabledReason.GONE)
    assert "webhook_endpoint.disable" in await room.audit()


async def test_the_excerpt_is_short_and_has_no_secret(room):
    await room.endpoint()
    await room.put_out()
    room.receivers.answers = [Posted(500, b"key sk-live-abcdefghijklmnop " + b"x " * 30000, None)]

    await room.deliver()

    excerpt = (await room.only()).attempts[0].excerpt
    assert len(excerpt) <= 200
    assert "abcdefgh" not in excerpt


# The whole schedule


async def test_f092_an_endpoint_that_is_dead_for_the_whole_schedule(room):
    endpoint, _ = await room.endpoint()
    room.receivers.always = {URL: 500}
    began_ms = room.clock.now_ms()
    await room.put_out()

    await room.deliver()
    for pause_s in PAUSES_S:
        room.clock.turn(pause_s - 1)
        assert await room.deliver() == 0
        room.clock.turn(1)
        assert await room.deliver() == 1

    dead = await room.only()
    times_s = [(one.time - began_ms) / 1000 for one in dead.attempts]
    assert (dead.status, dead.dead_reason) == ("dead", DeadReason.ATTEMPTS_USED)
    assert len(times_s) == 10
    assert times_s[-1] == sum(PAUSES_S) == 75 * 3600 + 35 * 60 + 5
    found = await room.webhooks.endpoint(ACCOUNT, "live", endpoint.id)
    assert (found.enabled, found.disabled_reason) == (False, DisabledReason.FAILING)
    assert "webhook_endpoint.disable" in await room.audit()
    room.clock.turn(1000 * 3600)
    assert await room.deliver() == 0


async def test_f092_the_dead_can_be_replayed_and_begin_a_new_round(room):
    await room.endpoint()
    room.receivers.always = {URL: 500}
    await room.put_out()
    await _use_up(room)
    dead = await room.only()
    await room.webhooks.change_endpoint(ACCOUNT, "live", dead.endpoint_id, _switched_on, actor="key_1")
    await room.webhooks.replay(ACCOUNT, "live", dead.id)

    assert await room.deliver() == 1
    assert (await room.only()).next_attempt_at == room.clock.now_ms() + 5000
    room.receivers.always = {}
    room.clock.turn(5)
    await room.deliver()

    delivered = await room.only()
    assert delivered.status == "delivered"
    assert len(delivered.attempts) == 12
    assert len(set(room.receivers.ids())) == 1


async def test_f092_an_endpoint_where_something_else_arrived_meanwhile_stays_on(room):
    endpoint, _ = await room.endpoint()
    await room.put_out(task_id="unlucky")
    room.receivers.always = {URL: 500}
    await room.deliver()
    room.receivers.always = {}
    room.clock.turn(1)
    await room.put_out(task_id="lucky")
    await room.deliver()
    room.receivers.always = {URL: 500}

    await _use_up(room)

    assert sorted(await room.statuses()) == ["dead", "delivered"]
    assert (await room.webhooks.endpoint(ACCOUNT, "live", endpoint.id)).enabled


async def test_a_failing_endpoint_takes_what_waits_for_it_along(room):
    await room.endpoint()
    room.receivers.always = {URL: 500}
    await room.put_out(task_id="old")
    await room.deliver()
    room.clock.turn(3600)
    await room.put_out(task_id="young")

    await _use_up(room)

    reasons = {one.task_id: one.dead_reason for one in await room.deliveries()}
    assert reasons == {"old": DeadReason.ATTEMPTS_USED, "young": DeadReason.ENDPOINT_DISABLED}


async def _use_up(room):
    """Let time go by until nothing is tried any more."""
    while any(one.status == "pending" for one in await room.deliveries()):
        room.clock.turn(60)
        waiting = [one.next_attempt_at for one in await room.deliveries() if one.next_attempt_at is not None]
        room.clock.turn(max((min(waiting) - room.clock.now_ms()) / 1000, 0))
        await room.deliver()


def _switched_on(endpoint):
    return replace(endpoint, enabled=True)


# Kills and pauses


async def test_f093_a_kill_after_delivery_and_before_marking_delivers_again_under_the_same_id(room):
    await room.endpoint()
    await room.put_out()
    room.receivers.gate = asyncio.Event()
    await room.courier.deliver_once()
    await room.receivers.arrived.wait()
    for attempt in list(room.courier._under_way):
        attempt.cancel()  # the process ends: the receiver has it, and nothing was written
    await room.courier.finish()
    room.receivers.gate = None
    survivor = room.another_courier()
    assert await room.deliver(survivor) == 0

    room.clock.turn(30)
    assert await room.deliver(survivor) == 1

    assert len(room.receivers.got) == 2
    assert len(set(room.receivers.ids())) == 1
    assert (await room.only()).status == "delivered"


async def test_f102_a_courier_that_was_away_too_long_changes_nothing(room):
    await room.endpoint()
    await room.put_out()
    room.receivers.gate = asyncio.Event()
    room.receivers.answers = [500]
    await room.courier.deliver_once()
    await room.receivers.arrived.wait()
    room.clock.turn(60)
    sleeper, room.receivers.gate = room.receivers.gate, None
    room.receivers.answers = []
    await room.deliver(room.another_courier())
    room.receivers.answers = [500]

    sleeper.set()
    await room.courier.finish()

    delivered = await room.only()
    assert (delivered.status, delivered.next_attempt_at) == ("delivered", None)
    assert [one.status for one in delivered.attempts] == [200]


async def test_two_couriers_never_have_the_same_delivery(room):
    await room.endpoint()
    for number in range(40):
        await room.put_out(task_id=str(number))
    couriers = [room.courier, room.another_courier()]

    while sum(await asyncio.gather(*(courier.deliver_once() for courier in couriers))):
        for courier in couriers:
            await courier.finish()

    assert len(room.receivers.got) == 40
    assert len(set(room.receivers.ids())) == 40


async def test_a_replay_of_what_is_on_its_way_is_sent_again(room):
    await room.endpoint()
    await room.put_out()
    room.receivers.gate = asyncio.Event()
    await room.courier.deliver_once()
    await room.receivers.arrived.wait()

    await room.webhooks.replay(ACCOUNT, "live", (await room.only()).id)
    room.receivers.gate.set()
    await room.courier.finish()
    await room.deliver()

    assert len(room.receivers.got) == 2
    assert (await room.only()).status == "delivered"


async def test_an_endpoint_deleted_while_something_is_due_gets_nothing(room):
    await room.endpoint()
    await room.put_out()
    gone = query_of("gone", "DELETE FROM webhook_endpoints")  # as seen by a task's end that read it a moment before
    await room.database.write(lambda tx: tx.run(gone))

    await room.deliver()

    assert room.receivers.got == []
    assert (await room.only()).dead_reason == DeadReason.ENDPOINT_DELETED


# Secrets


async def test_f094_after_a_rotation_both_secrets_verify_for_a_day(room):
    endpoint, older = await room.endpoint()
    await room.put_out(task_id="1")
    _, newer = await room.webhooks.rotate_secret(ACCOUNT, "live", endpoint.id, actor="key_1")

    await room.deliver()
    for secret in (older, newer):
        verify(secret, room.receivers.got[-1], room.clock)

    room.clock.turn(24 * 3600 - 1)
    await room.put_out(task_id="2")
    await room.deliver()
    for secret in (older, newer):
        verify(secret, room.receivers.got[-1], room.clock)

    room.clock.turn(2)
    await room.put_out(task_id="3")
    await room.deliver()
    verify(newer, room.receivers.got[-1], room.clock)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verify(older, room.receivers.got[-1], room.clock)


async def test_f094_many_rotations_leave_five_signatures(room):
    endpoint, first = await room.endpoint()
    made = [first]
    for _ in range(7):
        room.clock.turn(1)
        made.append((await room.webhooks.rotate_secret(ACCOUNT, "live", endpoint.id, actor="key_1"))[1])
    await room.put_out()

    await room.deliver()

    assert len(room.receivers.got[0].headers["webhook-signature"].split()) == 5
    for secret in made[-5:]:
        verify(secret, room.receivers.got[0], room.clock)


# A task's own hook


async def test_a_tasks_own_hook_is_signed_once_there_is_a_secret(room):
    await room.put_out_hook(task_id="1")
    await room.deliver()
    secret = await room.webhooks.new_hook_secret(ACCOUNT, "live", actor="key_1")
    await room.webhooks.new_hook_secret(OTHER, "live", actor="key_2")
    await room.put_out_hook(task_id="2")

    await room.deliver()

    plain, signed = room.receivers.got
    assert plain.headers.keys() >= {"webhook-id", "webhook-timestamp"}
    assert "webhook-signature" not in plain.headers
    assert verify(secret, signed, room.clock) == {"status": "SUCCESS"}
    assert {one.endpoint_id for one in await room.deliveries()} == {None}
    assert (await room.deliveries())[0].data == {"status": "SUCCESS"}


async def test_a_tasks_own_hook_has_the_same_schedule(room):
    await room.put_out_hook()
    room.receivers.always = {URL: 500}

    await _use_up(room)

    dead = await room.only()
    assert (len(dead.attempts), dead.dead_reason) == (10, DeadReason.ATTEMPTS_USED)


async def test_410_ends_a_tasks_own_hook(room):
    await room.put_out_hook()
    room.receivers.answers = [410]

    await room.deliver()
    room.clock.turn(80 * 3600)
    await room.deliver()

    assert len(room.receivers.got) == 1
    assert (await room.only()).dead_reason == DeadReason.GONE


@pytest.mark.parametrize(("answer", "is_there"), [(200, True), (500, True), (410, False)])
async def test_what_is_told_once_is_tried_once_and_not_kept(room, answer, is_there):
    room.receivers.answers = [answer]

    heard = await room.webhooks.tell_once(ACCOUNT, "live", URL, json.dumps({"status": "IN_PROGRESS"}))

    assert heard is is_there
    assert len(room.receivers.got) == 1
    assert await room.deliveries() == []


# Others


async def test_a_receiver_that_asks_for_time_gets_it_and_delays_nobody_else(room):
    await room.endpoint()
    await room.endpoint(OTHER, OTHER_URL)
    await room.put_out(task_id="1")
    room.receivers.always = {URL: Posted(429, b"", 120.0)}
    await room.deliver()
    await room.put_out(task_id="2")
    await room.put_out(OTHER)

    await room.deliver()
    assert [got.url for got in room.receivers.got] == [URL, OTHER_URL]
    room.clock.turn(119)
    assert await room.deliver() == 0

    room.receivers.always = {}
    room.clock.turn(2)
    assert await room.deliver() == 2
    assert await room.statuses() == ["delivered", "delivered"]


async def test_f095_ten_thousand_events_for_a_dead_endpoint_delay_nobody(room):
    await room.endpoint()
    await room.endpoint(OTHER, OTHER_URL)
    for _ in range(3):
        await room.put_out()
    await _multiply(room, 10_000)
    dead = asyncio.Event()
    room.receivers.gate = dead
    assert 0 < await room.courier.deliver_once() <= 32
    while await room.courier.deliver_once():
        pass
    hung = len(room.receivers.got)

    room.receivers.gate = None
    room.receivers.arrived.clear()
    await room.put_out(OTHER)
    assert await room.courier.deliver_once() == 1
    await room.receivers.arrived.wait()

    assert len(room.receivers.got) == hung + 1
    assert room.receivers.got[-1].url == OTHER_URL
    dead.set()
    await room.courier.finish()


async def _multiply(room, count):
    """Write many deliveries that look like the first."""
    copy = query_of(
        "copy",
        "INSERT INTO deliveries (id, account_id, mode, lane, endpoint_id, task_id, url, event_id, event_type, body,"
        " status, attempts, tries, round_began_at, next_attempt_at, fence, created_at)"
        " SELECT CAST(:id AS TEXT), account_id, mode, lane, endpoint_id, task_id, url, event_id, event_type, body,"
        " status, attempts, tries, round_began_at, next_attempt_at, fence, created_at FROM deliveries LIMIT 1",
    )
    rows = [{"id": f"dlv_{number}"} for number in range(count)]
    for at in range(0, count, 1000):
        await room.database.write(lambda tx, at=at: tx.run_many(copy, rows[at : at + 1000]))


async def test_a_courier_at_work_is_woken_by_what_is_put_out(room):
    await room.endpoint()
    working = asyncio.create_task(room.courier.run())

    await room.put_out()
    room.webhooks.wake.set()

    async with asyncio.timeout(5):
        await room.receivers.arrived.wait()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await room.courier.finish()
    assert await room.statuses() == ["delivered"]


async def test_f101_a_courier_that_goes_delivers_what_is_due_first(room):
    await room.endpoint()
    for number in range(40):
        await room.put_out(task_id=str(number))

    await room.courier.flush()
    await room.courier.finish()

    assert len(set(room.receivers.ids())) == 40
    assert await room.statuses() == ["delivered"] * 40

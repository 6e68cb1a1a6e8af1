"""Hooks of a whole gateway on real sockets, with receivers that fail as they are told, on both databases."""

import asyncio
import json
import time
from contextlib import asynccontextmanager

import pytest
import standardwebhooks
from tests_support import Vendor, answer, bytes_of, hang, reset

from yiapi.channels import Routing
from yiapi.db.sql import query_of
from yiapi.tasks import store
from yiapi.webhooks import signing

pytestmark = pytest.mark.anyio

DUE_NOW = query_of("now", "UPDATE deliveries SET next_attempt_at = now_ms() WHERE next_attempt_at IS NOT NULL")
FAR_OFF = query_of("far", "UPDATE tasks SET next_look_at = now_ms() + 3600000 WHERE next_look_at IS NOT NULL")
TASKS = query_of("tasks", "SELECT *, now_ms() AS now FROM tasks")
OK = answer(200, {"thanks": True})


def kling(status, **data):
    return answer(200, {"code": 0, "message": "SUCCEED", "data": {"task_id": "v-1", "task_status": status} | data})


@pytest.fixture
async def receiver():
    receiver = Vendor()
    receiver.otherwise = OK
    await receiver.start()
    yield receiver
    await receiver.stop()


async def submit(world, **body):
    accepted = await world.client.post("/kling/v1/videos/text2video", json={"prompt": "a cat"} | body)
    assert accepted.status_code == 200, accepted.text
    return accepted.json()["data"]["task_id"]


async def fail(world, **body):
    """Submit a task and let the vendor fail it."""
    world.vendor.script = [kling("submitted"), kling("failed", task_status_msg="no")]
    task_id = await submit(world, **body)
    await world.poll()
    return task_id


async def endpoint(world, url, **fields):
    made = await world.client.post("/v1/webhook_endpoints", json={"url": url} | fields)
    assert made.status_code == 201, made.text
    return made.json()


async def deliver(world):
    await world.app.courier.deliver_once()
    await world.app.courier.finish()


async def deliveries(world):
    return (await world.client.get("/v1/webhook_deliveries")).json()["data"]


@asynccontextmanager
async def courier_at_work(world):
    working = asyncio.create_task(world.app.courier.run())
    try:
        yield
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def arrived(receiver, count=1):
    """Wait until so many requests have come."""
    async with asyncio.timeout(10):
        while len(receiver.got) < count:
            receiver.arrived.clear()
            await receiver.arrived.wait()


async def test_an_endpoint_hears_of_an_end(world, receiver):
    made = await endpoint(world, receiver.url + "/hook?a=b")
    task_id = await fail(world)

    await deliver(world)

    [got] = receiver.got
    said = standardwebhooks.Webhook(made["secret"]).verify(got.body, got.headers)
    assert got.path == "/hook?a=b"
    assert said["data"] == (await world.client.get(f"/v1/tasks/{task_id}")).json()
    assert (said["type"], said["data"]["error"]["code"]) == ("task.failed", "task_failed")
    assert got.headers["content-type"] == "application/json"
    assert "authorization" not in got.headers
    [delivery] = await deliveries(world)
    assert delivery["status"] == "delivered"
    assert [one["excerpt"] for one in delivery["attempts"]] == ['{"thanks": true}']
    assert delivery["event"]["id"] == got.headers["webhook-id"]


async def test_a_tasks_own_hook_gets_its_dialect_and_a_signature_once_there_is_a_secret(world, receiver):
    await fail(world, callback_url=receiver.url + "/own")
    await deliver(world)
    secret = (await world.client.post("/v1/hook_secret")).json()["secret"]
    task_id = await fail(world, callback_url=receiver.url + "/own")

    await deliver(world)

    plain, signed = receiver.got
    assert "webhook-signature" not in plain.headers
    assert plain.headers["webhook-id"] != signed.headers["webhook-id"]
    body = standardwebhooks.Webhook(secret).verify(signed.body, signed.headers)
    assert (body["task_id"], body["task_status"], body["task_status_msg"]) == (task_id, "failed", "no")
    assert [one["endpoint_id"] for one in await deliveries(world)] == [None, None]


@pytest.mark.parametrize(
    ("act", "status"),
    [
        pytest.param(answer(500, {}), 500, id="500"),
        pytest.param(answer(404, {}), 404, id="404"),
        pytest.param(reset(), None, id="reset"),
        pytest.param(bytes_of(b"", then="close"), None, id="no answer"),
        pytest.param(bytes_of(b"SSH-2.0-x\r\n\r\n"), None, id="another protocol"),
        pytest.param(answer(301, {}, headers={"location": "/elsewhere"}), 301, id="301"),
        pytest.param(answer(307, {}, headers={"location": "http://127.0.0.1:1/"}), 307, id="307"),
    ],
)
async def test_f090_a_failure_is_listed_and_tried_again(world, receiver, act, status):
    await endpoint(world, receiver.url)
    await fail(world)
    receiver.script = [act]

    await deliver(world)

    [failed] = await deliveries(world)
    assert (failed["status"], [one["status"] for one in failed["attempts"]]) == ("pending", [status]), failed
    assert len(receiver.got) == 1, failed  # a redirect is not followed
    await world.app.database.write(lambda tx: tx.run(DUE_NOW))
    await deliver(world)
    [delivered] = await deliveries(world)
    assert (delivered["status"], len(delivered["attempts"])) == ("delivered", 2), delivered
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 1


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(answer(200, raw=b"x" * 300_000), id="more than 64 KiB"),
        pytest.param(bytes_of(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nthanks"), id="cut"),
        pytest.param(answer(204, raw=b""), id="204"),
    ],
)
async def test_f090_2xx_is_success_whatever_the_body(world, receiver, act):
    await endpoint(world, receiver.url)
    await fail(world)
    receiver.script = [act]

    await deliver(world)

    [delivered] = await deliveries(world)
    assert delivered["status"] == "delivered"
    assert len(delivered["attempts"][0]["excerpt"]) <= 200


async def test_f090_410_switches_the_endpoint_off(world, receiver):
    made = await endpoint(world, receiver.url)
    await fail(world)
    receiver.script = [answer(410, {})]

    await deliver(world)

    found = (await world.client.get(f"/v1/webhook_endpoints/{made['id']}")).json()
    assert (found["enabled"], found["disabled_reason"]) == (False, "gone")
    listed = await deliveries(world)
    assert [(one["status"], one["dead_reason"]) for one in listed] == [("dead", "gone")], listed


async def test_f091_a_name_that_leads_inside_by_now_is_called_no_more(world, receiver, names):
    names.addresses["rebound.example.com"] = ["93.184.215.14"]
    await endpoint(world, "https://rebound.example.com/hook")
    await fail(world)
    names.addresses["rebound.example.com"] = ["127.0.0.1"]

    await deliver(world)

    [failed] = await deliveries(world)
    assert [one["status"] for one in failed["attempts"]] == [None]
    assert "not public" in failed["attempts"][0]["excerpt"]
    assert receiver.got == []


async def test_f091_a_hook_whose_name_leads_inside_is_refused_with_the_submission(world, names):
    names.addresses["inside.example.com"] = ["93.184.215.14", "10.0.0.7"]

    for url in ("https://inside.example.com/", "https://nowhere.invalid/"):
        refused = await world.client.post("/kling/v1/videos/text2video", json={"prompt": "a", "callback_url": url})
        assert refused.status_code == 400
    assert world.calls_upstream == 0
    assert await world.open_holds() == []


async def test_p8_the_first_attempt_comes_soon_after_the_end(world, receiver):
    await endpoint(world, receiver.url)
    async with courier_at_work(world):
        await fail(world)
        began = time.monotonic()
        await arrived(receiver)
        assert time.monotonic() - began < 2


async def test_c20_a_dead_receiver_with_ten_thousand_events_delays_nobody_else(world, receiver):
    dead = Vendor()
    dead.otherwise = hang()
    await dead.start()
    await fail(world, callback_url=dead.url)
    await _multiply(world, 10_000)
    await endpoint(world, receiver.url)

    async with courier_at_work(world):
        await arrived(dead, 16)
        began = time.monotonic()
        await fail(world)
        await arrived(receiver)
        assert time.monotonic() - began < 5
        assert len(dead.got) <= 32
        await dead.stop()


async def _multiply(world, count):
    """Write many deliveries that look like the one that is there."""
    copy = query_of(
        "copy",
        "INSERT INTO deliveries (id, account_id, mode, lane, endpoint_id, task_id, url, event_id, event_type, body,"
        " status, attempts, tries, round_began_at, next_attempt_at, fence, created_at)"
        " SELECT CAST(:id AS TEXT), account_id, mode, lane, endpoint_id, task_id, url, event_id, event_type, body,"
        " status, attempts, tries, round_began_at, next_attempt_at, fence, created_at FROM deliveries LIMIT 1",
    )
    for at in range(0, count, 1000):
        rows = [{"id": f"dlv_{number}"} for number in range(at, at + 1000)]
        await world.app.database.write(lambda tx, rows=rows: tx.run_many(copy, rows))


# Before the end


async def task_row(world):
    rows = await world.rows(TASKS)
    return store.task_of(rows[-1])


async def tell(world):
    task = await task_row(world)
    world.app.station.tasks.outbox.tell_soon(task.id, task.account_id)
    await told(world)


async def told(world):
    await world.app.station.tasks.outbox.finish()


async def test_a_change_before_the_end_is_told_once_and_not_kept(world, receiver):
    world.vendor.script = [kling("submitted"), kling("processing")]
    secret = (await world.client.post("/v1/hook_secret")).json()["secret"]
    await submit(world, callback_url=receiver.url)
    receiver.script = [answer(500, {})]

    await world.poll()
    await told(world)

    [got] = receiver.got
    assert standardwebhooks.Webhook(secret).verify(got.body, got.headers)["task_status"] == "processing"
    assert await deliveries(world) == []


async def test_a_dialect_that_tells_of_the_status_says_nothing_of_progress(world, receiver):
    world.vendor.script = [kling("submitted"), kling("processing"), kling("processing")]
    await submit(world, callback_url=receiver.url)

    for _ in range(2):
        await world.poll()
        await told(world)

    assert len(receiver.got) == 1


async def test_410_before_the_end_ends_the_hook(world, receiver):
    world.vendor.script = [kling("submitted"), kling("processing"), kling("failed")]
    await submit(world, callback_url=receiver.url)
    receiver.script = [answer(410, {})]

    await world.poll()
    await told(world)
    await tell(world)
    await world.poll()
    await deliver(world)

    assert len(receiver.got) == 1
    assert await deliveries(world) == []


async def test_of_an_ended_task_only_the_end_is_told(world, receiver):
    task = await fail(world, callback_url=receiver.url)

    await tell(world)

    assert receiver.got == []
    assert [one["task_id"] for one in await deliveries(world)] == [task]


# Callbacks of vendors


@pytest.fixture
async def hinted(world):
    """A channel whose vendor is asked to call, and a task there that nobody looks at for an hour."""
    channel_id = await _only_channel(world, {"callbacks": "on"})
    world.vendor.script = [kling("submitted")]
    await submit(world)
    await world.app.database.write(lambda tx: tx.run(FAR_OFF))
    world.app.channel_id = channel_id
    return json.loads(world.vendor.got[-1].body)["callback_url"]


async def _only_channel(world, settings):
    [channel] = [one for one in await world.app.channels.list_channels() if one.provider == "kling"]
    await world.app.channels.update_channel(channel.id, routing=Routing(settings=settings))
    await world.app.refresh()
    return channel.id


async def call(world, url, **options):
    path = url.partition(str(world.app.settings.public_url))[2]
    return await world.client.post(path, headers={"authorization": ""} | options.pop("headers", {}), **options)


async def is_due(world):
    row = (await world.rows(TASKS))[-1]
    return row["status"] == "queued" and row["next_look_at"] is not None and row["next_look_at"] <= row["now"]


async def test_callbacks_are_off_unless_the_channel_wants_them(world):
    world.vendor.script = [kling("submitted"), kling("submitted")]
    await submit(world)
    channel_id = await _only_channel(world, {"callbacks": "off"})
    await submit(world)

    for got in world.vendor.got:
        assert "callback_url" not in json.loads(got.body)
    assert (await world.client.post(f"/callbacks/{channel_id}/x", json={})).status_code == 404


async def test_a_callers_hook_stays_here_and_ours_goes_up(world, receiver):
    await _only_channel(world, {"callbacks": "on"})
    world.vendor.script = [kling("submitted")]

    await submit(world, callback_url=receiver.url)

    sent = json.loads(world.vendor.got[-1].body)["callback_url"]
    assert sent.startswith(f"{world.app.settings.public_url}/callbacks/")
    assert len(sent.rpartition("/")[2]) >= 32


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"task_id": "v-1", "task_status": "succeed"}, id="flat"),
        pytest.param({"data": [{"task": {"id": "v-1"}}]}, id="deep"),
        pytest.param({"hello": "world"}, id="nameless: the channel's open tasks"),
    ],
)
async def test_s9_a_callback_makes_a_task_due_and_changes_nothing_else(world, hinted, body):
    before = dict((await world.rows(TASKS))[-1])

    said = await call(world, hinted, json=body)

    assert said.status_code == 200
    assert await is_due(world)
    after = dict((await world.rows(TASKS))[-1])
    changed = {name for name in after if after[name] != before[name]} - {"now"}
    assert changed == {"next_look_at"}


async def test_f084_a_callback_after_the_end_changes_nothing(world, hinted):
    world.vendor.script = [kling("failed", task_status_msg="no")]
    await world.poll()
    before = dict((await world.rows(TASKS))[-1])

    for status in ("processing", "succeed", "failed"):
        assert (await call(world, hinted, json={"task_id": "v-1", "task_status": status})).status_code == 200

    assert dict((await world.rows(TASKS))[-1]) | {"now": 0} == before | {"now": 0}


async def test_f084_the_same_callback_twice_schedules_one_look(world, hinted):
    body = {"task_id": "v-1", "task_status": "processing"}
    await call(world, hinted, json=body)
    await world.app.database.write(lambda tx: tx.run(FAR_OFF))

    again = await call(world, hinted, json=body)

    assert again.status_code == 200
    assert not await is_due(world)


@pytest.mark.parametrize("forge", ["token", "case", "channel", "sandbox", "shorter"])
async def test_f085_a_forged_callback_is_refused(world, hinted, forge):
    front, _, token = hinted.rpartition("/")
    forged = {
        "token": f"{front}/{'A' * len(token)}",
        "case": f"{front}/{token.swapcase()}",
        "channel": hinted.replace(world.app.channel_id, "chan_other"),
        "sandbox": hinted.replace(world.app.channel_id, "chan_sandbox_kling"),
        "shorter": hinted[:-1],
    }[forge]

    refused = await call(world, forged, json={"task_id": "v-1"})

    assert refused.status_code == 404
    assert token not in refused.text
    assert not await is_due(world)


async def test_f085_another_word_in_the_settings_makes_the_old_address_worthless(world, hinted):
    await _only_channel(world, {"callbacks": "again"})

    assert (await call(world, hinted, json={"task_id": "v-1"})).status_code == 404


@pytest.mark.parametrize("body", [b"x" * (64 * 1024 + 1), b"[" * 70_000])
async def test_a_callback_of_more_than_64_kib_is_refused(world, hinted, body):
    assert (await call(world, hinted, content=body)).status_code == 413
    assert not await is_due(world)


async def test_f085_a_long_forged_callback_is_refused_unread(world, hinted):
    path = hinted.partition(world.app.settings.public_url)[2][:-5] + "AAAAA"
    reader, writer = await asyncio.open_connection("127.0.0.1", int(world.base_url.rpartition(":")[2]))
    writer.write(f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 5000000\r\n\r\nbegin".encode())

    async with asyncio.timeout(5):
        answer_line = await reader.readline()  # the rest of the body never comes

    assert b" 404 " in answer_line
    writer.close()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"[" * 20_000, b'"\\ud800"', b'{"a":"v-1\\u0000"}', b"1" * 5000]
)
async def test_s6_an_odd_callback_is_no_500(world, hinted, body):
    assert (await call(world, hinted, content=body)).status_code == 200


async def test_s9_where_the_vendor_signs_an_unsigned_callback_does_nothing(world, hinted):
    secret = signing.new_secret()
    await _only_channel(world, {"callbacks": "on", "callback_secret": secret})
    body, now_s = b'{"task_id":"v-1"}', int(time.time())
    signed = {name.decode(): value.decode() for name, value in signing.signed_headers([secret], "m-1", now_s, body)}
    forged = {
        "unsigned": {},
        "wrong": signed | {"webhook-signature": "v1,AAAA"},
        "old": {
            name.decode(): value.decode() for name, value in signing.signed_headers([secret], "m-1", now_s - 400, body)
        },
    }
    for headers in forged.values():
        assert (await call(world, hinted, content=body, headers=headers)).status_code == 401
        assert not await is_due(world)

    assert (await call(world, hinted, content=body, headers=signed)).status_code == 200
    assert await is_due(world)
    await world.app.database.write(lambda tx: tx.run(FAR_OFF))
    assert (await call(world, hinted, content=body, headers=signed)).status_code == 200  # replayed
    assert not await is_due(world)


async def test_a_task_that_a_worker_has_in_memory_is_taken_up_again(world, hinted):
    taken_up = query_of("taken", "UPDATE tasks SET next_look_at = NULL")
    await world.app.database.write(lambda tx: tx.run(taken_up))

    await call(world, hinted, json={"task_id": "v-1"})

    assert await is_due(world)


async def test_a_task_that_is_being_submitted_is_left_alone(world, hinted):
    submitting = query_of("submitting", "UPDATE tasks SET next_look_at = NULL, node_id = 'node_other'")
    await world.app.database.write(lambda tx: tx.run(submitting))

    await call(world, hinted, json={"task_id": "v-1"})

    assert not await is_due(world)


async def test_messages_of_vendors_are_forgotten_after_a_week(world, hinted):
    await call(world, hinted, json={"task_id": "v-1"})
    old = query_of("old", "UPDATE vendor_callbacks SET seen_at = seen_at - 604800001")
    await world.app.database.write(lambda tx: tx.run(old))

    await world.app.station.callbacks.forget()

    assert await world.rows(query_of("seen", "SELECT * FROM vendor_callbacks")) == []

"""What a task does when vendors, callers and clocks misbehave. Numbers are those of the fault catalogue."""

import asyncio

import pytest
from tests_support import answer, bytes_of, hang, reset

from yiapi.db.sql import query_of
from yiapi.errors import NotCancellable
from yiapi.ledger import NewHold, take_hold, wallet_of
from yiapi.money import Money
from yiapi.providers.contract import Unit, Usage
from yiapi.tasks import NewTask, new_task_id, store

pytestmark = pytest.mark.anyio

HELD = Money.parse("0.14")  # five seconds of kling-v1
DUE = query_of("due", "UPDATE tasks SET next_look_at = now_ms() WHERE bucket IS NOT NULL")
OTHER_HANDS = query_of("hands", "UPDATE task_buckets SET fence = fence + 1")
PAST_DEADLINE = query_of("past", "UPDATE tasks SET deadline_at = now_ms() - 1")
LONG_AGO = query_of("ago", "UPDATE tasks SET started_at = now_ms() - 400000, created_at = now_ms() - 400000")
TAKEN_OVER = query_of("taken", "UPDATE tasks SET status = 'unknown', node_id = NULL, next_look_at = now_ms()")
LOOKED = query_of("looked", "UPDATE tasks SET started_at = now_ms() - 31000")


def task(status, **data):
    body = {
        "code": 0,
        "message": "SUCCEED",
        "request_id": "r",
        "data": {"task_id": "v-1", "task_status": status} | data,
    }
    return answer(200, body)


def film(url):
    return task("succeed", task_result={"videos": [{"id": "v", "url": url, "duration": "5.0"}]})


async def submit(world, **body):
    accepted = await world.client.post("/kling/v1/videos/text2video", json={"prompt": "a cat"} | body)
    assert accepted.status_code == 200, accepted.text
    return accepted.json()["data"]["task_id"]


async def row(world):
    return (await world.app.database.read(lambda tx: [store.task_of(one) for one in tx.all(store_all())]))[0]


def store_all():
    return query_of("all", "SELECT *, now_ms() AS now FROM tasks")


async def assert_released(world, status, code):
    ended = await row(world)
    assert (ended.status, ended.error_code) == (status, code)
    balance = await world.balance()
    assert balance.posted == balance.available == Money.parse("10")
    assert await world.open_holds() == []


@pytest.mark.parametrize(
    "unclear",
    [
        pytest.param(reset(), id="reset"),
        pytest.param(answer(500, raw=b"<html>"), id="500 without envelope"),
        pytest.param(answer(504, {"code": 5002, "message": "x"}), id="504"),
        pytest.param(answer(408, {"code": 1, "message": "x"}), id="408"),
        pytest.param(answer(200, raw=b"{"), id="unreadable"),
        pytest.param(bytes_of(b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{"), id="cut"),
    ],
)
async def test_an_unclear_submission_is_accepted_and_never_sent_again(world, unclear):
    world.vendor.script = [unclear]

    await submit(world)

    assert (await row(world)).status == "unknown"
    assert world.calls_upstream == 1
    assert (await world.balance()).held == HELD
    world.vendor.otherwise = answer(404, {"code": 1203, "message": "unknown"})
    await world.app.database.write(lambda tx: tx.run(LONG_AGO))
    await world.poll()
    await assert_released(world, "expired", "submission_unknown")


async def test_f079_an_unclear_submission_is_found_by_our_reference(world):
    world.vendor.script = [reset(), task("processing")]
    task_id = await submit(world)

    await world.poll()

    assert world.vendor.got[1].path == f"/v1/videos/text2video/{task_id}"
    assert (await row(world)).status == "running"
    assert [got.method for got in world.vendor.got] == ["POST", "GET"]


async def test_f079_a_reference_that_the_vendor_does_not_know_was_not_taken(world):
    world.vendor.script = [reset()]
    world.vendor.otherwise = answer(404, {"code": 1203, "message": "unknown"})
    await submit(world)

    await world.poll()
    assert (await row(world)).status == "unknown"
    await world.app.database.write(lambda tx: tx.run(LOOKED))
    await world.poll()

    await assert_released(world, "failed", "submission_unknown")


async def test_f079_a_task_whose_node_died_before_it_was_sent_ends_at_the_next_look(world):
    tasks = world.app.station.tasks
    new = NewTask(
        id=new_task_id(world.app.station.registry.providers["kling"].ids),
        account_id=world.account_id,
        mode="live",
        key_id="key",
        request_id="req_1",
        operation="kling.text2video",
        provider="kling",
        model="kling-v1",
        usage=(Usage("kling-v1:std", Unit.SECOND, 5),),
        price_version=1,
        multiplier=1_000_000,
        external_id=None,
        hook_url=None,
        deadline_s=7200,
        open_tasks_max=10,
    )
    hold = NewHold(
        reference=new.id, wallet=wallet_of(world.account_id, "live"), amount=HELD, owner=None, expires_s=8400
    )
    await world.app.database.write(lambda tx: store.insert(tx, new, take_hold(tx, hold), owner="node_dead"))

    assert await tasks.recover() == 1
    await world.poll()

    assert world.calls_upstream == 0
    await assert_released(world, "failed", "submission_unknown")


async def test_f102_a_node_does_not_send_what_others_have_taken_over(world):
    busy = {"code": 5001, "message": "busy"}
    world.vendor.script = [answer(503, busy, headers={"retry-after-ms": "400"}), task("submitted")]
    submitting = asyncio.create_task(submit(world))
    await world.vendor.arrived.wait()

    await world.app.database.write(lambda tx: tx.run(TAKEN_OVER))
    await submitting

    assert world.calls_upstream == 1
    assert (await row(world)).status == "unknown"


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        pytest.param(answer(400, {"code": 1201, "message": "bad"}), 400, id="400"),
        pytest.param(answer(503, {"code": 5001, "message": "away"}), 502, id="503"),
        pytest.param(answer(500, {"code": 5000, "message": "internal"}), 502, id="500 in its envelope"),
        pytest.param(answer(302, {}, headers={"location": "/x"}), 502, id="302"),
    ],
)
async def test_a_refused_submission_leaves_no_task_and_no_hold(world, refusal, status):
    world.vendor.otherwise = refusal

    refused = await world.client.post("/kling/v1/videos/text2video", json={"prompt": "a cat"})

    assert refused.status_code == status
    assert refused.json()["code"]
    assert await world.rows(store_all()) == []
    assert await world.open_holds() == []
    assert (await world.requests())[0]["status"] == "failed"


async def test_f080_polls_that_say_nothing_change_nothing_until_the_deadline(world):
    world.vendor.script = [
        task("submitted"),
        answer(404, {"code": 1203, "message": "x"}),
        answer(500, raw=b""),
        task("?"),
    ]
    await submit(world)

    for _ in range(3):
        await world.poll()
        assert (await row(world)).status == "queued"
    await world.app.database.write(lambda tx: tx.run(PAST_DEADLINE))
    await world.poll()

    await assert_released(world, "expired", "timeout")


@pytest.mark.parametrize(
    ("link", "code"),
    [
        pytest.param("/missing.mp4", "result_unavailable", id="F081 404"),
        pytest.param("/page.mp4", "result_unavailable", id="F081 no media"),
        pytest.param("http://10.0.0.7/film.mp4", "result_blocked", id="F082"),
    ],
)
async def test_a_result_that_cannot_be_kept_fails_the_task(world, link, code):
    url = link if "://" in link else world.vendor.url + link
    world.vendor.script = [task("submitted"), film(url)]
    world.vendor.otherwise = (
        answer(404, raw=b"")
        if "missing" in link
        else answer(200, raw=b"<html>x</html>", headers={"content-type": "video/mp4"})
    )
    world.app.station.assets._keeper._pause = _no_pause
    await submit(world)

    await world.poll()

    await assert_released(world, "failed", code)


async def _no_pause(_):
    return None


async def test_f045_cancel_against_completion_has_one_winner(world):
    world.vendor.script = [task("submitted"), task("failed", task_status_msg="no")]
    task_id = await submit(world)
    tasks = world.app.station.tasks

    cancelled, _ = await asyncio.gather(
        tasks.cancel(world.account_id, "live", task_id), world.poll(), return_exceptions=True
    )

    ended = await row(world)
    assert ended.status in {"cancelled", "failed"}
    assert isinstance(cancelled, NotCancellable) == (ended.status == "failed")
    assert await world.open_holds() == []
    assert (await world.balance()).posted == Money.parse("10")


async def test_f046_an_answer_that_comes_when_the_bucket_is_anothers_ends_nothing(world):
    arrived, gate = asyncio.Event(), asyncio.Event()

    async def late(vendor, reader, writer, got):
        arrived.set()
        await gate.wait()
        await task("failed", task_status_msg="first")(vendor, reader, writer, got)

    world.vendor.script = [task("submitted"), late, task("failed", task_status_msg="second")]
    await submit(world)
    await world.app.database.write(lambda tx: tx.run(DUE))
    await world.app.poller.look_once()
    await arrived.wait()
    await world.app.database.write(lambda tx: tx.run(OTHER_HANDS))

    gate.set()
    await world.app.poller.finish()
    assert (await row(world)).status == "queued"
    await world.app.poller.buckets.leave()
    await world.poll()

    assert (await row(world)).error_message == "second"
    await assert_released(world, "failed", "task_failed")


async def test_a_repetition_says_what_the_first_answer_said(world):
    world.vendor.script = [task("processing")]
    call = {"json": {"prompt": "a cat"}, "headers": {"idempotency-key": "k-1"}}

    first = await world.client.post("/kling/v1/videos/text2video", **call)
    again = await world.client.post("/kling/v1/videos/text2video", **call)

    assert first.json()["data"]["task_status"] == "processing"
    assert (again.json(), again.headers["idempotency-replayed"]) == (first.json(), "true")
    assert world.calls_upstream == 1


async def test_a_silent_vendor_does_not_make_a_second_submission(world):
    world.vendor.otherwise = hang()

    accepted = await world.client.post(
        "/kling/v1/videos/text2video", json={"prompt": "a cat"}, headers={"x-yiapi-timeout": "0.2"}
    )

    assert accepted.status_code == 200
    assert (await row(world)).status == "unknown"
    assert world.calls_upstream == 1


async def test_a_hook_is_put_out_with_the_end(world):
    world.vendor.script = [task("submitted"), task("failed", task_status_msg="no")]
    await submit(world, callback_url="https://caller.example.com/hook")

    await world.poll()

    deliveries = await world.rows(query_of("d", "SELECT * FROM deliveries"))
    assert [(one["event_type"], one["status"]) for one in deliveries] == [("task.failed", "pending")]
    assert '"task_status":"failed"' in deliveries[0]["body"]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/x", "ftp://a.example/x", "http://user:x@a.example/", "https://[::1]/"]
)
async def test_a_hook_that_may_not_be_called_is_refused(world, url):
    if "127.0.0.1" in url:
        url = url.replace("127.0.0.1:1", "10.1.2.3")
    refused = await world.client.post("/kling/v1/videos/text2video", json={"prompt": "a cat", "callback_url": url})

    assert refused.status_code == 400
    assert world.calls_upstream == 0
    assert await world.open_holds() == []

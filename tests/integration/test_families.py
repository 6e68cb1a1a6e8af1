"""Tasks that belong together: follow-ups, windows, receipts that name what is there already, and who may see whom."""

import asyncio
import io
import itertools
import json

import httpx
import pytest
from PIL import Image
from tests_support import answer, reset

from conftest import _account
from yiapi.channels import Routing
from yiapi.db.sql import query_of
from yiapi.money import Money
from yiapi.tasks import store

pytestmark = pytest.mark.anyio

UUID = "3dbbd469-36af-4a0f-8f02-df6c579e7011"
ZOOM = f"MJ::CustomZoom::1::{UUID}"
UPSCALE = f"MJ::JOB::upsample::2::{UUID}"
BUTTONS = [UPSCALE, ZOOM, f"MJ::BOOKMARK::{UUID}", f"MJ::JOB::reroll::0::{UUID}::SOLO", "MJ::Job::PicReader::1"]
TASKS = query_of("tasks", "SELECT *, now_ms() AS now FROM tasks ORDER BY created_at, id")
DELIVERIES = query_of("deliveries", "SELECT * FROM deliveries")
FILLED_LONG_AGO = query_of("ago", "UPDATE tasks SET started_at = now_ms() - 301000 WHERE status = 'unknown'")
WINDOW_OVER = query_of("over", "UPDATE tasks SET window_until = now_ms() - 1, deadline_at = now_ms() - 1")
FILE_SOON_GONE = query_of("gone", "UPDATE assets SET expires_at = now_ms() + 60000")


@pytest.fixture
def channels():
    return 1


def receipt(vendor_id, code=1, description="提交成功", http=200, **properties):
    body = {"code": code, "description": description, "result": vendor_id, "properties": properties}
    return answer(http, body)


def receipts():
    """Take every submission, each under an id of its own."""
    numbers = itertools.count(1744012345670000)

    async def act(vendor, reader, writer, got):
        await receipt(str(next(numbers)))(vendor, reader, writer, got)

    return act


def window(vendor_id):
    return receipt(vendor_id, 21, "Waiting for window confirm", remix=True, finalPrompt="a fox")


def picture():
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    return answer(200, raw=file.getvalue(), headers={"content-type": "image/png"})


def shown(world, vendor_id, status="SUCCESS", vendor=0, **fields):
    """What the vendor says when it is asked for a list."""
    task = {
        "id": vendor_id,
        "action": "IMAGINE",
        "status": status,
        "progress": "100%" if status == "SUCCESS" else "15%",
        "imageUrl": f"{world.vendors[vendor].url}/x.png" if status == "SUCCESS" else None,
        "buttons": [{"customId": custom_id} for custom_id in BUTTONS],
    }
    return answer(200, [task | fields])


def only_running(vendor_id):
    """Know one task, however many are asked for."""

    async def act(vendor, reader, writer, got):
        found = [{"id": vendor_id, "status": "IN_PROGRESS", "progress": "15%"}] if vendor_id in got.json["ids"] else []
        await answer(200, found)(vendor, reader, writer, got)

    return act


async def rows(world):
    return [store.task_of(row) for row in await world.rows(TASKS)]


async def one(world, task_id):
    return next(task for task in await rows(world) if task.id == task_id)


async def post(world, path, **body):
    return await world.client.post(f"/mj/{path}", json=body)


async def submit(world, path="submit/imagine", **body):
    said = await post(world, path, **({"prompt": "a fox"} if path == "submit/imagine" else {}) | body)
    assert said.status_code == 200, said.text
    return said.json()["result"]


async def grid(world, vendor_id="1744012345678123", vendor=0):
    """Make a finished grid of the caller's."""
    world.vendors[vendor].script = [receipt(vendor_id)]
    task_id = await submit(world)
    world.vendors[vendor].script = [shown(world, vendor_id, vendor=vendor), picture()]
    await world.poll()
    assert (await one(world, task_id)).status == "succeeded"
    return task_id


async def fetch(world, task_id):
    return (await world.client.get(f"/mj/task/{task_id}/fetch")).json()


async def stranger(world):
    """Another tenant of the station."""
    _, key = await _account(world.app, "10")
    return httpx.AsyncClient(base_url=world.base_url, headers={"authorization": f"Bearer {key}"}, timeout=30)


def paths(world, vendor=0):
    return [got.path for got in world.vendors[vendor].got if got.path.startswith("/mj")]


# Whose task it is


async def test_f025_another_tenants_task_is_as_one_that_is_not_there(world):
    task_id = await grid(world)
    world.vendor.script = [window("1744012455000789")]
    open_window = await submit(world, "submit/action", taskId=task_id, customId=ZOOM)
    seen = len(world.vendor.got)

    async with await stranger(world) as other:
        for method, path, body in [
            ("GET", "task/{}/fetch", None),
            ("GET", "task/{}/image-seed", None),
            ("POST", "task/{}/cancel", None),
            ("POST", "submit/action", {"taskId": "{}", "customId": UPSCALE}),
            ("POST", "submit/change", {"taskId": "{}", "action": "UPSCALE", "index": 2}),
            ("POST", "submit/simple-change", {"content": "{} U2"}),
        ]:
            theirs, nobodys = [
                await other.request(method, "/mj/" + path.replace("{}", named), json=filled(body, named))
                for named in (task_id, "1000000000000000")
            ]
            assert theirs.status_code == nobodys.status_code == 400, path
            assert theirs.json() == nobodys.json(), path
        modal = await other.post("/mj/submit/modal", json={"taskId": open_window, "prompt": "mine"})
        assert (modal.status_code, modal.json()["description"]) == (400, "task_not_found ")
        assert (await other.post("/mj/task/list-by-condition", json={"ids": [task_id]})).json() == []
        assert (await other.get("/mj/task/list")).json() == []

    assert len(world.vendor.got) == seen
    assert (await fetch(world, open_window))["status"] == "MODAL"


def filled(body, task_id):
    return body and json.loads(json.dumps(body).replace("{}", task_id))


async def test_nobody_presses_a_button_that_the_task_does_not_have(world):
    task_id = await grid(world)
    other = f"MJ::JOB::upsample::2::{UUID[:-1]}2"

    refused = await post(world, "submit/action", taskId=task_id, customId=other)

    assert (refused.status_code, refused.json()["description"]) == (400, f"unknown_action:{other} ")
    assert (await world.balance()).held == Money(0)


# Where it goes


@pytest.mark.parametrize("channels", [3])
async def test_follow_ups_go_to_the_channel_that_made_the_task(world):
    for vendor in world.vendors:
        vendor.otherwise = receipt("1744012345678123")
    task_id = await submit(world)
    maker = next(index for index, vendor in enumerate(world.vendors) if vendor.got)
    world.vendors[maker].script = [shown(world, "1744012345678123", vendor=maker), picture()]
    await world.poll()

    for number in range(6):
        world.vendors[maker].script = [receipt(f"174401234567900{number}")]
        await submit(world, "submit/action", taskId=task_id, customId=UPSCALE)
    world.vendors[maker].script = [receipt("7", description="成功")]
    assert (await world.client.get(f"/mj/task/{task_id}/image-seed")).json()["result"] == "7"

    assert paths(world, maker).count("/mj/submit/action") == 6
    assert [len(vendor.got) for index, vendor in enumerate(world.vendors) if index != maker] == [0, 0]


@pytest.mark.parametrize("channels", [2])
async def test_a_follow_up_never_falls_to_another_channel(world):
    for vendor in world.vendors:
        vendor.otherwise = receipt("1744012345678123")
    task_id = await submit(world)
    maker = next(index for index, vendor in enumerate(world.vendors) if vendor.got)
    world.vendors[maker].script = [shown(world, "1744012345678123", vendor=maker), picture()]
    await world.poll()
    await world.app.channels.disable_channel((await one(world, task_id)).channel_id, "test")

    refused = await post(world, "submit/action", taskId=task_id, customId=UPSCALE)

    assert (refused.status_code, refused.json()["code"]) == (503, 5)
    assert world.vendors[1 - maker].got == []
    assert await world.open_holds() == []


@pytest.mark.parametrize("channels", [2])
async def test_the_channel_with_the_fewest_open_tasks_is_chosen(world):
    for vendor in world.vendors:
        vendor.otherwise = receipts()

    for _ in range(6):
        await submit(world)

    assert [len(vendor.got) for vendor in world.vendors] == [3, 3]


@pytest.mark.parametrize("channels", [2])
async def test_the_queue_that_a_vendor_named_counts_as_load(world):
    for vendor in world.vendors:
        vendor.otherwise = receipts()
    await submit(world)
    idle = next(index for index, vendor in enumerate(world.vendors) if vendor.got)
    world.vendors[1 - idle].script = [receipt("1744012345678002", 22, "排队中", numberOfQueues=9)]
    await submit(world)

    for _ in range(4):
        await submit(world)

    assert len(world.vendors[idle].got) == 5


@pytest.mark.parametrize("channels", [2])
async def test_a_speed_goes_to_a_channel_that_serves_it(world):
    slow = (await world.app.channels.list_channels())[-1]
    slow, fast = [row for row in await world.app.channels.list_channels() if row.provider == "midjourney"]
    for row, modes in ((slow, ["relax"]), (fast, ["fast", "turbo"])):
        await world.app.channels.update_channel(row.id, routing=Routing(settings={"modes": modes}))
    for vendor in world.vendors:
        vendor.otherwise = receipt("1744012345678123")
    by_url = {vendor.url: index for index, vendor in enumerate(world.vendors)}

    for _ in range(3):
        assert (await world.client.post("/mj-fast/mj/submit/imagine", json={"prompt": "a"})).status_code == 200
    assert (await world.client.post("/mj-relax/mj/submit/imagine", json={"prompt": "a"})).status_code == 200

    assert paths(world, by_url[fast.base_url]) == ["/mj-fast/mj/submit/imagine"] * 3
    assert paths(world, by_url[slow.base_url]) == ["/mj-relax/mj/submit/imagine"]
    assert (await world.client.post("/mj-snail/mj/submit/imagine", json={"prompt": "a"})).status_code == 404


async def test_every_query_is_served_below_a_speed_too(world):
    task_id = await grid(world)
    world.vendor.script = [receipt("7", description="成功")]

    assert (await world.client.get(f"/mj-turbo/mj/task/{task_id}/fetch")).json()["id"] == task_id
    assert (await world.client.get(f"/mj-turbo/mj/task/{task_id}/image-seed")).json()["result"] == "7"
    listed = await world.client.post("/mj-relax/mj/task/list-by-ids", json={"ids": [task_id, task_id, "1"]})
    assert [task["id"] for task in listed.json()] == [task_id]
    assert paths(world)[-1] == "/mj-turbo/mj/task/1744012345678123/image-seed"


# Windows


async def opened(world, custom_id=ZOOM, vendor_id="1744012455000789"):
    task_id = await grid(world)
    world.vendor.script = [window(vendor_id)]
    said = await post(world, "submit/action", taskId=task_id, customId=custom_id)
    assert (said.json()["code"], said.headers["x-yiapi-held"]) == (21, "0")
    return said.json()["result"]


async def test_a_window_is_free_until_it_is_used(world):
    before = await world.balance()
    task_id = await opened(world)
    opening = (await one(world, task_id)).opened_by

    between = await world.balance()
    assert (between.posted, between.held) == (before.posted - Money.parse("0.1"), Money(0))  # the grid
    seen = len(world.vendor.got)
    await world.poll()
    assert len(world.vendor.got) == seen  # nobody asks for it
    status = (await world.client.get("/mj/task/queue")).json()
    assert status == []

    world.vendor.script = [receipt("1744012455000789")]
    filled_in = await post(world, "submit/modal", taskId=task_id, prompt="a fox --zoom 1.5")

    assert (filled_in.json()["result"], filled_in.headers["x-yiapi-held"]) == (task_id, "0.1")
    assert (await world.balance()).held == Money.parse("0.1")
    assert json.loads(world.vendor.got[-1].body) == {"taskId": "1744012455000789", "prompt": "a fox --zoom 1.5"}
    world.vendor.script = [shown(world, "1744012455000789", action="ZOOM"), picture()]
    await world.poll()
    after = await world.balance()
    assert (after.posted, after.held) == (between.posted - Money.parse("0.1"), Money(0))
    records = {row["id"]: row for row in await world.requests()}
    assert (records[opening]["status"], records[opening]["charge"]) == ("succeeded", 0)
    assert (await fetch(world, task_id))["action"] == "ZOOM"


@pytest.mark.parametrize(
    ("custom_id", "price"),
    [(ZOOM, "0.1"), ("MJ::Job::PicReader::1", "0.1"), (f"MJ::JOB::animate_low::1::{UUID}", "0.8")],
)
async def test_what_fills_a_window_is_paid_by_what_opened_it(world, custom_id, price):
    BUTTONS.append(custom_id)
    try:
        task_id = await opened(world, custom_id)
    finally:
        BUTTONS.pop()
    world.vendor.script = [receipt("1744012455000789")]

    said = await post(world, "submit/modal", taskId=task_id, prompt="a fox")

    assert said.headers["x-yiapi-held"] == price


async def test_a_second_filling_sends_nothing(world):
    task_id = await opened(world)
    world.vendor.script = [receipt("1744012455000789")]
    await submit(world, "submit/modal", taskId=task_id, prompt="one")
    seen, held = len(world.vendor.got), (await world.balance()).held

    again = await post(world, "submit/modal", taskId=task_id, prompt="two")
    no_window = await post(world, "submit/modal", taskId=(await rows(world))[0].id, prompt="two")

    assert [(said.status_code, said.json()["code"]) for said in (again, no_window)] == [(400, 4)] * 2
    assert (len(world.vendor.got), (await world.balance()).held) == (seen, held)


async def test_of_two_fillings_at_once_one_is_sent(world):
    task_id = await opened(world)
    world.vendor.otherwise = receipt("1744012455000789")

    said = await asyncio.gather(*(post(world, "submit/modal", taskId=task_id, prompt=f"{n}") for n in range(8)))

    assert sorted(one.status_code for one in said) == [200] + [400] * 7
    assert paths(world).count("/mj/submit/modal") == 1
    assert (await world.balance()).held == Money.parse("0.1")


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        (receipt(None, 4, "prompt不能为空"), 200, 4),
        (receipt("1744012455000789", 23, "队列已满"), 200, 23),
        (receipt(None, 24, "可能包含敏感词", bannedWord="x"), 200, 24),
        (receipt(None, 3, "关联任务不存在或已失效", http=404), 404, 3),
        (answer(400, raw=b""), 400, 4),
    ],
)
async def test_a_refused_filling_leaves_the_window_open(world, refusal, status, code):
    task_id = await opened(world)
    until = (await one(world, task_id)).window_until
    before = await fetch(world, task_id)
    world.vendor.script = [refusal]

    refused = await post(world, "submit/modal", taskId=task_id, prompt="x")

    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert refused.json().get("result") in {None, task_id}
    again = await one(world, task_id)
    assert (again.is_window, again.window_until, again.deadline_at) == (True, until, until)
    assert (await world.balance()).held == Money(0)
    assert await fetch(world, task_id) == before


async def test_a_window_is_filled_after_a_refusal(world):
    task_id = await opened(world)
    world.vendor.script = [receipt(None, 4, "prompt不能为空"), receipt("1744012455000789")]
    await post(world, "submit/modal", taskId=task_id)

    assert await submit(world, "submit/modal", taskId=task_id, prompt="y") == task_id

    assert (await world.balance()).held == Money.parse("0.1")


async def test_a_window_that_nobody_uses_ends_by_itself(world):
    task_id = await opened(world)
    seen = len(world.vendor.got)
    await world.app.database.write(lambda tx: tx.run(WINDOW_OVER))

    await world.poll()
    await world.poll()

    ended = await one(world, task_id)
    assert (ended.status, ended.held) == ("expired", Money(0))
    assert len(world.vendor.got) == seen
    refused = await post(world, "submit/modal", taskId=task_id, prompt="x")
    assert (refused.status_code, refused.json()["code"]) == (400, 4)


async def test_a_window_lives_no_longer_than_the_files_it_goes_on_from(world):
    task_id = await grid(world)
    await world.app.database.write(lambda tx: tx.run(FILE_SOON_GONE))
    world.vendor.script = [window("1744012455000789")]

    window_id = await submit(world, "submit/action", taskId=task_id, customId=ZOOM)

    task = await one(world, window_id)
    assert task.window_until - task.created_at <= 60_000


async def test_a_window_can_be_cancelled(world):
    task_id = await opened(world)

    said = await world.client.post(f"/mj/task/{task_id}/cancel")

    assert said.json()["code"] == 1
    assert (await fetch(world, task_id))["status"] == "CANCEL"
    assert (await world.client.post(f"/mj/task/{task_id}/cancel")).json() == said.json()


async def test_an_unclear_filling_is_asked_for_and_goes_on_when_it_was_taken(world):
    task_id = await opened(world)
    world.vendor.script = [reset()]
    unclear = await post(world, "submit/modal", taskId=task_id, prompt="x")
    assert (unclear.status_code, unclear.json()["code"], unclear.json()["result"]) == (200, 1, task_id)
    assert (await one(world, task_id)).status == "unknown"

    world.vendor.script = [shown(world, "1744012455000789", "MODAL")]
    await world.poll()
    assert (await one(world, task_id)).status == "unknown"
    world.vendor.script = [shown(world, "1744012455000789", "IN_PROGRESS")]
    await world.poll()

    going = await one(world, task_id)
    assert (going.status, going.window_until) == ("running", None)
    assert (await world.balance()).held == Money.parse("0.1")
    assert paths(world).count("/mj/submit/modal") == 1


async def test_an_unclear_filling_that_the_vendor_never_saw_opens_the_window_again(world):
    task_id = await opened(world)
    world.vendor.script = [reset()]
    await submit(world, "submit/modal", taskId=task_id, prompt="x")
    await world.app.database.write(lambda tx: tx.run(FILLED_LONG_AGO))

    world.vendor.script = [answer(500, raw=b"")]
    await world.poll()
    assert (await one(world, task_id)).status == "unknown"
    world.vendor.script = [shown(world, "1744012455000789", "MODAL")]
    await world.poll()

    assert (await one(world, task_id)).is_window
    assert (await world.balance()).held == Money(0)
    filling = [row for row in await world.requests() if row["operation"] == "midjourney.modal"]
    assert [(row["status"], row["error_code"]) for row in filling] == [("failed", "submission_unknown")]
    world.vendor.script = [receipt("1744012455000789")]
    assert await submit(world, "submit/modal", taskId=task_id, prompt="y") == task_id


async def test_a_key_of_idempotency_answers_a_filling_again(world):
    task_id = await opened(world)
    world.vendor.script = [receipt("1744012455000789")]
    body = {"taskId": task_id, "prompt": "x"}

    first, second = [
        await world.client.post("/mj/submit/modal", json=body, headers={"idempotency-key": "k"}) for _ in range(2)
    ]

    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"
    assert paths(world).count("/mj/submit/modal") == 1


# Receipts that name what is there


async def test_an_id_that_the_tenant_has_undoes_row_and_hold(world):
    task_id = await grid(world)
    before = await world.balance()
    world.vendor.script = [receipt("1744012345678123")]
    body = {"taskId": task_id, "customId": f"MJ::BOOKMARK::{UUID}"}

    said, again = [
        await world.client.post("/mj/submit/action", json=body, headers={"idempotency-key": "k"}) for _ in range(2)
    ]

    assert said.json() == again.json()
    assert (said.json()["result"], said.headers["x-yiapi-held"]) == (task_id, "0")
    assert len(await rows(world)) == 1
    assert await world.open_holds() == []
    assert await world.balance() == before
    assert [(row["status"], row["charge"], row["task_id"]) for row in await world.requests()][-1] == (
        "succeeded",
        0,
        task_id,
    )


async def test_an_id_of_another_tenant_becomes_a_task_of_ones_own(world):
    theirs = await grid(world)
    world.vendor.script = [receipt("1744012345678123", 21, "任务已存在", status="IN_PROGRESS")]

    async with await stranger(world) as other:
        said = await other.post("/mj/submit/imagine", json={"prompt": "the same"})
        mine = said.json()["result"]

        assert (said.json()["code"], mine != theirs) == (1, True)
        assert (await other.get(f"/mj/task/{mine}/fetch")).json()["prompt"] == "the same"
    assert {task.id for task in await rows(world)} == {mine, theirs}


async def test_what_is_finished_at_once_is_paid_and_has_its_picture(world):
    task_id = await grid(world)
    link = f"{world.vendor.url}/u2.png"
    world.vendor.script = [receipt("1744012399000456", 21, "任务已存在", status="SUCCESS", imageUrl=link), picture()]

    done = await submit(world, "submit/change", taskId=task_id, action="UPSCALE", index=2)

    task = await fetch(world, done)
    assert (task["status"], task["progress"], task["action"]) == ("SUCCESS", "100%", "UPSCALE")
    assert task["imageUrl"]
    assert world.vendor.url not in task["imageUrl"]
    assert task["description"] == f"/up {task_id} U2"
    assert (await world.balance()).posted == Money.parse("9.85")
    assert await world.open_holds() == []


async def test_what_is_there_already_is_answered_with_our_link_and_costs_nothing(world):
    task_id = await grid(world)
    link = f"{world.vendor.url}/u2.png"
    again = receipt("1744012399000456", 21, "任务已存在", status="SUCCESS", imageUrl=link)
    world.vendor.script = [again, picture(), again]
    done = await submit(world, "submit/change", taskId=task_id, action="UPSCALE", index=2)
    before = (await world.balance()).posted

    said = (await post(world, "submit/change", taskId=task_id, action="UPSCALE", index=2)).json()

    assert (said["code"], said["result"], said["properties"]["status"]) == (1, done, "SUCCESS")
    assert world.vendor.url not in said["properties"]["imageUrl"]
    path = "/files/" + said["properties"]["imageUrl"].partition("/files/")[2]
    assert (await world.client.get(path)).content.startswith(b"\x89PNG")
    assert (await world.balance()).posted == before
    assert await world.open_holds() == []


async def test_a_finished_task_whose_picture_is_not_to_be_had_is_asked_for(world):
    task_id = await grid(world)
    world.app.station.assets._keeper._pause = no_pause
    said = receipt("1744012399000456", 21, "任务已存在", status="SUCCESS", imageUrl=f"{world.vendor.url}/none.png")
    world.vendor.script = [said, *[answer(404, raw=b"")] * 5]

    done = await submit(world, "submit/change", taskId=task_id, action="UPSCALE", index=2)

    assert (await fetch(world, done))["status"] == "SUBMITTED"
    world.vendor.script = [shown(world, "1744012399000456", action="UPSCALE"), picture()]
    await world.poll()
    assert (await fetch(world, done))["status"] == "SUCCESS"


async def no_pause(_):
    return None


async def test_a_refusal_that_names_a_task_leaves_a_failed_one_and_no_hook(world):
    world.vendor.script = [receipt("1744012345678125", 23, "队列已满", discordInstanceId="9")] * 3

    said = await post(world, "submit/imagine", prompt="a fox", notifyHook="https://caller.example.com/hook")

    body = said.json()
    assert (said.status_code, body["code"], body["description"], body["properties"]) == (200, 23, "队列已满", {})
    assert (await fetch(world, body["result"]))["failReason"] == "队列已满"
    task = (await world.client.get(f"/v1/tasks/{body['result']}")).json()
    assert (task["status"], task["error"]["message"]) == ("failed", "队列已满")
    assert [row["error_code"] for row in await world.requests()] == ["rate_limited"]
    assert await world.rows(DELIVERIES) == []
    assert await world.open_holds() == []


async def test_a_refusal_without_an_id_leaves_no_task(world):
    world.vendor.script = [receipt(None, 24, "可能包含敏感词", bannedWord="bloody")]

    await post(world, "submit/imagine", prompt="a bloody scene")

    assert await rows(world) == []
    assert [(row["status"], row["error_code"], row["http_status"]) for row in await world.requests()] == [
        ("failed", "content_blocked", 200)
    ]


@pytest.mark.parametrize("channels", [2])
async def test_a_full_queue_is_tried_elsewhere_first(world):
    for vendor in world.vendors:
        vendor.otherwise = receipt("1744012345678125", 23, "队列已满")
    world.vendors[1].otherwise = receipt("1744012345678126")

    said = await post(world, "submit/imagine", prompt="a fox")

    assert said.json()["code"] == 1
    assert len(world.vendors[1].got) == 1


async def test_a_lost_parent_is_not_tried_again_and_costs_the_channel_nothing(world):
    task_id = await grid(world)
    world.vendor.script = [receipt(None, 3, "关联任务 1744012345678123 不存在", http=404)]

    refused = await post(world, "submit/action", taskId=task_id, customId=UPSCALE)

    assert (refused.status_code, refused.json()["code"]) == (404, 3)
    assert refused.json()["description"] == f"关联任务 {task_id} 不存在"
    assert paths(world).count("/mj/submit/action") == 1
    assert [row["fault"] for row in await world.attempts()][-1] == "not_found"


@pytest.mark.parametrize(
    "refusal",
    [answer(401, {"code": 4, "description": "no"}), answer(403, raw=b""), answer(402, {"code": 9, "description": "x"})],
)
async def test_a_bad_credential_is_never_the_callers(world, refusal):
    world.vendor.otherwise = refusal

    said = await post(world, "submit/imagine", prompt="a fox")

    assert (said.status_code, said.json()["code"]) == (503, 5)


# Ids, texts, keys


async def test_ids_are_sixteen_digits_and_drawn_again_on_a_clash(world):
    class Frozen:
        monotonic = world.app.station.clock.monotonic

        def now_ms(self):
            return 1795000000000

    world.app.station.clock = Frozen()
    world.vendor.otherwise = receipt("1744012345678123", 22)
    numbers = iter(range(10**6))
    ids = []
    for _ in range(90):
        world.vendor.script = [receipt(str(1744012345000000 + next(numbers)))]
        ids.append(await submit(world))

    assert len(set(ids)) == 90
    assert {task_id[:13] for task_id in ids} == {"1795000000000"}
    assert {len(task_id) for task_id in ids} == {16}


async def test_a_description_names_no_id_of_the_vendor(world):
    task_id = await grid(world)
    world.vendor.script = [receipt("1744012399000456")]
    child = await submit(world, "submit/action", taskId=task_id, customId=UPSCALE)
    world.vendor.script = [
        shown(
            world,
            "1744012399000456",
            description="/up 1744012345678123 U2, 1744012399000456",
            buttons=[{"customId": "MJ::JOB::animate_high_extend::1::1744012399000456"}],
        ),
        picture(),
    ]
    await world.poll()

    task = await fetch(world, child)

    assert task["description"] == f"/up {task_id} U2, {child}"
    assert task["buttons"] == [{"customId": f"MJ::JOB::animate_high_extend::1::{child}"}]
    world.vendor.script = [receipt("1744012399000999")]
    await submit(world, "submit/action", taskId=child, customId=task["buttons"][0]["customId"])
    sent = json.loads(world.vendor.got[-1].body)
    assert sent == {"taskId": "1744012399000456", "customId": "MJ::JOB::animate_high_extend::1::1744012399000456"}


async def test_a_reason_names_no_id_and_no_address_of_the_vendor(world):
    world.vendor.script = [receipt("1744012345678123")]
    task_id = await submit(world)
    reason = f"1744012345678123 failed at {world.vendor.url}/x with vendor-key-that-nobody-may-see-4711"
    failed = shown(world, "1744012345678123", "FAILURE", failReason=reason, promptEn=reason, description=reason)
    world.vendor.script = [failed]
    await world.poll()

    said = json.dumps(await fetch(world, task_id))

    assert "1744012345678123" not in said
    assert world.vendor.url not in said
    assert "4711" not in said
    assert f"{task_id} failed" in said


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "", "mj-api-secret": "{key}"},
        {"authorization": "midjourney-proxy", "mj-api-secret": "Bearer {key}"},
        {"authorization": "Bearer {key}", "mj-api-secret": "sk-live-nobody"},
        {"authorization": "", "mj-api-secret": "{bare}"},
    ],
)
async def test_keys_are_taken_as_relays_take_them(world, headers):
    filled_in = {
        name: value.format(key=world.key, bare=world.key.removeprefix("sk-")) for name, value in headers.items()
    }
    world.vendor.script = [receipt("1744012345678123")]

    said = await world.client.post("/mj/submit/imagine", json={"prompt": "a"}, headers=filled_in)

    assert said.status_code == 200, said.text
    assert "authorization" not in world.vendor.got[-1].headers
    assert world.vendor.got[-1].headers["mj-api-secret"] != world.key


@pytest.mark.parametrize("headers", [{"authorization": ""}, {"authorization": "", "mj-api-secret": "sk-live-x"}])
async def test_a_bad_key_is_refused_in_the_other_envelope(world, headers):
    said = await world.client.post("/mj/submit/imagine", json={"prompt": "a"}, headers=headers)

    assert (said.status_code, said.json()["error"]["code"]) == (401, "invalid_api_key")


async def test_f011_a_giant_picture_in_a_list_is_refused_and_no_picture_at_all_is_the_vendors_affair(world):
    png = b"\x89PNG\r\n\x1a\n" + header(60_000, 60_000)
    import base64

    giant = "data:image/png;base64," + base64.b64encode(png).decode()
    refused = await post(world, "submit/blend", base64Array=["data:image/png;base64,AAAA", giant])
    world.vendor.script = [receipt(None, 4, "base64格式错误")]
    passed = await post(world, "submit/blend", base64Array=["not a picture"])

    assert (refused.status_code, refused.json()["code"]) == (400, 4)
    assert (passed.status_code, passed.json()["description"]) == (200, "base64格式错误")
    assert len(world.vendor.got) == 1


def header(width, height):
    import zlib

    chunk = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    return (13).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big") + b"\0" * 64


NONSENSE = [b"", b"{", b"[]", b'"x"', b'{"prompt": 7, "ids": 7}', b'{"ids": "x", "prompt": null}', b"[" * 10_000]
PATHS = ["submit/imagine", "submit/action", "submit/modal", "insight-face/swap", "task/list-by-condition"]


async def test_f006_nonsense_is_refused_in_the_dialect(world):
    for path in PATHS:
        for body in NONSENSE[path.startswith("task/") :]:  # a list of nothing is asked for with nothing
            said = await world.client.post(f"/mj/{path}", content=body, headers={"content-type": "application/json"})

            assert (said.status_code, said.json()["code"]) == (400, 4), (path, body[:40], said.text)
    assert world.calls_upstream == 0


async def test_f041_a_key_at_another_speed_is_another_submission(world):
    world.vendor.script = [receipt("1"), receipt("2"), receipt("3")]
    key = {"idempotency-key": "one"}
    paths = ["/mj/submit/imagine", "/mj-relax/mj/submit/imagine", "/mj-turbo/mj/submit/imagine"]

    said = [await world.client.post(path, json={"prompt": "a fox"}, headers=key) for path in [*paths, *paths]]

    results = [one.json()["result"] for one in said]
    assert len(set(results)) == 3
    assert results[:3] == results[3:]
    assert world.calls_upstream == 3


async def test_what_the_station_ended_says_so_in_the_words_of_the_protocol(world):
    world.vendor.script = [receipt("1"), answer(200, {"code": 1})]
    made = (await post(world, "submit/imagine", prompt="a fox")).json()["result"]

    await world.client.post(f"/mj/task/{made}/cancel")

    task = (await world.client.get(f"/mj/task/{made}/fetch")).json()
    assert (task["status"], task["failReason"], task["botType"]) == ("CANCEL", "取消任务", "MID_JOURNEY")


async def test_a_list_of_nothing_is_empty(world):
    assert (await world.client.post("/mj/task/list-by-condition")).json() == []


# Lists and seeds


async def test_lists_are_of_the_tenant_and_in_order(world):
    ids = []
    for number, code in enumerate((1, 22, 1)):
        world.vendor.script = [receipt(f"174401234567800{number}", code)]
        ids.append(await submit(world))
    world.vendor.otherwise = only_running("1744012345678000")
    await world.poll()

    listed = (await world.client.get("/mj/task/list")).json()
    queued = (await world.client.get("/mj/task/queue")).json()

    assert [task["id"] for task in listed] == ids[::-1]
    assert [(task["id"], task["status"]) for task in queued] == [(ids[1], "NOT_START"), (ids[2], "SUBMITTED")]
    named = (await post(world, "task/list-by-condition", ids=[ids[2], "1", ids[0]])).json()
    assert [task["id"] for task in named] == [ids[2], ids[0]]
    assert (await post(world, "task/list-by-condition")).json() == []
    too_many = await post(world, "task/list-by-condition", ids=["1"] * 501)
    assert (too_many.status_code, too_many.json()["code"]) == (400, 4)


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        (receipt(None, 3, "未找到 seed"), 200, 3),
        (receipt(None, 4, "关联任务状态错误", http=400), 400, 4),
        (receipt(None, 3, "任务不存在", http=404), 404, 3),
        (answer(200, raw=b"<html>"), 502, 5),
        (answer(401, raw=b""), 503, 5),
    ],
)
async def test_a_seed_that_is_not_there_is_told_as_the_vendor_tells_it(world, said, status, code):
    task_id = await grid(world)
    before = await world.balance()
    world.vendor.otherwise = said

    answered = await world.client.get(f"/mj/task/{task_id}/image-seed")

    assert (answered.status_code, answered.json()["code"]) == (status, code)
    assert await world.balance() == before


async def test_a_seed_of_what_the_vendor_does_not_have_is_not_asked_for(world):
    world.vendor.script = [receipt("1744012345678125", 23, "队列已满")] * 3
    task_id = (await post(world, "submit/imagine", prompt="a fox")).json()["result"]
    seen = len(world.vendor.got)

    refused = await world.client.get(f"/mj/task/{task_id}/image-seed")

    assert (refused.status_code, refused.json()["description"]) == (400, "task_status_not_success ")
    assert len(world.vendor.got) == seen


async def test_cancelling_what_has_ended_changes_nothing(world):
    task_id = await grid(world)
    seen = len(world.vendor.got)

    said = await world.client.post(f"/mj/task/{task_id}/cancel")

    assert (said.status_code, said.json()["code"]) == (200, 1)
    assert (await fetch(world, task_id))["status"] == "SUCCESS"
    assert len(world.vendor.got) == seen


async def test_a_cancelled_task_gives_its_hold_back(world):
    world.vendor.script = [receipt("1744012345678123")]
    world.vendor.otherwise = answer(200, raw=b"")
    task_id = await submit(world)

    said = await world.client.post(f"/mj/task/{task_id}/cancel")

    assert (said.json()["code"], said.json()["result"]) == (1, task_id)
    assert (await fetch(world, task_id))["status"] == "CANCEL"
    assert await world.open_holds() == []


async def test_the_hook_gets_the_task_in_the_dialect(world):
    world.vendor.script = [receipt("1744012345678123")]
    task_id = await submit(world, notifyHook="https://caller.example.com/hook", state="order-77")
    world.vendor.script = [shown(world, "1744012345678123"), picture()]
    await world.poll()

    [delivery] = await world.rows(DELIVERIES)

    body = json.loads(delivery["body"])
    assert (body["id"], body["status"], body["state"]) == (task_id, "SUCCESS", "order-77")
    assert body["imageUrl"].startswith(world.app.settings.public_url)
    assert "1744012345678123" not in delivery["body"]


async def test_pictures_for_prompts_go_up_and_their_links_come_down(world):
    links = ["https://cdn.discordapp.com/attachments/1/2/x.png?ex=1"]
    said = answer(200, {"code": 1, "description": "提交成功", "result": links, "properties": {"instanceId": "1"}})
    world.vendor.script = [said]

    answered = await post(world, "submit/upload-discord-images", base64Array=["data:image/png;base64,AAAA"])

    assert answered.json() == {"code": 1, "description": "提交成功", "result": links, "properties": {}}
    assert answered.headers["x-yiapi-charge"] == "0.05"

"""Webhook endpoints, the hook secret and deliveries: what tenants read and write, and whose."""

import msgspec
import pytest

from yiapi.api import shapes
from yiapi.providers.contract import Status
from yiapi.tasks import store as tasks_store
from yiapi.tasks.models import Ended

pytestmark = pytest.mark.anyio

URL = "https://receiver.example.com/hook"
TYPES = ["task.succeeded", "task.failed", "task.cancelled", "task.expired"]


async def make(caller, **fields):
    made = await caller.client.post("/v1/webhook_endpoints", json={"url": URL} | fields)
    assert made.status_code == 201, made.text
    return made.json()


async def end(world, caller, status=Status.FAILED, **fields):
    """End a task, and return its id."""
    task_id = await world.task(caller, **fields)
    task = await world.app.database.read(lambda tx: tasks_store.by_id(tx, task_id))
    ended = Ended(status=status, error_code="task_failed", error_message="no", captures=status is Status.SUCCEEDED)
    assert await world.app.station.tasks.end(task, ended, fence=0)
    return task_id


async def test_an_endpoint_shows_its_secret_only_when_it_is_made_and_rotated(world, caller):
    made = await make(caller)
    path = f"/v1/webhook_endpoints/{made['id']}"

    assert made["secret"].startswith("whsec_")
    msgspec.convert(made, shapes.WebhookEndpointWithSecret)
    shown = await caller.json(path)
    msgspec.convert(shown, shapes.WebhookEndpoint)
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert (await caller.json("/v1/webhook_endpoints"))["data"] == [shown]
    rotated = (await caller.client.post(path + "/rotate")).json()
    assert rotated["secret"].startswith("whsec_")
    assert rotated["secret"] != made["secret"]


@pytest.mark.parametrize(
    ("given", "shown"),
    [({}, TYPES), ({"events": None}, TYPES), ({"events": ["task.failed", "task.failed"]}, ["task.failed"])],
)
async def test_events_can_be_chosen(small, given, shown):
    caller = await small.tenant()

    assert (await make(caller, **given))["events"] == shown


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "url"),
        ({"url": 1}, "url"),
        ({"url": "http://10.0.0.1/"}, "url"),
        ({"url": "https://nowhere.invalid/"}, "url"),
        ({"url": "https://\ud7ff/"}, "url"),
        ({"url": URL, "events": []}, "events"),
        ({"url": URL, "events": ["task.queued"]}, "events[0]"),
        ({"url": URL, "events": "task.failed"}, "events"),
        ({"url": URL, "secret": "whsec_mine"}, None),
        ({"url": URL, "account_id": "acct_other"}, None),
        ([], None),
    ],
)
async def test_f091_f027_a_body_that_cannot_be_is_400(small, body, param):
    caller = await small.tenant()

    refused = await caller.client.post("/v1/webhook_endpoints", json=body)

    assert refused.status_code == 400, refused.text
    assert refused.json()["error"]["param"] == param
    assert (await caller.json("/v1/webhook_endpoints"))["data"] == []


async def test_an_endpoint_can_be_changed_switched_off_and_deleted(world, caller):
    made = await make(caller)
    path = f"/v1/webhook_endpoints/{made['id']}"

    changed = await caller.client.patch(path, json={"url": URL + "2", "events": ["task.expired"]})
    assert (changed.json()["url"], changed.json()["events"]) == (URL + "2", ["task.expired"])
    off = (await caller.client.patch(path, json={"enabled": False})).json()
    assert (off["enabled"], off["disabled_reason"], off["url"]) == (False, "asked", URL + "2")
    on = (await caller.client.patch(path, json={"enabled": True, "events": None})).json()
    assert (on["enabled"], on["disabled_reason"], on["disabled_at"], on["events"]) == (True, None, None, TYPES)
    assert (await caller.client.patch(path, json={"url": "https://10.0.0.1/"})).status_code == 400
    deleted = await caller.client.delete(path)
    assert deleted.json() == {"object": "webhook_endpoint", "id": made["id"], "deleted": True}
    assert (await caller.client.delete(path)).status_code == 404


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.EXPIRED])
async def test_every_end_of_a_task_is_put_out_as_the_task_object(world, caller, status):
    made = await make(caller)
    task_id = await end(world, caller, status)

    [delivery] = (await caller.json("/v1/webhook_deliveries"))["data"]

    msgspec.convert(delivery, shapes.WebhookDelivery)
    assert (delivery["endpoint_id"], delivery["task_id"], delivery["status"]) == (made["id"], task_id, "pending")
    assert delivery["event"]["type"] == f"task.{status.value}"
    assert delivery["event"]["data"] == await caller.json(f"/v1/tasks/{task_id}")
    assert await caller.json(f"/v1/webhook_deliveries/{delivery['id']}") == delivery


async def test_a_cancel_by_api_is_put_out(world, caller):
    await make(caller)
    task_id = await world.task(caller)

    await caller.client.post(f"/v1/tasks/{task_id}/cancel")
    await caller.client.post(f"/v1/tasks/{task_id}/cancel")

    deliveries = (await caller.json("/v1/webhook_deliveries"))["data"]
    assert [one["event"]["type"] for one in deliveries] == ["task.cancelled"]


async def test_without_hook_and_endpoint_nothing_is_put_out(world, caller):
    await end(world, caller)

    assert (await caller.json("/v1/webhook_deliveries"))["data"] == []


async def test_a_tasks_own_hook_gets_the_dialects_body_beside_the_endpoints_event(world, caller):
    await make(caller)
    task_id = await end(world, caller, hook_url="https://caller.example.com/hook")

    deliveries = (await caller.json("/v1/webhook_deliveries"))["data"]

    own, account = sorted(deliveries, key=lambda one: one["endpoint_id"] or "")
    assert own["endpoint_id"] is None
    assert own["event"]["data"]["task_id"] == task_id
    assert own["event"]["data"]["task_status"] == "failed"
    assert account["event"]["data"]["object"] == "task"
    assert own["event"]["id"] != account["event"]["id"]


async def test_replay_is_202_and_replays_of_a_span_are_counted(world, caller):
    made = await make(caller)
    await end(world, caller)
    path = f"/v1/webhook_endpoints/{made['id']}"
    await caller.client.patch(path, json={"enabled": False})
    [dead] = (await caller.json("/v1/webhook_deliveries?status=dead"))["data"]
    assert dead["dead_reason"] == "endpoint_disabled"
    replay = f"/v1/webhook_deliveries/{dead['id']}/replay"
    assert (await caller.client.post(replay)).status_code == 409
    await caller.client.patch(path, json={"enabled": True})

    again = await caller.client.post(replay)

    assert (again.status_code, again.json()["status"]) == (202, "pending")
    msgspec.convert(again.json(), shapes.WebhookDelivery)
    await caller.client.patch(path, json={"enabled": False})
    await caller.client.patch(path, json={"enabled": True})
    span = {"from": "2020-01-01T00:00:00Z", "to": "2020-02-01T00:00:00Z"}
    assert (await caller.client.post("/v1/webhook_deliveries/replay", json=span)).json()["count"] == 0
    span = {"from": dead["created_at"], "to": "2100-01-01"}
    assert (await caller.client.post("/v1/webhook_deliveries/replay", json=span)).status_code == 400  # too long
    span = {"from": dead["created_at"][:10], "to": dead["created_at"][:10]}
    counted = await caller.client.post("/v1/webhook_deliveries/replay", json=span)
    assert (counted.status_code, counted.json()) == (202, {"object": "webhook_replay", "count": 1})


@pytest.mark.parametrize("query", ["status=lost", "limit=0", "cursor=x"])
async def test_f021_a_filter_that_cannot_be_is_400(small, query):
    caller = await small.tenant()

    assert (await caller.get(f"/v1/webhook_deliveries?{query}")).status_code == 400


@pytest.mark.parametrize("query", ["endpoint_id=%00", "task_id=a%00b", "endpoint_id='--", "task_id=%F0%9F%A6%8A"])
async def test_odd_filters_find_nothing(world, caller, query):
    assert (await caller.json(f"/v1/webhook_deliveries?{query}"))["data"] == []


async def test_the_hook_secret_is_shown_when_it_is_made(world, caller):
    first = await caller.client.post("/v1/hook_secret")
    second = await caller.client.post("/v1/hook_secret")

    assert first.status_code == second.status_code == 201
    assert first.json()["object"] == "hook_secret"
    assert first.json()["secret"] != second.json()["secret"]
    assert (await caller.get("/v1/hook_secret")).status_code == 405


async def test_f025_s4_another_tenants_things_are_as_things_that_are_not(world, caller):
    made = await make(caller)
    await end(world, caller)
    [delivery] = (await caller.json("/v1/webhook_deliveries"))["data"]
    strangers = [await world.tenant(), await world.tenant("live")]

    for stranger in strangers:
        for method, path in (
            ("GET", "/v1/webhook_endpoints/{}"),
            ("PATCH", "/v1/webhook_endpoints/{}"),
            ("DELETE", "/v1/webhook_endpoints/{}"),
            ("POST", "/v1/webhook_endpoints/{}/rotate"),
            ("GET", "/v1/webhook_deliveries/{}"),
            ("POST", "/v1/webhook_deliveries/{}/replay"),
        ):
            real = made["id"] if "endpoints" in path else delivery["id"]
            answers = [
                await stranger.client.request(method, path.format(one), json={} if method == "PATCH" else None)
                for one in (real, real[:-4] + "0000")
            ]
            bodies = [one.json()["error"] | {"request_id": ""} for one in answers]
            assert [one.status_code for one in answers] == [404, 404]
            assert bodies[0] == bodies[1]
        assert (await stranger.json("/v1/webhook_endpoints"))["data"] == []
        assert (await stranger.json("/v1/webhook_deliveries"))["data"] == []
    assert (await caller.json(f"/v1/webhook_endpoints/{made['id']}"))["enabled"] is True


async def test_pages_of_endpoints(world, caller):
    made = [(await make(caller))["id"] for _ in range(3)]

    first = await caller.json("/v1/webhook_endpoints?limit=2")
    rest = await caller.json(f"/v1/webhook_endpoints?limit=2&cursor={first['next_cursor']}")

    found = [one["id"] for one in first["data"] + rest["data"]]
    assert sorted(found) == sorted(made)
    assert rest["next_cursor"] is None

"""Tasks: shown, listed, waited for, cancelled, followed."""

import asyncio
import json

import msgspec
import pytest

from yiapi.api import following, shapes
from yiapi.errors import StorageUnavailable
from yiapi.providers.contract import Status
from yiapi.tasks.models import Ended


async def ended(world, caller, task_id, status=Status.FAILED):
    tasks = world.app.station.tasks
    task = await tasks.get(caller.account_id, caller.mode, task_id)
    if status is Status.SUCCEEDED:
        await tasks.end(task, Ended(status=status, captures=True), fence=0)
    else:
        await tasks.end(task, Ended(status=status, error_code="unavailable", error_message="It failed."), fence=0)


async def test_a_task_is_shown_in_one_shape(world, caller):
    task_id = await world.task(caller)

    task = await caller.json(f"/v1/tasks/{task_id}")

    assert msgspec.convert(task, shapes.Task)
    assert (task["id"], task["status"], task["operation"]) == (task_id, "running", "kling.text2video")
    assert task["charge"] == {"held": "0.14", "captured": "0", "currency": "USD"}
    assert "vendor-1" not in str(task)
    assert "secret" not in str(task)


async def test_tasks_are_listed_with_their_assets(world, caller):
    task_id = await world.task(caller)
    asset_id = await world.asset(caller, b"some words", task_id)
    await ended(world, caller, task_id, Status.SUCCEEDED)

    tasks = await caller.json("/v1/tasks")

    assert msgspec.convert(tasks, shapes.Tasks)
    assert [asset["id"] for asset in tasks["data"][0]["result"]["assets"]] == [asset_id]
    assert tasks["data"] == [await caller.json(f"/v1/tasks/{task_id}")]


async def test_tasks_come_newest_first_in_pages(world, caller):
    made = [await world.task(caller) for _ in range(5)]

    found, cursor = [], ""
    while cursor is not None:
        page = await caller.json("/v1/tasks", params={"limit": 2, "cursor": cursor})
        found += [(task["created_at"], task["id"]) for task in page["data"]]
        cursor = page["next_cursor"]

    assert sorted(task_id for _, task_id in found) == sorted(made)
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"status": "running"}, {"video"}),
        ({"status": "failed"}, {"image"}),
        ({"operation": "kling.image"}, {"image"}),
        ({"provider": "kling", "status": "failed"}, {"image"}),
        ({"provider": "kling"}, {"image", "video"}),
        ({"provider": "openai"}, set()),
        ({"provider": "no-such-provider"}, set()),
        ({"operation": "%" * 1000}, set()),
    ],
)
async def test_tasks_are_filtered(world, caller, filters, expected):
    made = {"video": await world.task(caller), "image": await world.task(caller, operation="kling.image")}
    await ended(world, caller, made["image"])

    tasks = await caller.json("/v1/tasks", params=filters)

    assert {task["id"] for task in tasks["data"]} == {made[name] for name in expected}


async def test_f021_a_status_that_there_is_not_is_400(small):
    answer = await (await small.tenant()).get("/v1/tasks", params={"status": "done"})

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "status")


# Cancelling


async def test_a_cancelled_task_is_cancelled_at_once_and_twice_the_same(world, caller):
    task_id = await world.task(caller)

    first, second = [await caller.client.post(f"/v1/tasks/{task_id}/cancel") for _ in range(2)]

    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    assert first.json()["status"] == "cancelled"
    assert (await caller.json("/v1/account"))["held"] == "0"


async def test_a_task_that_ended_otherwise_is_not_cancelled(world, caller):
    task_id = await world.task(caller)
    await ended(world, caller, task_id)

    answer = await caller.client.post(f"/v1/tasks/{task_id}/cancel")

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_cancellable")


# Waiting


async def test_a_caller_can_wait_for_the_end(world, caller):
    task_id = await world.task(caller)

    waiting = asyncio.create_task(caller.json(f"/v1/tasks/{task_id}", headers={"prefer": "respond-async, wait=30"}))
    await ended(world, caller, task_id)

    assert (await waiting)["status"] == "failed"


async def test_a_wait_is_over_after_its_seconds(small):
    caller = await small.tenant()
    task_id = await small.task(caller)

    task = await caller.json(f"/v1/tasks/{task_id}", headers={"prefer": "wait=0.05"})

    assert task["status"] == "running"


async def test_nobody_waits_for_a_station_that_is_being_stopped(small):
    caller = await small.tenant()
    task_id = await small.task(caller)
    small.app.station.is_draining = True

    async with asyncio.timeout(5):
        assert (await caller.json(f"/v1/tasks/{task_id}", headers={"prefer": "wait=60"}))["status"] == "running"


@pytest.mark.parametrize("wait", ["wait=", "wait=-1", "wait=nan", "wait=inf", "wait=0", "wait=soon"])
async def test_a_wait_that_is_no_time_is_400(small, wait):
    caller = await small.tenant()
    task_id = await small.task(caller)

    answer = await caller.get(f"/v1/tasks/{task_id}", headers={"prefer": wait})

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Prefer")


# Following


class Reader:
    """Follows a task on raw ASGI, so that events are seen as they come and the reader can leave."""

    def __init__(self, world, caller, task_id, last_id=None):
        self.sent = asyncio.Queue()
        self.gone = asyncio.Event()
        headers = [(b"authorization", f"Bearer {caller.key}".encode())]
        headers += [] if last_id is None else [(b"last-event-id", last_id.encode())]
        path = f"/v1/tasks/{task_id}/events"
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "server": ("station", 80),
            "client": ("127.0.0.1", 1),
        }
        self.task = asyncio.create_task(world.asgi(scope, self.receive, self.sent.put))

    async def receive(self):
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def start(self):
        async with asyncio.timeout(10):
            return await self.sent.get()

    async def event(self):
        """Return the next event as (id, name, data); None at the end."""
        async with asyncio.timeout(10):
            message = await self.sent.get()
        if not message.get("more_body"):
            return None
        lines = dict(line.split(": ", 1) for line in message["body"].decode().strip().split("\n"))
        return lines.get("id"), lines.get("event"), json.loads(lines["data"]) if "data" in lines else lines

    async def all(self):
        found = []
        while (event := await self.event()) is not None:
            found.append(event)
        return found


async def test_a_task_is_followed_to_its_end(world, caller):
    task_id = await world.task(caller)
    reader = Reader(world, caller, task_id)
    start = await reader.start()

    first = await reader.event()
    await ended(world, caller, task_id)
    rest = await reader.all()

    assert start["status"] == 200
    assert dict(start["headers"])[b"content-type"].startswith(b"text/event-stream")
    assert b"x-request-id" in dict(start["headers"])
    assert first[:2] == ("2", "progress")
    assert [(event_id, name) for event_id, name, _ in rest] == [("3", "completed")]
    assert msgspec.convert(rest[0][2], shapes.Task).status == "failed"
    assert rest[0][2] == await caller.json(f"/v1/tasks/{task_id}")


@pytest.mark.parametrize(("last_id", "expected"), [("0", ["completed"]), ("2", ["completed"]), ("3", []), ("999", [])])
async def test_following_goes_on_after_the_last_event_seen(world, caller, last_id, expected):
    task_id = await world.task(caller)
    await ended(world, caller, task_id)
    reader = Reader(world, caller, task_id, last_id)

    await reader.start()

    assert [name for _, name, _ in await reader.all()] == expected


async def test_an_id_from_the_future_does_not_hide_the_end(small):
    caller = await small.tenant()
    task_id = await small.task(caller)
    reader = Reader(small, caller, task_id, "999")
    await reader.start()

    await ended(small, caller, task_id)

    assert [name for _, name, _ in await reader.all()] == ["completed"]


@pytest.mark.parametrize("last_id", ["-1", "x", "9" * 30, "1.5", "²"])
async def test_an_event_id_that_is_not_ours_is_400(small, last_id):
    caller = await small.tenant()
    task_id = await small.task(caller)

    answer = await caller.get(f"/v1/tasks/{task_id}/events", headers={b"last-event-id": last_id.encode("latin-1")})

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Last-Event-ID")


def running(world, caller):
    return world.app.station.apikeys._admission._accounts[caller.account_id, caller.mode].count


async def test_a_reader_that_leaves_ends_the_stream_and_frees_its_place(small):
    caller = await small.tenant()
    reader = Reader(small, caller, await small.task(caller))
    await reader.start()
    await reader.event()
    assert running(small, caller) == 1

    reader.gone.set()
    async with asyncio.timeout(5):
        await reader.task

    assert running(small, caller) == 0


async def test_whoever_follows_is_one_of_the_parallel_requests(small):
    caller = await small.key(await small.tenant(), parallel_max=1)
    task_id = await small.task(caller)
    reader = Reader(small, caller, task_id)
    await reader.start()

    answer = await caller.get(f"/v1/tasks/{task_id}/events")
    waiting = await caller.get(f"/v1/tasks/{task_id}", headers={"prefer": "wait=1"})

    assert answer.status_code == waiting.status_code == 429
    assert answer.headers["retry-after"]
    assert (await caller.get(f"/v1/tasks/{task_id}")).status_code == 200
    reader.gone.set()
    await reader.task


async def test_a_silent_stream_is_kept_alive(small, monkeypatch):
    monkeypatch.setattr(following, "COMMENT_S", 0.0)
    caller = await small.tenant()
    reader = Reader(small, caller, await small.task(caller))
    await reader.start()
    await reader.event()

    async with asyncio.timeout(10):
        assert (await reader.sent.get())["body"] == b": keep-alive\n\n"
    reader.gone.set()
    await reader.task


async def test_an_outage_of_the_database_is_waited_out(small, monkeypatch):
    caller = await small.tenant()
    task_id = await small.task(caller)
    reader = Reader(small, caller, task_id)
    await reader.start()
    await reader.event()
    read, failed = small.app.database.read, asyncio.Event()

    async def away_once(job):
        if not failed.is_set():
            failed.set()
            raise StorageUnavailable("the database does not answer")
        return await read(job)

    monkeypatch.setattr(small.app.database, "read", away_once)
    async with asyncio.timeout(10):
        await failed.wait()
    await ended(small, caller, task_id)

    assert [name for _, name, _ in await reader.all()] == ["completed"]


async def test_a_station_that_is_being_stopped_says_so_in_band(small):
    caller = await small.tenant()
    reader = Reader(small, caller, await small.task(caller))
    await reader.start()
    await reader.event()

    small.app.station.is_draining = True
    events = await reader.all()

    assert [(event_id, name) for event_id, name, _ in events] == [(None, "error")]
    assert events[0][2]["error"]["code"] == "draining"


async def test_what_breaks_a_stream_is_said_in_band_and_gives_nothing_away(small, monkeypatch):
    caller = await small.tenant()
    task_id = await small.task(caller)

    async def broken(task):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(small.app.station.tasks, "object", broken)
    reader = Reader(small, caller, task_id)
    await reader.start()
    events = await reader.all()

    assert [(name, body["error"]["code"]) for _, name, body in events] == [("error", "internal_error")]
    assert "secret" not in str(events)


async def test_asking_for_the_head_follows_nothing(small):
    caller = await small.tenant()
    task_id = await small.task(caller)

    async with asyncio.timeout(5):
        answer = await caller.client.head(f"/v1/tasks/{task_id}/events")

    assert answer.headers["content-type"].startswith("text/event-stream")

"""A gateway or the worker is killed, and started again by its supervisor: the books agree, no task or hook is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator

import httpx
import pytest
import standardwebhooks
from stations import Station
from tests_support import Act, Vendor, answer

from yiapi.db.sql import query_of

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

FINAL = {"succeeded", "failed", "cancelled", "expired"}
TASKS = query_of("tasks", "SELECT id, status, vendor_task_id FROM tasks")


@pytest.fixture(params=["sqlite", "postgres"])
async def station(request, tmp_path) -> AsyncIterator[Station]:
    url = request.getfixturevalue("postgres")() if request.param == "postgres" else None
    station = Station(tmp_path, url)
    await station.start()
    yield station
    station.stop()


async def test_a_killed_gateway_loses_no_task_and_charges_nothing_twice(station):
    accepted: list[str] = []
    async with station.client(limits=httpx.Limits(max_connections=16)) as client:
        running = [asyncio.create_task(_call(client, number, accepted)) for number in range(50)]
        done = asyncio.as_completed(running)
        for _ in range(12):
            await next(done)
        os.kill(station.gateway(), signal.SIGKILL)
        await asyncio.gather(*running)
        await station.ready()

        ends = [await _end(client, task_id) for task_id in accepted]
        assert accepted
        assert set(ends) == {"succeeded"}
        await station.until_nothing_is_held()
        with station.books() as database:
            tasks = await database.read(lambda tx: tx.all(TASKS))
        assert {task["status"] for task in tasks} <= FINAL
        known = [task["vendor_task_id"] for task in tasks if task["vendor_task_id"] is not None]
        assert len(set(known)) == len(known)
        await station.assert_sound()


async def test_f093_a_killed_worker_loses_no_hook_and_repeats_under_the_same_id(station):
    headers = {"authorization": f"Bearer {station.said['api_key']}"}
    receiver = Vendor()
    receiver.otherwise = _slowly(answer(200, {}))
    await receiver.start()
    async with httpx.AsyncClient(base_url=station.base_url, headers=headers, timeout=30) as client:
        made = await client.post("/v1/webhook_endpoints", json={"url": receiver.url})
        tasks = [await _draw(client, number, receiver.url) for number in range(12)]

        await _arrived(receiver, 3)  # the others are on their way, or the task has not ended
        os.kill(station.pids("worker")[-1], signal.SIGKILL)

        wanted = {(task_id, kind) for task_id in tasks for kind in ("own", "account")}
        heard: dict[str, tuple[str, str]] = {}
        async with asyncio.timeout(150):
            while set(heard.values()) != wanted:
                await _arrived(receiver, len(receiver.got) + 1)
                for got in receiver.got:
                    told = _told(got.json)
                    assert heard.setdefault(got.headers["webhook-id"], told) == told
        assert len(heard) == len(wanted)  # one id each, however often it came
        for got in receiver.got:
            if _told(got.json)[1] == "account":
                standardwebhooks.Webhook(made.json()["secret"]).verify(got.body, got.headers)
    await receiver.stop()


def _slowly(act: Act) -> Act:
    async def wait(vendor, reader, writer, got):
        await asyncio.sleep(0.3)  # sleep: so that the kill finds some that arrived and were not marked
        await act(vendor, reader, writer, got)

    return wait


async def _draw(client: httpx.AsyncClient, number: int, hook: str) -> str:
    body = {"prompt": f"a cat, number {number}", "callback_url": hook}
    return (await client.post("/kling/v1/images/generations", json=body)).json()["data"]["task_id"]


async def _arrived(receiver: Vendor, count: int) -> None:
    async with asyncio.timeout(100):
        while len(receiver.got) < count:
            receiver.arrived.clear()
            await receiver.arrived.wait()


def _told(body: dict) -> tuple[str, str]:
    return (body["task_id"], "own") if "task_id" in body else (body["data"]["id"], "account")


async def _call(client: httpx.AsyncClient, number: int, accepted: list[str]) -> None:
    """Make one call of three kinds; what the kill takes away is not repeated."""
    with contextlib.suppress(httpx.HTTPError):
        if number % 3 == 0:
            answer = await client.post("/kling/v1/images/generations", json={"prompt": f"a cat, number {number}"})
            if answer.status_code == 200:
                accepted.append(answer.json()["data"]["task_id"])
        else:
            body = {"model": "gpt-4o", "messages": [{"role": "user", "content": f"number {number}"}]}
            await client.post("/v1/chat/completions", json=body | {"stream": number % 3 == 1})


async def _end(client: httpx.AsyncClient, task_id: str) -> str:
    async with asyncio.timeout(60):
        while True:
            task = (await client.get(f"/v1/tasks/{task_id}", headers={"prefer": "wait=10"})).json()
            if task["status"] in FINAL:
                return task["status"]

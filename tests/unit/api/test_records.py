"""Records of calls, their pages, and what they add up to."""

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from yiapi.api import shapes
from yiapi.providers.contract import Unit, Usage


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


async def test_a_record_says_what_a_call_was(world, caller):
    request_id = await world.call(
        caller,
        charge="0.0042",
        attempts=2,
        created_at_ms=ms("2026-11-23T08:00:00.120"),
        client_request_id="mine",
        usage=(Usage("gpt-4o", Unit.TOKEN_IN, 7), Usage("gpt-4o", Unit.TOKEN_IN_CACHED, 3)),
        duration_ms=12,
        first_byte_ms=5,
    )

    record = await caller.json(f"/v1/requests/{request_id}")

    assert msgspec.convert(record, shapes.RecordWithAttempts)
    assert record["created_at"] == "2026-11-23T08:00:00.120Z"
    assert record["charge"] == "0.0042"
    assert record["usage"] == [{"unit": "token_in", "quantity": 10}]
    assert record["attempts"] == 2
    assert record["error"] is None


async def test_a_record_names_no_channel(world, caller):
    request_id = await world.call(caller)

    for path in (f"/v1/requests/{request_id}", "/v1/requests"):
        text = (await caller.get(path)).text
        assert "secret" not in text
        assert "channel" not in text


async def test_a_failed_call_says_why(world, caller):
    request_id = await world.call(
        caller, status="failed", http_status=502, error_code="upstream_error", error_message="It failed.", usage=()
    )

    record = await caller.json(f"/v1/requests/{request_id}")

    assert record["error"] == {"code": "upstream_error", "message": "It failed."}


async def test_records_come_newest_first_in_pages_without_gaps(world, caller):
    at = ms("2026-11-23T08:00:00")
    made = [await world.call(caller, created_at_ms=at + number // 3) for number in range(8)]  # several in one instant

    found, cursor = [], ""
    while cursor is not None:
        page = await caller.json("/v1/requests", params={"limit": 3, "cursor": cursor})
        records = msgspec.convert(page, shapes.Records)
        found += [(record.created_at, record.id) for record in records.data]
        cursor = records.next_cursor

    assert sorted(made) == sorted(record_id for _, record_id in found)
    assert found == sorted(found, reverse=True)


async def test_a_cursor_of_another_tenant_shows_nothing_of_it(world, caller):
    other = await world.tenant()
    for _ in range(2):
        await world.call(other)
    cursor = (await other.json("/v1/requests", params={"limit": 1}))["next_cursor"]

    assert (await caller.json("/v1/requests", params={"cursor": cursor}))["data"] == []


# Sums


@pytest.fixture
async def calls(world, caller):
    """Calls on two days, by two operations."""
    for day, model, quantity in (("21", "gpt-4o", 1), ("22", "gpt-4o", 2), ("22", "gpt-4o-mini", 4)):
        lines = (Usage(model, Unit.TOKEN_IN, quantity), Usage(model, Unit.TOKEN_IN_CACHED, 10 * quantity))
        await world.call(caller, created_at_ms=ms(f"2026-11-{day}T23:59:59"), model=model, usage=lines, charge="0.001")
    await world.call(
        caller,
        created_at_ms=ms("2026-11-22T00:00:00"),
        operation="kling.text2video",
        provider="kling",
        model="kling-v1",
        usage=(Usage("kling-v1:std", Unit.SECOND, 5),),
        charge="0.14",
    )
    await world.call(caller, created_at_ms=ms("2026-11-20T12:00:00"), usage=(), charge="0", status="failed")
    return caller


SPAN = {"from": "2026-11-21", "to": "2026-11-22"}


async def test_usage_by_day_is_newest_first(calls):
    usage = await calls.json("/v1/usage", params=SPAN)

    assert msgspec.convert(usage, shapes.Usage)
    assert usage["data"] == [
        {
            "day": "2026-11-22",
            "requests": 3,
            "charge": "0.142",
            "usage": [{"unit": "second", "quantity": 5}, {"unit": "token_in", "quantity": 66}],
        },
        {"day": "2026-11-21", "requests": 1, "charge": "0.001", "usage": [{"unit": "token_in", "quantity": 11}]},
    ]


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("model", [("gpt-4o", 2, "0.002"), ("gpt-4o-mini", 1, "0.001"), ("kling-v1", 1, "0.14")]),
        ("provider", [("kling", 1, "0.14"), ("openai", 3, "0.003")]),
        ("operation", [("kling.text2video", 1, "0.14"), ("openai.chat", 3, "0.003")]),
    ],
)
async def test_usage_is_grouped_by_what_is_asked(calls, group, expected):
    usage = await calls.json("/v1/usage", params=SPAN | {"group_by": group})

    assert [(one[group], one["requests"], one["charge"]) for one in usage["data"]] == expected


async def test_usage_by_key_names_the_key(calls):
    usage = await calls.json("/v1/usage", params=SPAN | {"group_by": "key"})

    assert [one["key"] for one in usage["data"]] == [calls.key_id]


async def test_a_call_that_used_nothing_counts_as_a_request(calls):
    usage = await calls.json("/v1/usage", params={"from": "2026-11-20", "to": "2026-11-20"})

    assert usage["data"] == [{"day": "2026-11-20", "requests": 1, "charge": "0", "usage": []}]


@pytest.mark.parametrize(
    ("span", "requests"),
    [
        ({"from": "2026-11-22T00:00:00Z", "to": "2026-11-22T23:59:59Z"}, 1),  # the end is not in it
        ({"from": "2026-11-22T01:00:00.5+01:00", "to": "2026-11-23"}, 2),
        ({"from": "2026-11-22T00:00:00+00:00", "to": "2026-11-22"}, 3),
        ({"to": "2026-11-21"}, 2),
        ({"from": "2026-11-22", "to": "2026-11-22"}, 3),
    ],
)
async def test_a_span_is_days_or_times(calls, span, requests):
    usage = await calls.json("/v1/usage", params=span)

    assert sum(one["requests"] for one in usage["data"]) == requests


async def test_the_default_is_the_last_thirty_days(world, caller):
    now = world.app.station.clock.now_ms()
    for days in (0, 29, 31):
        await world.call(caller, created_at_ms=now - days * 86_400_000)

    assert sum(one["requests"] for one in (await caller.json("/v1/usage"))["data"]) == 2


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"group_by": "channel"}, "group_by"),
        ({"from": "2026-02-31"}, "from"),
        ({"to": "yesterday"}, "to"),
        ({"to": "0001-01-01T00:00:00+23:59"}, None),
        ({"from": "2026-11-23", "to": "2026-11-22T00:00:00Z"}, "from"),
        ({"from": "2020-01-01", "to": "2026-01-01"}, "from"),
        ({"from": "9999-12-31", "to": "9999-12-31"}, None),
        ({"from": "٢٠٢٦-11-23"}, "from"),
    ],
)
async def test_a_span_that_cannot_be_is_400(small, params, param):
    caller = await small.tenant()

    answer = await caller.get("/v1/usage", params=params)

    if param is not None:
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert answer.status_code in {200, 400}


async def test_more_groups_than_anybody_reads_are_refused(world, caller, monkeypatch):
    monkeypatch.setattr("yiapi.api.usage.GROUPS_SHOWN_MAX", 1)
    for model in ("a", "b"):
        await world.call(caller, model=model)

    assert (await caller.get("/v1/usage", params={"group_by": "model"})).status_code == 400
    assert (await caller.get("/v1/usage")).status_code == 200


async def test_sums_wait_for_their_turn_and_nothing_else_does(small, monkeypatch):
    caller = await small.tenant()
    read, began, may_go = small.app.database.read, asyncio.Event(), asyncio.Event()

    async def slow(job):
        if job.__module__ == "yiapi.api.usage":
            began.set()
            await may_go.wait()
        return await read(job)

    monkeypatch.setattr(small.app.database, "read", slow)
    monkeypatch.setattr("yiapi.api.usage.TURN_S", 0.01)
    first = asyncio.create_task(caller.get("/v1/usage"))
    async with asyncio.timeout(5):
        await began.wait()
        second = await caller.get("/v1/usage")
        assert (await caller.get("/v1/account")).status_code == 200

    assert (second.status_code, second.json()["error"]["code"]) == (503, "overloaded")
    assert second.headers["retry-after"]
    may_go.set()
    assert (await first).status_code == 200
    assert (await caller.get("/v1/usage")).status_code == 200

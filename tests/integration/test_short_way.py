"""Calls that find everything open: what becomes of their connections, and of those that cannot go on as they began."""

import asyncio
import json
from urllib.parse import urlsplit

import pytest
from tests_support import USAGE, answer, chat, chunk, hang, sse

from yiapi.money import Money

pytestmark = pytest.mark.anyio

PRICE = Money.parse("0.0035")
EVENTS = [chunk(role="assistant"), chunk("Hel"), chunk("lo!"), chunk(finish="stop"), USAGE, "[DONE]"]


@pytest.fixture
def is_warm() -> bool:
    return True


def connections(world):
    """Return how many connections to vendors are open, and how many were made."""
    stats = world.app.station.exchange._client.stats()
    return stats.open, stats.made


async def raw(world, data, answers):
    """Send bytes over a connection of its own, and return as many answers: status and body."""
    place = urlsplit(world.base_url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(data)
    found = []
    for _ in range(answers):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        found.append((int(head.split()[1]), json.loads(await reader.readexactly(length))))
    writer.close()
    return found


def request(world, text, **fields):
    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": text}]} | fields).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: station\r\nAuthorization: Bearer {world.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def test_calls_and_streams_one_after_the_other_need_one_connection(world):
    for number in range(6):
        if number % 2:
            world.vendor.script = [sse(*EVENTS)]
        served = await world.chat(stream=bool(number % 2))
        assert served.status_code == 200
        await world.settled()

    assert connections(world) == (1, 1)
    assert (await world.balance()).posted == Money.parse("10") - Money(6 * PRICE.nano)


async def test_calls_at_once_are_each_answered_and_charged(world):
    served = await asyncio.gather(*(world.chat(user=str(number)) for number in range(20)))

    assert [one.status_code for one in served] == [200] * 20
    assert len(await world.requests()) == 20
    assert (await world.balance()).posted == Money.parse("10") - Money(20 * PRICE.nano)


async def test_pipelined_calls_are_answered_in_their_order_and_each_charged(world):
    async def echo(vendor, reader, writer, got):
        await answer(200, chat(got.json["messages"][0]["content"]))(vendor, reader, writer, got)

    world.vendor.otherwise = echo
    data = b"".join(request(world, text) for text in ("one", "two", "three"))

    found = await raw(world, data, 3)

    assert [body["choices"][0]["message"]["content"] for _, body in found] == ["one", "two", "three"]
    assert (await world.balance()).posted == Money.parse("10") - Money(3 * PRICE.nano)


async def test_a_body_of_another_length_behind_the_same_head_is_another_request(world):
    place = urlsplit(world.base_url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    for text in ("a", "b" * 2000, "c"):
        writer.write(request(world, text))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    writer.close()

    assert [got.json["messages"][0]["content"] for got in world.vendor.got] == ["a", "b" * 2000, "c"]


async def test_a_key_that_was_revoked_is_refused_on_the_connection_where_it_was_let_in(world):
    [key] = await world.app.station.apikeys.list_keys(world.account_id)
    place = urlsplit(world.base_url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    statuses = []
    for is_revoked in (False, True):
        if is_revoked:
            await world.app.station.apikeys.revoke_key(key.id, actor="test")
            await world.app.refresh()
        writer.write(request(world, "hello"))
        head = await reader.readuntil(b"\r\n\r\n")
        statuses.append(int(head.split()[1]))
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    writer.close()

    assert statuses == [200, 401]
    assert world.calls_upstream == 1


async def test_a_vendor_that_closed_its_idle_connections_is_asked_over_new_ones(world):
    for task in list(world.vendor._tasks):
        task.cancel()
    await asyncio.gather(*list(world.vendor._tasks), return_exceptions=True)

    served = await world.chat()

    assert served.status_code == 200
    assert connections(world)[1] == 2
    [row] = await world.requests()
    assert row["status"] == "succeeded"
    assert (await world.balance()).posted == Money.parse("10") - PRICE


async def test_a_stream_whose_vendor_never_ends_its_answer_gives_up_the_connection(world):
    world.vendor.script = [sse(*EVENTS, then="hang")]

    served = await world.chat(stream=True)

    assert served.text.endswith("data: [DONE]\n\n: x-yiapi-charge: 0.0035\n\n")
    async with asyncio.timeout(20):
        await world.vendor.got[0].left.wait()
    assert connections(world) == (0, 1)


async def test_a_reader_that_stops_holds_the_vendor_back_and_gets_all_of_it_later(world):
    text = "x" * 30_000
    many = [chunk(role="assistant"), *[chunk(text) for _ in range(400)], chunk(finish="stop"), USAGE, "[DONE]"]
    world.vendor.script = [sse(*many)]
    place = urlsplit(world.base_url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=1024)
    writer.write(request(world, "hello", stream=True))
    async with asyncio.timeout(20):
        while not any(connection.is_blocked for connection in world.edge.connections):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
    held = sum(connection._transport.get_write_buffer_size() for connection in world.edge.connections)

    received = b""
    while b"x-yiapi-charge" not in received[-200:]:
        received += await reader.read(1 << 20)
    writer.close()

    assert held < 2_000_000
    assert received.count(b'"content":"x') + received.count(b'"content": "x') == 400
    assert (await world.balance()).posted == Money.parse("10") - PRICE


async def test_a_caller_that_leaves_a_silent_vendor_is_given_up_and_pays_nothing(world):
    world.vendor.script = [hang()]
    place = urlsplit(world.base_url)
    _, writer = await asyncio.open_connection(place.hostname, place.port)
    world.vendor.arrived.clear()
    writer.write(request(world, "hello"))
    await world.vendor.arrived.wait()
    writer.transport.abort()

    async with asyncio.timeout(20):
        await world.vendor.got[-1].left.wait()
    [row] = await world.requests()
    assert (row["status"], row["http_status"], row["charge"]) == ("failed", 499, 0)
    assert (await world.balance()).available == Money.parse("10")

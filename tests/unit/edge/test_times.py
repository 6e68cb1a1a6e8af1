"""Nobody holds a connection for longer than the limits say, and nobody who keeps to them is cut."""

import asyncio

import pytest

pytestmark = pytest.mark.anyio

GET = b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST /b HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc"


async def test_an_idle_connection_is_closed_in_time(serve, call):
    place = await serve(keep_s=75)
    caller = await call(place)
    await caller.ask(GET)

    place.later(74)
    kept = await caller.ask(POST)
    place.later(76)

    assert kept.body == b"abc"
    assert await caller.rest() == b""


async def test_a_connection_that_never_says_anything_is_closed_in_time(serve, call, until):
    place = await serve(keep_s=75)
    caller = await call(place)
    await until(lambda: bool(place.edge.connections))

    place.later(76)

    assert await caller.rest() == b""


@pytest.mark.parametrize("sent", [b"GET /a HT", b"GET /a HTTP/1.1\r\nho", b"GET /a HTTP/1.1\r\nhost: x\r\n"])
async def test_f016_a_slow_head_is_refused_in_time(serve, call, until, sent):
    place = await serve(head_s=10)
    caller = await call(place)
    await caller.ask(GET)
    await caller.send(sent)
    await until(lambda: any(connection._target for connection in place.edge.connections))

    place.later(9)
    await caller.send(b"a")
    place.later(11)
    refused = await caller.answer()

    assert refused.status == 408
    assert await caller.rest() == b""
    assert len(place.seen) == 1


async def test_f016_a_head_that_comes_a_byte_at_a_time_has_no_more_time(serve, call):
    place = await serve(head_s=10)
    caller = await call(place)

    for byte in GET[:-1]:
        await caller.send(bytes([byte]), b"")
        place.later(9)
    place.later(11)

    assert (await caller.answer()).status == 408


@pytest.mark.parametrize("sent", [b"\r\n", b"POS"])
async def test_what_is_no_request_yet_keeps_a_connection_no_longer_than_a_head(serve, call, until, sent):
    place = await serve(head_s=10)
    caller = await call(place)
    await caller.send(sent)
    await until(lambda: any(connection._bare_bytes for connection in place.edge.connections))

    place.later(11)

    assert await caller.rest() == b""


async def test_a_long_answer_is_not_cut_by_the_time_for_idle_connections(serve, call):
    gate = asyncio.Event()

    async def handler(inbound):
        await gate.wait()
        await place.echo(inbound)

    place = await serve(handler)
    caller = await call(place)
    await caller.send(POST, b"")

    place.later(1000)
    gate.set()

    assert (await caller.answer()).body == b"abc"

"""An edge that is told to stop ends what is under way, and begins nothing new."""

import asyncio

import pytest

pytestmark = pytest.mark.anyio

GET = b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST /b HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc"


async def test_when_the_edge_stops_listening_idle_connections_are_closed_and_running_calls_end(serve, call, until):
    gate = asyncio.Event()

    async def handler(inbound):
        if inbound.path == b"/b":
            await gate.wait()
        await place.echo(inbound)

    place = await serve(handler)
    idle, running = await call(place), await call(place)
    await idle.ask(GET)
    await running.send(POST)
    await until(lambda: len(place.edge.connections) == 2 and any(one._current for one in place.edge.connections))

    place.edge.stop_listening()
    assert await idle.rest() == b""
    with pytest.raises(ConnectionRefusedError):
        await call(place)
    gate.set()
    answer = await running.answer()

    assert (answer.body, answer.headers["connection"]) == (b"abc", "close")
    assert await running.rest() == b""


async def test_a_stream_under_way_ends_whole_when_the_edge_stops_listening(serve, call):
    gate = asyncio.Event()

    async def handler(inbound):
        inbound.begin(200, b"")
        inbound.write(b"one ")
        await gate.wait()
        inbound.end(b"two")

    place = await serve(handler)
    caller = await call(place)
    await caller.send(GET)
    head = await caller.reader.readuntil(b"one ")

    place.edge.stop_listening()
    gate.set()

    assert b"chunked" in head
    assert await caller.rest() == b"\r\n3\r\ntwo\r\n0\r\n\r\n"


async def test_a_request_whose_head_has_begun_is_answered_while_the_edge_stops(serve, call, until):
    place = await serve()
    caller = await call(place)
    await caller.send(POST[:20])
    await until(lambda: any(one._bare_bytes for one in place.edge.connections))

    place.edge.stop_listening()
    answer = await caller.ask(POST[20:])

    assert (answer.body, answer.headers["connection"]) == (b"abc", "close")

"""A connection serves one request after the other, in order, for as long as both sides can read it alike."""

import asyncio
import gc

import pytest

from yiapi.edge.connection import Connection

pytestmark = pytest.mark.anyio

GET = b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST /b HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc"
BAD = b"GET /c HTTP/1.1\r\nhost: x\r\nbad header: y\r\n\r\n"


async def test_a_connection_serves_many_requests(serve, call):
    caller = await call(await serve())

    answers = [await caller.ask(request) for request in (GET, POST, GET, POST)]

    assert [answer.body for answer in answers] == [b"", b"abc", b"", b"abc"]
    assert all("connection" not in answer.headers for answer in answers)


async def test_connection_close_is_kept_to(serve, call):
    caller = await call(await serve())

    answer = await caller.ask(GET.replace(b"\r\n\r\n", b"\r\nConnection: Close\r\n\r\n"))

    assert answer.headers["connection"] == "close"
    assert await caller.rest() == b""


async def test_pipelined_requests_are_answered_in_order(serve, call):
    place = await serve()
    caller = await call(place)

    await caller.send(b"".join(POST.replace(b"abc", b"%03d" % number) for number in range(50)))
    answers = [await caller.answer() for _ in range(50)]

    assert [answer.body for answer in answers] == [b"%03d" % number for number in range(50)]


async def test_a_slow_answer_holds_back_those_after_it(serve, call):
    gate = asyncio.Event()
    begun = []

    async def handler(inbound):
        begun.append(inbound.path)
        if inbound.path == b"/a":
            await gate.wait()
        await place.echo(inbound)

    place = await serve(handler)
    caller = await call(place)
    await caller.send(GET + POST, GET.replace(b"/a", b"/z"))

    before = list(begun)
    gate.set()
    paths = [(await caller.answer()).headers["x-path"] for _ in range(3)]

    assert before == [b"/a"]
    assert paths == ["/a", "/b", "/z"]


@pytest.mark.parametrize("before", [0, 1, 3])
async def test_a_bad_request_is_refused_after_those_before_it_are_answered(serve, call, before):
    place = await serve()
    caller = await call(place)

    await caller.send(POST * before + BAD + POST)
    answers = [await caller.answer() for _ in range(before + 1)]

    assert [answer.status for answer in answers] == [200] * before + [400]
    assert answers[-1].headers["connection"] == "close"
    assert await caller.rest() == b""
    assert len(place.seen) == before


async def test_a_bad_request_while_one_is_answered_waits_for_it(serve, call):
    gate = asyncio.Event()

    async def handler(inbound):
        await gate.wait()
        await place.echo(inbound)

    place = await serve(handler)
    caller = await call(place)

    await caller.send(POST, BAD, POST)
    gate.set()
    answers = [await caller.answer() for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 400]
    assert await caller.rest() == b""


async def test_a_broken_body_in_a_pipeline_is_refused_after_those_before_it(serve, call):
    place = await serve()
    caller = await call(place)

    await caller.send(GET + b"POST /b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcXX" + GET)
    answers = [await caller.answer() for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 400]
    assert await caller.rest() == b""


async def test_what_follows_the_last_request_of_a_connection_is_not_served(serve, call):
    place = await serve()
    caller = await call(place)

    answer = await caller.ask(GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n") + POST)

    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await caller.rest() == b""
    assert [seen.path for seen in place.seen] == [b"/a"]


async def test_a_crowd_of_pipelined_requests_is_served_in_part_and_told_to_ask_again(serve, call):
    place = await serve(waiting_max=8)
    caller = await call(place)

    await caller.send(GET * 1000)
    said = await caller.rest()

    served = said.count(b"HTTP/1.1 200 OK")
    assert served == len(place.seen) == 9
    assert said.count(b"connection: close") == 1
    assert said.rpartition(b"HTTP/1.1")[2].count(b"connection: close") == 1


async def test_empty_lines_between_requests_are_skipped(serve, call):
    caller = await call(await serve())

    answers = [await caller.ask(b"\r\n\r\n" + POST + b"\r\n"), await caller.ask(POST)]

    assert [answer.body for answer in answers] == [b"abc", b"abc"]


# HTTP/1.0


async def test_http_1_0_is_answered_and_closed(serve, call):
    caller = await call(await serve())

    answer = await caller.ask(b"GET /a HTTP/1.0\r\n\r\n")

    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await caller.rest() == b""


async def test_http_1_0_can_be_kept_alive_and_is_told_so(serve, call):
    caller = await call(await serve())
    request = b"POST /a HTTP/1.0\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\n"

    answers = [await caller.ask(request + b"1"), await caller.ask(request + b"2")]

    assert [answer.body for answer in answers] == [b"1", b"2"]
    assert {answer.headers["connection"] for answer in answers} == {"keep-alive"}


async def test_http_1_0_gets_a_body_of_unknown_size_until_the_connection_ends(serve, call):
    async def handler(inbound):
        inbound.begin(200, b"")
        inbound.write(b"one ")
        inbound.end(b"two")

    caller = await call(await serve(handler))

    answer = await caller.ask(b"GET /a HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")

    assert answer.headers["connection"] == "close"
    assert "transfer-encoding" not in answer.headers
    assert answer.body == b"one two"


def living(but: list[Connection] | None = None) -> list[Connection]:
    """The connections that nobody has freed, except those that were there before."""
    before = {id(one) for one in but or ()}
    return [one for one in gc.get_objects() if type(one) is Connection and id(one) not in before]


async def test_a_connection_that_has_ended_leaves_nothing_to_the_garbage_collector(serve, call, until):
    place = await serve()
    gc.collect()
    gc.disable()
    try:
        others = living()  # of other tests
        for _ in range(3):
            caller = await call(place)
            assert [(await caller.ask(request)).status for request in (GET, POST, GET)] == [200, 200, 200]
            caller.leave()
        await until(lambda: not place.edge.connections)

        await until(lambda: not living(but=others))
    finally:
        gc.enable()

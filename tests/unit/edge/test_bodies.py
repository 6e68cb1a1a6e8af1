"""A body is read as it was framed, waits while nobody reads it, and is never read as the next request."""

import asyncio

import pytest

pytestmark = pytest.mark.anyio

GET = b"GET /next HTTP/1.1\r\nhost: x\r\n\r\n"
CHUNKED = b"POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


def sized(size, *lines):
    return b"\r\n".join([b"POST /a HTTP/1.1", b"host: x", b"content-length: %d" % size, *lines, b"", b""])


def large(limit=2**20):
    return bytes(range(256)) * (limit // 256)


@pytest.mark.parametrize(
    ("body", "whole"),
    [
        (b"0\r\n\r\n", b""),
        (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"A\r\n0123456789\r\n00\r\n\r\n", b"0123456789"),
        (b"00000000000003\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b'1;name=value;other="quo ted"\r\na\r\n2;x\r\nbc\r\n0;last\r\n\r\n', b"abc"),
        (b"3\r\nabc\r\n0\r\nx-trailer: 1\r\nanother: 2\r\n\r\n", b"abc"),
        (b"3\r\nabc\r\n0\r\n" + b"x: y\r\n" * 500 + b"\r\n", b"abc"),
    ],
    ids=["empty", "one", "hexadecimal", "zeros", "extensions", "trailers", "many trailers"],
)
async def test_a_body_in_chunks_is_put_together(serve, call, body, whole):
    place = await serve()
    caller = await call(place)

    answer = await caller.ask(CHUNKED + body)
    following = await caller.ask(GET)

    assert answer.body == whole
    assert following.headers["x-path"] == "/next"


async def test_chunks_in_many_packets_are_put_together(serve, call):
    caller = await call(await serve())

    answer = await caller.ask(CHUNKED, b"3\r\nab", b"c\r", b"\n1", b"\r\nd\r\n0", b"\r\n", b"\r\n")

    assert answer.body == b"abcd"


async def test_trailers_are_dropped_and_do_not_leak_into_the_next_request(serve, call):
    place = await serve()
    caller = await call(place)
    trailers = b"authorization: Bearer other\r\nhost: evil\r\nx-secret: 1\r\n"

    await caller.ask(CHUNKED + b"3\r\nabc\r\n0\r\n" + trailers + b"\r\n" + GET)
    await caller.answer()

    assert [seen.pairs for seen in place.seen] == [
        [(b"host", b"x"), (b"transfer-encoding", b"chunked")],
        [(b"host", b"x")],
    ]


async def test_a_trailer_that_ends_the_connection_is_kept_to(serve, call):
    caller = await call(await serve())

    answer = await caller.ask(CHUNKED + b"0\r\nconnection: close\r\n\r\n")

    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await caller.rest() == b""


@pytest.mark.parametrize(
    "endless",
    [
        pytest.param(b"0\r\n" + b"x: y\r\n" * 100_000, id="trailers"),
        pytest.param(b"0\r\nx: " + b"y" * 2**20, id="a trailer"),
        pytest.param(b"1;" + b"x" * 2**20, id="a chunk extension"),
    ],
)
async def test_what_stands_around_a_body_is_bounded(serve, call, endless):
    place = await serve()
    caller = await call(place)

    refused = await caller.ask(CHUNKED + endless)

    assert refused.status in {400, 431}
    assert place.cut == 1
    assert await caller.rest() == b""


# Expectations


@pytest.mark.parametrize("value", [b"100-continue", b"100-Continue", b"100-continue \t"])
async def test_a_caller_that_waits_is_asked_for_its_body(serve, call, value):
    caller = await call(await serve())

    interim = await caller.ask(sized(3, b"expect: " + value))
    answer = await caller.ask(b"abc")

    assert interim.status == 100
    assert interim.head == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer.body == b"abc"


async def test_a_caller_is_asked_once(serve, call):
    async def handler(inbound):
        await gate.wait()
        await place.echo(inbound)

    gate = asyncio.Event()
    place = await serve(handler)
    caller = await call(place)

    await caller.send(sized(6, b"expect: 100-continue") + b"abc", b"")
    gate.set()
    answer = await caller.ask(b"def")

    assert (answer.status, answer.body) == (200, b"abcdef")


async def test_a_caller_that_waits_is_refused_without_its_body(serve, call):
    async def handler(inbound):
        inbound.answer(413, b"", b"too large")

    caller = await call(await serve(handler))

    answer = await caller.ask(sized(3, b"expect: 100-continue"))

    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert await caller.rest() == b""


async def test_a_caller_that_waits_with_no_body_is_answered(serve, call):
    caller = await call(await serve())

    answers = [await caller.ask(sized(0, b"expect: 100-continue")), await caller.ask(GET)]

    assert [answer.status for answer in answers] == [200, 200]


async def test_an_unknown_expectation_is_refused(serve, call):
    place = await serve()
    caller = await call(place)

    answer = await caller.ask(sized(3, b"expect: 200-ok"))

    assert (answer.status, place.seen) == (417, [])
    assert await caller.rest() == b""


async def test_http_1_0_knows_no_interim_answers(serve, call):
    caller = await call(await serve())
    head = sized(3, b"expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0")

    answer = await caller.ask(head, b"abc")

    assert (answer.status, answer.body) == (200, b"abc")


# Callers that end their side


@pytest.mark.parametrize("request_", [GET, sized(3) + b"abc", CHUNKED + b"1\r\na\r\n0\r\n\r\n"])
async def test_a_caller_that_ends_its_side_after_its_request_gets_the_answer(serve, call, request_):
    async def handler(inbound):
        await gate.wait()
        await place.echo(inbound)

    gate = asyncio.Event()
    place = await serve(handler)
    caller = await call(place)

    await caller.send(request_)
    caller.end()
    gate.set()

    assert (await caller.answer()).status == 200
    assert await caller.rest() == b""


async def test_a_caller_that_ends_its_side_gets_the_answers_to_all_it_has_asked(serve, call):
    caller = await call(await serve())

    await caller.send(GET * 5)
    caller.end()
    answers = [await caller.answer() for _ in range(5)]

    assert {answer.status for answer in answers} == {200}
    assert await caller.rest() == b""


async def test_a_caller_that_ends_its_side_inside_a_body_is_refused(serve, call):
    place = await serve()
    caller = await call(place)

    await caller.send(sized(10) + b"abc")
    caller.end()

    assert (await caller.answer()).status == 400
    assert await caller.rest() == b""
    assert place.cut == 1


@pytest.mark.parametrize("sent", [b"", b"P", b"POST /a HTTP/1.1\r\nhost"])
async def test_a_caller_that_ends_its_side_inside_a_head_is_let_go(serve, call, sent):
    place = await serve()
    caller = await call(place)

    await caller.send(sent)
    caller.end()

    assert await caller.rest() == b""
    assert place.seen == []


# Callers that leave


@pytest.mark.parametrize("how", ["leave", "reset"])
@pytest.mark.parametrize("cut", range(0, 90, 6))
async def test_a_connection_can_be_cut_anywhere(serve, call, until, how, cut):
    place = await serve()
    caller = await call(place)

    await caller.send((CHUNKED + b"3\r\nabc\r\n0\r\n\r\n")[:cut])
    getattr(caller, how)()
    other = await call(place)

    assert (await other.ask(GET)).status == 200
    other.leave()
    await until(lambda: not place.edge.connections)


async def test_a_caller_that_leaves_is_noticed_by_who_reads_its_body(serve, call, until):
    place = await serve()
    caller = await call(place)

    await caller.send(sized(10) + b"abc", b"")
    caller.reset()

    await until(lambda: place.cut == 1)


async def test_a_caller_that_leaves_is_noticed_while_it_is_answered(serve, call, until):
    async def handler(inbound):
        left = asyncio.Event()
        inbound.on_leave(left.set)
        inbound.begin(200, b"")
        inbound.write(b"one")
        await left.wait()
        assert inbound.has_left
        inbound.write(b"two")
        await inbound.drained()
        inbound.end()
        ends.append(True)

    ends = []
    caller = await call(await serve(handler))

    await caller.send(GET)
    await caller.reader.readuntil(b"one")
    caller.reset()

    await until(lambda: ends == [True])


# Large bodies


async def test_a_large_body_waits_until_somebody_reads_it(serve, call, until):
    async def handler(inbound):
        inbounds.append(inbound)
        await gate.wait()
        await place.echo(inbound)

    inbounds, gate = [], asyncio.Event()
    place = await serve(handler, unread_bytes_max=2**17)
    caller = await call(place)
    body = large(2**24)

    sending = asyncio.create_task(caller.send(sized(len(body)) + body))
    await until(lambda: bool(inbounds) and inbounds[0].is_paused)
    assert not sending.done()
    waiting_bytes = inbounds[0]._unread_bytes
    gate.set()
    answer = await caller.answer()

    assert waiting_bytes < 2**20
    assert answer.body == body
    await sending


async def test_a_large_body_that_waits_its_turn_is_held_back_too(serve, call, until):
    async def handler(inbound):
        await gates[inbound.path].wait()
        inbounds.append(inbound)
        await place.echo(inbound)

    gates, inbounds = {b"/next": asyncio.Event(), b"/a": asyncio.Event()}, []
    place = await serve(handler, unread_bytes_max=2**16)
    caller = await call(place)
    body = large(2**23)

    sending = asyncio.create_task(caller.send(GET + sized(len(body)) + body))
    gates[b"/next"].set()
    await caller.answer()
    connection = next(iter(place.edge.connections))
    await until(lambda: connection._current is not None and connection._current.is_paused)
    waiting_bytes = connection._current._unread_bytes
    gates[b"/a"].set()

    assert (await caller.answer()).body == body
    assert waiting_bytes < 2**20
    await sending


async def test_a_caller_that_is_refused_inside_its_body_can_read_why(serve, call):
    async def handler(inbound):
        await inbound.chunk()
        inbound.answer(413, b"", b"too large")

    caller = await call(await serve(handler))

    answer = await caller.ask(sized(2**23) + large(2**22))
    await caller.send(large(2**22))  # it goes on sending, and is not reset

    assert (answer.status, answer.body, answer.headers["connection"]) == (413, b"too large", "close")
    assert await caller.rest() == b""


async def test_a_refused_caller_that_never_stops_is_cut(serve, call, until):
    async def handler(inbound):
        inbound.answer(413, b"", b"")

    place = await serve(handler, farewell_bytes_max=2**20)
    caller = await call(place)

    answer = await caller.ask(sized(2**30) + b"a")
    with pytest.raises(ConnectionError):
        await caller.send(*[large(2**16)] * 10_000)

    assert answer.status == 413
    await until(lambda: not place.edge.connections)


async def test_a_refused_caller_that_says_nothing_is_let_go_in_time(serve, call, until):
    async def handler(inbound):
        inbound.answer(413, b"", b"")

    place = await serve(handler, farewell_s=5)
    caller = await call(place)
    await caller.ask(sized(100) + b"a")

    place.later(4)
    assert place.edge.connections
    place.later(6)

    await until(lambda: not place.edge.connections)


# Wishes for another protocol

H2C = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
WEBSOCKET = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"


@pytest.mark.parametrize("wish", [H2C, WEBSOCKET], ids=["h2c", "websocket"])
@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"", b""),
        (b"content-length: 3\r\n", b"abc"),
        (b"transfer-encoding: chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n"),
    ],
    ids=["no body", "length", "chunks"],
)
@pytest.mark.parametrize("in_pieces", [False, True], ids=["whole", "in pieces"])
async def test_a_wish_for_another_protocol_is_answered_in_ours(serve, call, wish, framing, body, in_pieces):
    place = await serve()
    caller = await call(place)
    head = b"POST /a?b HTTP/1.1\r\nhost: x\r\nX-Odd: 1\r\n" + wish + framing + b"\r\n"

    await caller.send(*([head[:30], head[30:], body, GET] if in_pieces else [head + body + GET]))
    answers = [await caller.answer(), await caller.answer()]

    assert [answer.headers["x-path"] for answer in answers] == ["/a", "/next"]
    assert answers[0].body == (b"abc" if body else b"")
    assert [(seen.path, seen.query) for seen in place.seen] == [(b"/a", b"b"), (b"/next", b"")]
    assert (b"x-odd", b"1") in place.seen[0].pairs


async def test_a_body_behind_a_wish_is_not_the_next_request(serve, call):
    place = await serve()
    caller = await call(place)
    hidden = b"GET /hidden HTTP/1.1\r\nhost: x\r\n\r\n"
    head = b"POST /a HTTP/1.1\r\nhost: x\r\n" + H2C + b"content-length: %d\r\n\r\n" % len(hidden)

    answer = await caller.ask(head + hidden)

    assert answer.body == hidden
    assert [seen.path for seen in place.seen] == [b"/a"]


async def test_a_thousand_wishes_in_one_packet_are_only_requests(serve, call):
    place = await serve(waiting_max=2000)
    caller = await call(place)
    head = b"GET /a HTTP/1.1\r\nhost: x\r\n" + H2C + b"\r\n"

    await caller.send(head * 1000)
    answers = [await caller.answer() for _ in range(1000)]

    assert {answer.status for answer in answers} == {200}


@pytest.mark.parametrize("more", [b"", b"content-length: 3\r\n"])
async def test_this_is_no_proxy(serve, call, more):
    place = await serve()
    caller = await call(place)

    refused = await caller.ask(b"CONNECT x:80 HTTP/1.1\r\nhost: x\r\n" + more + b"\r\nabc")

    assert (refused.status, place.seen) == (405, [])
    assert await caller.rest() == b""

"""What goes out is framed as it was announced, and a caller that does not read it cannot fill the memory."""

import asyncio
from functools import partial

import pytest

pytestmark = pytest.mark.anyio

GET = b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n"
HEAD = b"HEAD /a HTTP/1.1\r\nhost: x\r\n\r\n"


def answering(status, body):
    async def handler(inbound):
        inbound.answer(status, b"x-other: 1\r\n", body)

    return handler


def streaming(status, *pieces, size=None):
    async def handler(inbound):
        inbound.begin(status, b"x-other: 1\r\n", size_bytes=size)
        for piece in pieces[:-1]:
            inbound.write(piece)
        inbound.end(pieces[-1])

    return handler


async def test_an_answer_says_its_length_and_the_time(serve, call):
    caller = await call(await serve(answering(200, b"hello")))

    answer = await caller.ask(GET)

    assert (answer.status, answer.body) == (200, b"hello")
    assert answer.headers["content-length"] == "5"
    assert answer.headers["date"].endswith("GMT")


async def test_an_unusual_status_is_written(serve, call):
    caller = await call(await serve(answering(529, b"full")))

    assert (await caller.ask(GET)).status == 529


async def test_head_gets_the_head_alone(serve, call):
    caller = await call(await serve(answering(200, b"hello")))

    answers = [await caller.ask(HEAD, is_head=True) for _ in range(2)]

    assert {answer.headers["content-length"] for answer in answers} == {"5"}


@pytest.mark.parametrize("size", [None, 6])
async def test_head_gets_the_head_of_a_stream_alone(serve, call, size):
    caller = await call(await serve(streaming(200, b"one", b"two", size=size)))

    answers = [await caller.ask(HEAD, is_head=True) for _ in range(2)]

    assert {answer.status for answer in answers} == {200}


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("make", [answering, streaming, partial(streaming, size=3)], ids=["whole", "stream", "sized"])
async def test_some_answers_have_no_body_and_no_length(serve, call, status, make):
    caller = await call(await serve(make(status, b"abc")))

    answers = [await caller.ask(GET) for _ in range(2)]

    for answer in answers:
        assert answer.status == status
        assert not {"content-length", "transfer-encoding"} & answer.headers.keys()


async def test_a_stream_of_unknown_size_goes_in_chunks(serve, call):
    caller = await call(await serve(streaming(200, b"one ", b"", b"two ", b"three")))

    answers = [await caller.ask(GET) for _ in range(2)]

    assert [answer.body for answer in answers] == [b"one two three"] * 2
    assert answers[0].headers["transfer-encoding"] == "chunked"


@pytest.mark.parametrize("size", [1, 15, 16, 1023, 1024, 70_000])
async def test_a_chunk_of_any_size_is_read_as_it_was_written(serve, call, size):
    caller = await call(await serve(streaming(200, b"a" * size, b"b" * size)))

    answers = [await caller.ask(GET) for _ in range(2)]

    assert [answer.body for answer in answers] == [b"a" * size + b"b" * size] * 2


async def test_a_stream_of_a_known_size_has_its_length(serve, call):
    caller = await call(await serve(streaming(200, b"one ", b"two ", b"three", size=13)))

    answers = [await caller.ask(GET) for _ in range(2)]

    assert [answer.body for answer in answers] == [b"one two three"] * 2
    assert answers[0].headers["content-length"] == "13"


@pytest.mark.parametrize("size", [12, 14])
async def test_a_stream_of_another_size_than_announced_ends_the_connection(serve, call, size):
    caller = await call(await serve(streaming(200, b"one ", b"two ", b"three", size=size)))

    await caller.send(GET + GET)
    said = await caller.rest()

    assert said.count(b"HTTP/1.1 ") == 1
    assert len(said.partition(b"\r\n\r\n")[2]) < size


async def test_a_handler_that_breaks_before_its_answer_is_a_500(serve, call):
    async def handler(inbound):
        raise ValueError("broken")

    caller = await call(await serve(handler))

    answers = [await caller.ask(GET) for _ in range(2)]

    assert [answer.status for answer in answers] == [500, 500]


async def test_a_handler_that_breaks_inside_its_answer_ends_the_connection(serve, call):
    async def handler(inbound):
        inbound.begin(200, b"")
        inbound.write(b"one")
        raise ValueError("broken")

    caller = await call(await serve(handler))

    await caller.send(GET + GET)

    assert (await caller.rest()).count(b"HTTP/1.1 ") == 1


async def test_a_handler_that_does_not_answer_ends_the_connection(serve, call):
    async def handler(inbound):
        del inbound

    caller = await call(await serve(handler))

    await caller.send(GET)

    assert await caller.rest() == b""


async def test_a_handler_that_is_cancelled_ends_the_connection_and_no_other(serve, call):
    async def handler(inbound):
        if inbound.path == b"/a":
            asyncio.current_task().cancel()
            await asyncio.sleep(0)
        inbound.answer(200, b"", b"")

    place = await serve(handler)
    cut, other = await call(place), await call(place)

    await cut.send(GET)

    assert await cut.rest() == b""
    assert (await other.ask(GET.replace(b"/a", b"/b"))).status == 200


# Callers that read slowly

PIECE = b"x" * 2**16
BUFFER_BYTES = 2**15


def pouring(pieces, log):
    async def handler(inbound):
        inbound.begin(200, b"", size_bytes=pieces * len(PIECE))
        for number in range(pieces):
            if number == pieces - 1:
                inbound.end(PIECE)
            else:
                inbound.write(PIECE)
            log.append(inbound.is_blocked)
            await inbound.drained()
            if inbound.has_left:
                return

    return handler


def buffered(place):
    return sum(connection._transport.get_write_buffer_size() for connection in place.edge.connections)


async def test_a_stream_waits_for_its_reader_and_then_goes_on(serve, call, until):
    log = []
    place = await serve(pouring(32, log), buffer_bytes=BUFFER_BYTES)
    caller = await call(place, buffer_bytes=BUFFER_BYTES)

    await caller.send(GET)
    await until(lambda: log[-1:] == [True])
    waiting_bytes, written = buffered(place), len(log)
    answer = await caller.answer()

    assert written < 32
    assert waiting_bytes <= 2 * len(PIECE) + 2**16
    assert answer.body == PIECE * 32


async def test_a_caller_that_reads_nothing_is_cut_in_time(serve, call, until):
    log = []
    place = await serve(pouring(32, log), buffer_bytes=BUFFER_BYTES, unread_s=30)
    caller = await call(place, buffer_bytes=BUFFER_BYTES)
    await caller.send(GET)
    await until(lambda: log[-1:] == [True])

    place.later(0)
    place.later(29)
    assert place.edge.connections
    place.later(31)

    await until(lambda: not place.edge.connections)
    assert len(log) < 32


async def test_a_caller_that_reads_slowly_but_surely_is_not_cut(serve, call, until):
    log = []
    place = await serve(pouring(32, log), buffer_bytes=BUFFER_BYTES, unread_s=30, read_bytes_min=2**14)
    caller = await call(place, buffer_bytes=BUFFER_BYTES)
    await caller.send(GET)
    await until(lambda: log[-1:] == [True])

    now = 0
    while len(log) < 32:
        now += 29
        place.later(now)
        before = buffered(place)
        while before - buffered(place) < 2**14 and len(log) < 32:
            await caller.reader.read(2**14)

    assert place.edge.connections


async def test_a_last_answer_is_not_cut_while_it_is_read(serve, call, until):
    """A caller that closes after its answer may still need minutes to read it."""
    whole = PIECE * 32
    place = await serve(answering(200, whole), buffer_bytes=BUFFER_BYTES, unread_s=30, farewell_s=5)
    caller = await call(place, buffer_bytes=BUFFER_BYTES)
    await caller.send(GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
    await until(lambda: buffered(place) > 0)

    for seconds in (0, 6, 29):
        place.later(seconds)
    answer = await caller.answer()

    assert answer.body == whole
    assert await caller.rest() == b""


async def test_a_last_answer_that_nobody_reads_is_cut_in_time(serve, call, until):
    place = await serve(answering(200, PIECE * 32), buffer_bytes=BUFFER_BYTES, unread_s=30)
    caller = await call(place, buffer_bytes=BUFFER_BYTES)
    await caller.send(GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
    await until(lambda: buffered(place) > 0)

    place.later(0)
    place.later(31)

    await until(lambda: not place.edge.connections)


async def test_who_asks_without_reading_and_leaves_is_forgotten(serve, call, until):
    place = await serve(answering(200, PIECE * 32), buffer_bytes=BUFFER_BYTES)
    caller = await call(place, buffer_bytes=BUFFER_BYTES)
    await caller.send(GET * 20)
    await until(lambda: any(one._blocked_since and one._current is not None for one in place.edge.connections))

    caller.reset()

    await until(lambda: not place.edge.connections)  # and that no task is left is seen when the edge is stopped


async def test_who_asks_without_reading_is_asked_to_read_first(serve, call, until):
    served = []

    async def handler(inbound):
        served.append(inbound)
        inbound.answer(200, b"", PIECE * 16)

    place = await serve(handler, buffer_bytes=BUFFER_BYTES)
    caller = await call(place, buffer_bytes=BUFFER_BYTES)

    await caller.send(GET * 20)
    await until(lambda: buffered(place) > 0)
    for _ in range(100):
        await asyncio.sleep(0)
    waiting_bytes, before = buffered(place), len(served)
    answers = [await caller.answer() for _ in range(20)]

    assert before < 5
    assert waiting_bytes <= len(PIECE) * 17
    assert {len(answer.body) for answer in answers} == {len(PIECE) * 16}

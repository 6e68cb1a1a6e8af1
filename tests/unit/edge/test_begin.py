"""What answers requests in callbacks: in order, with the handler for the rest, and whoever leaves meanwhile."""

import asyncio

import pytest

pytestmark = pytest.mark.anyio

GET = b"GET /now HTTP/1.1\r\nhost: x\r\n\r\n"
LATER = GET.replace(b"/now", b"/later")
HANDED = GET.replace(b"/now", b"/handed")
DECLINED = GET.replace(b"/now", b"/declined")
HALF = b"POST /now HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nab"
BUFFER_BYTES = 2**14
PIECE = b"a" * 2**16


class Begins:
    """Begins requests as their paths say, and keeps those that are to be answered later."""

    def __init__(self) -> None:
        self.begun = []  # paths, in the order in which they were shown
        self.handled = []  # paths and what was begun, in the order in which the handler got them
        self.later = []
        self.left = []

    def begin(self, inbound):
        self.begun.append(inbound.path)
        if inbound.path == b"/now":
            self.answer(inbound)
        elif inbound.path == b"/later":
            self.later.append(inbound)
            inbound.on_leave(lambda: self.left.append(inbound))
        elif inbound.path == b"/handed":
            inbound.hand_over("what was begun")
        else:
            return False
        return True

    def answer(self, inbound):
        inbound.answer(200, b"x-path: " + inbound.path + b"\r\n", inbound.taken())
        inbound.done()

    async def handle(self, inbound):
        self.handled.append((inbound.path, inbound.begun))
        body = []
        while piece := await inbound.chunk():
            body.append(piece)
        inbound.answer(200, b"x-path: " + inbound.path + b"\r\nx-handled: 1\r\n", b"".join(body))


@pytest.fixture
def begins():
    return Begins()


@pytest.fixture
def place_of(serve):
    """Serve what begins requests, and its handler for the rest."""

    async def start(begins, **options):
        place = await serve(begins.handle, **options)
        place.edge.begin = begins.begin
        return place

    return start


def said(answers):
    return [(answer.headers["x-path"], "x-handled" in answer.headers) for answer in answers]


def served(place):
    """Return the tasks that connections have made."""
    return [connection._task for connection in place.edge.connections if connection._task is not None]


# One after the other


async def test_a_request_is_answered_in_the_callback_that_brought_it(place_of, call, begins):
    place = await place_of(begins)
    caller = await call(place)

    answers = [await caller.ask(GET) for _ in range(3)]

    assert said(answers) == [("/now", False)] * 3
    assert begins.handled == []
    assert served(place) == []


async def test_a_request_is_answered_in_a_later_callback(place_of, call, begins, until):
    place = await place_of(begins)
    caller = await call(place)

    for number in range(3):
        await caller.send(LATER)
        await until(lambda count=number + 1: len(begins.later) == count)
        asyncio.get_running_loop().call_soon(begins.answer, begins.later[-1])
        assert said([await caller.answer()]) == [("/later", False)]

    assert served(place) == []


async def test_what_is_not_begun_is_handled(place_of, call, begins):
    caller = await call(await place_of(begins))

    answer = await caller.ask(DECLINED)

    assert said([answer]) == [("/declined", True)]
    assert begins.begun == [b"/declined"]
    assert begins.handled == [(b"/declined", None)]


async def test_the_handler_gets_what_was_begun(place_of, call, begins):
    caller = await call(await place_of(begins))

    answer = await caller.ask(HANDED)

    assert said([answer]) == [("/handed", True)]
    assert begins.handled == [(b"/handed", "what was begun")]


async def test_a_request_is_handed_over_in_a_later_callback(place_of, call, begins, until):
    caller = await call(await place_of(begins))
    await caller.send(LATER)
    await until(lambda: begins.later)

    begins.later[0].hand_over("late")
    answer = await caller.answer()

    assert said([answer]) == [("/later", True)]
    assert begins.handled == [(b"/later", "late")]


@pytest.mark.parametrize(
    "head",
    [
        b"POST /now HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n",
        b"POST /now HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST /now HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n",
    ],
    ids=["that waits", "in chunks", "that is large"],
)
async def test_a_request_with_a_body_to_come_is_for_the_handler(place_of, call, begins, until, head):
    caller = await call(await place_of(begins))

    await caller.send(head)
    await until(lambda: begins.handled)

    assert begins.handled == [(b"/now", None)]
    assert begins.begun == []


# The rest of a small body


def answering(place):
    return [one for one in place.edge.connections if one._current is not None]


async def test_a_small_body_is_waited_for_before_its_request_is_begun(place_of, call, begins, until):
    place = await place_of(begins)
    caller = await call(place)

    await caller.send(HALF)
    await until(lambda: answering(place))
    before = (list(begins.begun), list(begins.handled))
    answer = await caller.ask(b"cd" + GET)
    following = await caller.answer()

    assert before == ([], [])
    assert (answer.body, begins.begun, begins.handled) == (b"abcd", [b"/now", b"/now"], [])
    assert said([following]) == [("/now", False)]


async def test_a_small_body_that_does_not_come_is_left_to_the_handler(place_of, call, begins, until):
    place = await place_of(begins)
    caller = await call(place)
    await caller.send(HALF)
    await until(lambda: answering(place))

    place.later(1)
    await until(lambda: begins.handled)
    place.later(2)
    answer = await caller.ask(b"cd")

    assert (answer.body, begins.begun, begins.handled) == (b"abcd", [], [(b"/now", None)])


async def test_a_caller_that_ends_inside_a_small_body_is_told_so_by_the_handler(place_of, call, begins, until):
    place = await place_of(begins)
    caller = await call(place)
    await caller.send(HALF)
    await until(lambda: answering(place))

    caller.end()
    answer = await caller.answer()

    assert (answer.status, begins.begun) == (400, [])
    assert await caller.rest() == b""


async def test_a_caller_that_leaves_inside_a_small_body_troubles_nobody(place_of, call, begins, until):
    place = await place_of(begins)
    caller = await call(place)
    await caller.send(HALF)
    await until(lambda: answering(place))

    caller.reset()
    await until(lambda: not place.edge.connections)

    assert (begins.begun, begins.handled) == ([], [])


# Both ways


async def test_both_ways_take_turns_on_one_connection_with_one_task(place_of, call, begins):
    place = await place_of(begins)
    caller = await call(place)
    requests = [GET, DECLINED, GET, HANDED, HANDED, GET, GET, DECLINED]

    answers = [await caller.ask(request) for request in requests]

    assert said(answers) == [(path(request), request in {DECLINED, HANDED}) for request in requests]
    assert len(served(place)) == 1


def path(request):
    return request.split(b" ")[1].decode()


async def test_a_request_with_a_remembered_head_is_begun_too(place_of, call, begins):
    caller = await call(await place_of(begins))
    request = HALF + b"cd"

    answers = [await caller.ask(request) for _ in range(3)]

    assert [answer.body for answer in answers] == [b"abcd"] * 3
    assert begins.begun == [b"/now"] * 3


async def test_an_answer_in_pieces_may_come_from_callbacks(place_of, call, begins, until):
    caller = await call(await place_of(begins))
    loop = asyncio.get_running_loop()
    await caller.send(LATER)
    await until(lambda: begins.later)
    (inbound,) = begins.later

    def end():
        inbound.end(b"three")
        inbound.done()

    inbound.begin(200, b"x-path: /later\r\n")
    loop.call_soon(inbound.write, b"one ")
    loop.call_soon(inbound.write, b"two ")
    loop.call_soon(end)
    answer = await caller.answer()

    assert answer.body == b"one two three"
    assert said([await caller.ask(GET)]) == [("/now", False)]


async def test_an_edge_without_a_begin_hands_everything_to_its_handler(serve, call):
    place = await serve()
    caller = await call(place)

    for body in (b"abc", b"0123456789"):
        await caller.ask(b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    assert [seen.path for seen in place.seen] == [b"/a", b"/a"]


# Pipelined


async def test_pipelined_requests_are_answered_in_order_in_one_breath(place_of, call, begins):
    place = await place_of(begins)
    caller = await call(place)

    await caller.send(b"".join(b"GET /now?%d HTTP/1.1\r\nhost: x\r\n\r\n" % number for number in range(60)))
    answers = [await caller.answer() for _ in range(60)]

    assert len(answers) == len(begins.begun) == 60
    assert served(place) == []
    assert said([await caller.ask(GET)]) == [("/now", False)]


async def test_pipelined_requests_wait_for_the_one_before_them(place_of, call, begins, until):
    caller = await call(await place_of(begins))
    await caller.send(LATER + GET + LATER)
    await until(lambda: begins.later)

    before = list(begins.begun)
    begins.answer(begins.later[0])
    first = [await caller.answer() for _ in range(2)]
    begins.answer(begins.later[1])
    last = await caller.answer()

    assert before == [b"/later"]
    assert begins.begun == [b"/later", b"/now", b"/later"]
    assert said([*first, last]) == [("/later", False), ("/now", False), ("/later", False)]


@pytest.mark.parametrize(
    "requests",
    [
        [GET, DECLINED],
        [DECLINED, GET],
        [HANDED, GET, HANDED],
        [GET, HANDED, DECLINED, GET],
        [DECLINED, HANDED, GET, GET, DECLINED],
    ],
)
async def test_pipelined_requests_of_both_ways_are_answered_in_order(place_of, call, begins, requests):
    caller = await call(await place_of(begins))

    await caller.send(b"".join(requests))
    answers = [await caller.answer() for _ in requests]
    after = await caller.ask(GET)

    assert [answer.headers["x-path"] for answer in [*answers, after]] == [*map(path, requests), "/now"]


async def test_a_request_whose_body_is_still_to_come_is_handled_behind_one_that_was_begun(
    place_of, call, begins, until
):
    caller = await call(await place_of(begins))

    await caller.send(GET + HALF)
    await until(lambda: begins.handled)
    await caller.send(b"cd")
    answers = [await caller.answer() for _ in range(2)]

    assert [answer.body for answer in answers] == [b"", b"abcd"]
    assert said(answers) == [("/now", False), ("/now", True)]


async def test_what_is_no_request_is_refused_after_what_was_begun_is_answered(place_of, call, begins, until):
    caller = await call(await place_of(begins))
    await caller.send(LATER + b"GET /bad HTTP/1.1\r\nbad header: y\r\n\r\n")
    await until(lambda: begins.later)

    begins.answer(begins.later[0])
    answers = [await caller.answer() for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 400]
    assert await caller.rest() == b""


async def test_the_last_request_of_a_connection_ends_it(place_of, call, begins):
    caller = await call(await place_of(begins))

    answer = await caller.ask(GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n") + GET)

    assert answer.headers["connection"] == "close"
    assert await caller.rest() == b""
    assert begins.begun == [b"/now"]


async def test_a_crowd_of_pipelined_requests_is_served_in_part_and_told_to_ask_again(place_of, call, begins):
    caller = await call(await place_of(begins, waiting_max=8))

    await caller.send(GET * 1000)
    said = await caller.rest()

    assert said.count(b"HTTP/1.1 200 OK") == len(begins.begun) == 9
    assert said.count(b"connection: close") == 1


# Ends


async def test_a_request_that_is_done_without_an_answer_cuts_its_connection(place_of, call, begins, until):
    place = await place_of(begins)
    caller = await call(place)
    await caller.send(LATER)
    await until(lambda: begins.later)

    begins.later[0].done()

    assert await caller.rest() == b""
    await until(lambda: not place.edge.connections)


async def test_who_began_a_request_is_told_when_its_caller_leaves(place_of, call, begins, until):
    place = await place_of(begins)
    caller = await call(place)
    await caller.send(LATER)
    await until(lambda: begins.later)

    caller.reset()
    await until(lambda: begins.left)
    begins.answer(begins.later[0])

    assert begins.left == begins.later
    assert begins.later[0].has_left
    await until(lambda: not place.edge.connections)


async def test_requests_behind_one_whose_caller_has_left_are_not_begun(place_of, call, begins, until):
    place = await place_of(begins)
    caller = await call(place)
    await caller.send(LATER + GET)
    await until(lambda: begins.later)

    caller.reset()
    begins.later[0].answer(200, b"", PIECE * 64)  # by which it is noticed
    await until(lambda: begins.left)
    begins.later[0].done()

    assert begins.begun == [b"/later"]
    await until(lambda: not place.edge.connections)


@pytest.mark.parametrize("before", [b"", DECLINED], ids=["without a task", "with a task"])
async def test_a_request_is_handed_over_when_its_caller_leaves(place_of, call, begins, until, before):
    place = await place_of(begins)
    caller = await call(place)
    if before:
        await caller.ask(before)
    await caller.send(LATER)
    await until(lambda: begins.later)
    (inbound,) = begins.later
    inbound.on_leave(lambda: inbound.hand_over("left"))

    caller.reset()
    await until(lambda: begins.handled[-1:] == [(b"/later", "left")])

    await until(lambda: not place.edge.connections)


@pytest.mark.parametrize("before", [b"", DECLINED], ids=["without a task", "with a task"])
async def test_a_request_may_be_handed_over_after_its_caller_has_left(place_of, call, begins, until, before):
    place = await place_of(begins)
    caller = await call(place)
    if before:
        await caller.ask(before)
    await caller.send(LATER)
    await until(lambda: begins.later)

    caller.reset()
    await until(lambda: begins.left and not place.edge.connections)
    begins.later[0].hand_over("late")
    await until(lambda: begins.handled[-1:] == [(b"/later", "late")])

    assert begins.later[0].has_left


async def test_a_caller_that_sends_no_more_still_gets_its_answer(place_of, call, begins, until):
    caller = await call(await place_of(begins))
    await caller.send(LATER)
    caller.end()
    await until(lambda: begins.later and begins.later[0].hung_up_at)

    begins.answer(begins.later[0])
    answer = await caller.answer()

    assert said([answer]) == [("/later", False)]
    assert await caller.rest() == b""
    assert begins.left == []


async def test_a_caller_that_sends_no_more_still_gets_the_answers_to_all_it_sent(place_of, call, begins):
    caller = await call(await place_of(begins))

    await caller.send(GET + HANDED + GET)
    caller.end()
    answers = [await caller.answer() for _ in range(3)]

    assert [answer.headers["x-path"] for answer in answers] == ["/now", "/handed", "/now"]
    assert await caller.rest() == b""


async def test_what_was_begun_is_answered_while_the_edge_drains(place_of, call, begins, until):
    place = await place_of(begins)
    caller, idle = await call(place), await call(place)
    await idle.ask(GET)
    await caller.send(LATER)
    await until(lambda: begins.later)

    place.edge.stop_listening()
    begins.answer(begins.later[0])
    answer = await caller.answer()

    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await caller.rest() == b""
    assert await idle.rest() == b""


async def test_cutting_the_edge_tells_who_began_a_request(place_of, call, begins, until):
    place = await place_of(begins)
    caller = await call(place)
    await caller.send(LATER)
    await until(lambda: begins.later)

    await place.edge.aclose()

    await until(lambda: begins.left)
    assert begins.later[0].has_left


# A caller that does not keep up


async def test_whoever_writes_is_told_that_the_caller_is_behind_and_once_when_it_is_not(place_of, call, begins, until):
    place = await place_of(begins, buffer_bytes=BUFFER_BYTES)
    caller = await call(place, buffer_bytes=BUFFER_BYTES)
    await caller.send(LATER)
    await until(lambda: begins.later)
    (inbound,) = begins.later
    size = 64 * len(PIECE)
    drained = []

    inbound.begin(200, b"x-path: /later\r\n", size_bytes=size)
    written = 0
    while not inbound.write(PIECE):
        written += 1
    assert inbound.is_blocked
    inbound.on_drain(lambda: drained.append(inbound.is_blocked))
    received = await caller.reader.readuntil(b"\r\n\r\n")
    body_bytes = 0
    while not drained:
        body_bytes += len(await caller.reader.read(BUFFER_BYTES))
    for _ in range(64 - written - 2):
        inbound.write(PIECE)
    inbound.end(PIECE)
    inbound.done()
    body_bytes += len(await caller.reader.readexactly(size - body_bytes))

    assert b"x-path: /later" in received
    assert 0 < written < 63
    assert body_bytes == size
    assert drained == [False]


async def test_a_caller_that_keeps_up_is_never_said_to_be_behind(place_of, call, begins, until):
    caller = await call(await place_of(begins))
    await caller.send(LATER)
    await until(lambda: begins.later)
    (inbound,) = begins.later

    inbound.begin(200, b"x-path: /later\r\n")
    told = [inbound.write(b"a piece"), inbound.write(b"")]
    inbound.end()
    inbound.done()

    assert told == [False, False]
    assert (await caller.answer()).body == b"a piece"


async def test_writing_to_a_caller_that_has_left_is_never_behind(place_of, call, begins, until):
    caller = await call(await place_of(begins, buffer_bytes=BUFFER_BYTES), buffer_bytes=BUFFER_BYTES)
    await caller.send(LATER)
    await until(lambda: begins.later)
    (inbound,) = begins.later
    inbound.begin(200, b"")
    while not inbound.write(PIECE):
        pass

    caller.reset()
    await until(lambda: inbound.has_left)

    assert inbound.write(PIECE) is False
    inbound.done()


async def test_a_pipelined_request_is_begun_when_the_answer_before_it_was_read(place_of, call, begins, until):
    place = await place_of(begins, buffer_bytes=BUFFER_BYTES)
    caller = await call(place, buffer_bytes=BUFFER_BYTES)
    await caller.send(LATER + GET)
    await until(lambda: begins.later)
    (inbound,) = begins.later

    inbound.answer(200, b"x-path: /later\r\n", PIECE * 32)
    inbound.done()
    before = list(begins.begun)
    answers = [await caller.answer() for _ in range(2)]

    assert before == [b"/later"]
    assert said(answers) == [("/later", False), ("/now", False)]
    assert len(answers[0].body) == 32 * len(PIECE)


async def test_a_request_that_comes_while_the_answer_before_it_is_unread_waits(place_of, call, begins, until):
    place = await place_of(begins, buffer_bytes=BUFFER_BYTES)
    caller = await call(place, buffer_bytes=BUFFER_BYTES)
    await caller.send(LATER)
    await until(lambda: begins.later)
    begins.later[0].answer(200, b"x-path: /later\r\n", PIECE * 32)
    begins.later[0].done()

    await caller.send(GET)
    await until(lambda: any(connection._current is not None for connection in place.edge.connections))
    before = list(begins.begun)
    answers = [await caller.answer() for _ in range(2)]

    assert before == [b"/later"]
    assert said(answers) == [("/later", False), ("/now", False)]

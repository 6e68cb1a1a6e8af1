"""A head that comes again is not parsed again, and whoever sends it is read as if it had been."""

import asyncio
import re
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wires import Wire, turns_until

from yiapi.edge import CallerGone, Edge, Head
from yiapi.edge.connection import Connection
from yiapi.edge.parsing import _LESSONS_MAX

pytestmark = pytest.mark.anyio

HEAD = b"POST /a?b=c HTTP/1.1\r\nhost: x\r\nauthorization: Bearer a\r\ncontent-length: %b\r\nx-last: 1\r\n\r\n"


def post(body=b"abc", *, length=None, head=HEAD):
    return head % (b"%d" % len(body) if length is None else length) + body


@dataclass
class Read:
    """What a connection made of the bytes that came in on it."""

    requests: list[tuple[object, ...]] = field(default_factory=list)
    heads: list[Head] = field(default_factory=list)
    cut: int = 0  # requests whose bodies broke off
    said: bytes = b""
    was_closed: bool = False  # by the edge

    @property
    def told(self):
        """Return what can be compared: everything but which heads were shared."""
        return self.requests, self.cut, self.said, self.was_closed

    @property
    def parsed(self):
        """Return how many heads were parsed."""
        return len({id(head) for head in self.heads})


async def read(*pieces, remembers=True, hurries=()):
    """Send pieces to an echo; each waits until what came whole is answered, unless its number is in ``hurries``."""
    read = Read()

    async def echo(inbound):
        parts = []
        read.heads.append(inbound.head)
        try:
            while part := await inbound.chunk():
                parts.append(part)
        except CallerGone:
            read.cut += 1
            raise
        body = b"".join(parts)
        line = (inbound.method, inbound.path, inbound.query, inbound.version, inbound.keeps_connection)
        read.requests.append((*line, own(inbound.pairs), own(inbound.headers.items()), body))
        inbound.answer(200, b"x-path: " + inbound.path + b"\r\n", body)

    loop = asyncio.get_running_loop()
    connection = Connection(Edge(echo), loop)
    if not remembers:
        connection._lessons = _LESSONS_MAX
    wire = Wire(loop, connection)
    connection.connection_made(wire)
    for number, piece in enumerate(pieces):
        await turns_until(lambda: wire.is_reading or wire.is_closed)
        if wire.is_closed or wire.has_ended:
            break
        connection.data_received(piece)
        if number not in hurries:
            await turns_until(lambda: wire.is_closed or (wire.is_reading and not is_answering(connection)))
    await turns_until(lambda: wire.is_closed or not is_answering(connection))
    read.was_closed = wire.is_closed or wire.has_ended
    wire.close()
    await turns_until(lambda: wire.is_lost and (connection._task is None or connection._task.done()))
    read.said = re.sub(rb"date: [^\r]*\r\n", b"", bytes(wire.said))
    return read


def own(pairs):
    """Return headers without the length, which is the body's to say: a head that comes again may say the first one."""
    return [pair for pair in pairs if pair[0] != b"content-length"]


def is_answering(connection):
    return (connection._current is not None and connection._current.is_complete) or connection._cork._held


@pytest.fixture
def sharing(serve):
    """A place with an echo, and the heads of the requests that it was given."""

    async def start():
        heads = []

        async def handler(inbound):
            heads.append(inbound.head)
            await place.echo(inbound)

        place = await serve(handler)
        return place, heads

    return start


# The same head


async def test_a_head_that_comes_again_is_parsed_once(sharing, call):
    place, heads = await sharing()
    caller = await call(place)

    for _ in range(3):
        await caller.ask(post())

    assert heads[0] is heads[1] is heads[2]
    assert place.seen[0] == place.seen[1] == place.seen[2]


async def test_the_same_head_with_another_length_is_read_with_its_own_body(sharing, call):
    place, heads = await sharing()
    caller = await call(place)
    bodies = [b"abc", b"", b"a", b"0123456789", b"\r\n\r\n", b"a" * 1000, b"content-length: 3\r\n\r\nabc", b"abc"]

    answers = [await caller.ask(post(body)) for body in bodies]

    assert [answer.body for answer in answers] == bodies
    assert [seen.body for seen in place.seen] == bodies
    assert len({id(head) for head in heads}) == 1


async def test_a_request_with_a_remembered_head_has_a_body_of_its_own(serve, call):
    bodies = []

    async def handler(inbound):
        bodies.append((inbound.is_complete, inbound.unread_bytes, inbound.taken(), inbound.unread_bytes))
        bodies.append(await inbound.chunk())
        inbound.answer(200, b"", b"")

    caller = await call(await serve(handler))

    for body in (b"abc", b"de"):
        await caller.ask(post(body))

    assert bodies == [(True, 3, b"abc", 0), b"", (True, 2, b"de", 0), b""]


async def test_a_connection_that_shall_end_ends_after_a_remembered_head_too(serve, call):
    place = await serve()
    caller = await call(place)
    await caller.ask(post())
    await caller.ask(post())

    place.edge.is_draining = True
    answer = await caller.ask(post())

    assert answer.headers["connection"] == "close"
    assert await caller.rest() == b""


async def test_http_1_0_is_told_each_time_that_it_is_kept_alive():
    request = post(head=HEAD.replace(b"1.1", b"1.0").replace(b"x-last: 1", b"connection: keep-alive"))

    outcome = await read(request, request, request)

    assert outcome.parsed == 1
    assert outcome.said.count(b"connection: keep-alive\r\n") == len(outcome.requests) == 3


async def test_what_is_worked_out_of_a_head_is_there_when_it_comes_again(serve, call):
    known = []

    async def handler(inbound):
        known.append(inbound.head.known)
        inbound.head.known = inbound.path
        inbound.answer(200, b"", b"")

    caller = await call(await serve(handler))

    for request in (post(), post(b"a"), post(head=HEAD.replace(b"/a", b"/z")), post()):
        await caller.ask(request)

    assert known[:3] == [None, b"/a", None]


async def test_another_connection_remembers_nothing_of_this_one(sharing, call):
    place, heads = await sharing()

    for _ in range(2):
        await (await call(place)).ask(post())

    assert heads[0] is not heads[1]


# Another head


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(b"/a?", b"/z?", id="path"),
        pytest.param(b"?b=c", b"?b=d", id="query"),
        pytest.param(b"Bearer a", b"Bearer b", id="key"),
        pytest.param(b"Bearer a", b"Bearer ab", id="longer key"),
        pytest.param(b"x-last: 1", b"x-last: 2", id="header behind the length"),
        pytest.param(b"x-last: 1\r\n", b"", id="header less"),
        pytest.param(b"x-last: 1\r\n", b"x-last: 1\r\nx-more: 1\r\n", id="header more"),
        pytest.param(b"POST", b"PUT", id="method"),
        pytest.param(b"host: x", b"Host: x", id="case of a name"),
        pytest.param(b"x-last: 1", b"connection: close", id="last request"),
    ],
)
async def test_another_head_is_parsed(sharing, call, before, after):
    place, heads = await sharing()
    caller = await call(place)
    fresh = await call(place)
    other = post(head=HEAD.replace(before, after))

    await caller.ask(post())
    await caller.ask(post())
    answer = await caller.ask(other)
    await fresh.ask(other)

    assert heads[2] is not heads[0]
    assert place.seen[2] == place.seen[3]
    assert answer.body == b"abc"


@pytest.mark.parametrize("byte", [b"a", b"1", b" ", b":", b"\r", b"\n", b"\0", b"\xff"], ids=repr)
async def test_a_head_in_which_any_one_byte_is_another_is_read_as_if_nothing_was_remembered(byte):
    request = post()
    places = [place for place in range(len(request)) if request[place : place + 1] != byte]

    for place in places:
        other = request[:place] + byte + request[place + 1 :]
        with_memory = await read(request, other)
        assert with_memory.told == (await read(request, other, remembers=False)).told, other
        assert with_memory.parsed == len(with_memory.heads) or place >= len(request) - 3, other


# The same head with something else behind it

LENGTHS = {
    "0": post(b""),
    "0 before a body": post(b"abc", length=b"0"),
    "one less": post(b"abc", length=b"2"),
    "one more": post(b"abc", length=b"4"),
    "many digits": post(b"abc", length=b"000000003"),
    "ten digits": post(b"abc", length=b"0000000003"),
    "ten digits that count": post(b"abc", length=b"1000000003"),
    "twenty digits": post(b"abc", length=b"99999999999999999999"),
    "no digit": post(b"abc", length=b""),
    "a plus": post(b"abc", length=b"+3"),
    "a minus": post(b"abc", length=b"-3"),
    "letters": post(b"abc", length=b"three"),
    "a letter behind": post(b"abc", length=b"3a"),
    "hexadecimal": post(b"abc", length=b"0x3"),
    "an underscore": post(b"abc", length=b"0_3"),
    "a fraction": post(b"abc", length=b"3.0"),
    "a list": post(b"abc", length=b"3,3"),
    "a space behind": post(b"abc", length=b"3 "),
    "another space before": post(b"abc", length=b" 3"),
    "other digits": post(b"abc", length="³".encode("latin-1")),
    "digits of another script": post(b"abc", length="٣".encode()),
    "a length of its own behind": post(b"abc", length=b"3\r\ncontent-length: 4"),
    "a bare CR": post(b"abc", length=b"3\r"),
    "a bare LF": post(b"abc", length=b"3").replace(b"3\r\n", b"3\n"),
    "no line end": post(b"abc", length=b"3").replace(b"3\r\n", b"3"),
}


@pytest.mark.parametrize("other", [pytest.param(other, id=name) for name, other in LENGTHS.items()])
@pytest.mark.parametrize("following", [post(), b"GET /hidden HTTP/1.1\r\nhost: x\r\n\r\n", b"abcd"], ids=repr)
async def test_an_odd_length_behind_a_remembered_head_is_read_as_the_parser_reads_it(other, following):
    pieces = [post(), post(), other, following]

    assert (await read(*pieces)).told == (await read(*pieces, remembers=False)).told


@pytest.mark.parametrize("length", [b"+3", b"-3", b"three", b"3a", b"0x3", b"", b"3,3", b"99999999999999999999"])
async def test_a_length_that_is_no_number_is_refused_after_a_good_one(serve, call, length):
    place = await serve()
    caller = await call(place)
    await caller.ask(post())

    answer = await caller.ask(post(length=length))

    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert await caller.rest() == b""
    assert len(place.seen) == 1


async def test_a_length_of_ten_digits_is_parsed():
    outcome = await read(post(), post(length=b"000000003"), post(length=b"0000000003"))

    assert outcome.heads[0] is outcome.heads[1] is not outcome.heads[2]
    assert [request[-1] for request in outcome.requests] == [b"abc"] * 3


async def test_a_body_in_two_pieces_is_put_together(sharing, call):
    place, _ = await sharing()
    caller = await call(place)
    request = post(b"0123456789")
    await caller.ask(request)

    for cut in (1, 20, len(request) - 10, len(request) - 9, len(request) - 1):
        answer = await caller.ask(request[:cut], request[cut:])
        assert answer.body == b"0123456789"

    assert [seen.body for seen in place.seen] == [b"0123456789"] * 6


async def test_wherever_a_remembered_request_is_cut_it_is_read_alike():
    request = post(b"0123456789")
    whole = await read(request, request, request)

    for cut in range(1, len(request)):
        cut_up = await read(request, request[:cut], request[cut:], request)
        assert cut_up.told == whole.told, cut


async def test_pipelined_requests_with_a_remembered_head_are_answered_one_by_one(serve, call):
    place = await serve()
    caller = await call(place)
    await caller.ask(post())

    await caller.send(post(b"one") + post(b"three") + post(b""))
    answers = [await caller.answer() for _ in range(3)]

    assert [answer.body for answer in answers] == [b"one", b"three", b""]
    assert [seen.body for seen in place.seen] == [b"abc", b"one", b"three", b""]


async def test_a_request_hidden_in_a_body_is_never_served(serve, call):
    place = await serve()
    caller = await call(place)
    hidden = post(b"hidden")

    answers = [await caller.ask(post(body)) for body in (b"abc", hidden, b"\r\n\r\n" + hidden, hidden)]

    assert [answer.body for answer in answers] == [b"abc", hidden, b"\r\n\r\n" + hidden, hidden]
    assert len(place.seen) == 4


async def test_a_remembered_head_waits_for_the_answer_before_it(serve, call, until):
    gate = asyncio.Event()

    async def handler(inbound):
        if inbound.unread_bytes == 4:
            await gate.wait()
        await place.echo(inbound)

    place = await serve(handler)
    caller = await call(place)
    await caller.ask(post())
    await caller.send(post(b"slow"))
    await until(lambda: any(one._current is not None for one in place.edge.connections))
    await caller.send(post(b"next"[:3]))
    await until(lambda: any(one._waiting for one in place.edge.connections))

    before = len(place.seen)
    gate.set()
    answers = [await caller.answer() for _ in range(2)]

    assert before == 1
    assert [answer.body for answer in answers] == [b"slow", b"nex"]


LIST = [
    HEAD,
    HEAD.replace(b"/a", b"/z"),
    HEAD.replace(b"Bearer a", b"Bearer b"),
    b"PUT /p HTTP/1.1\r\nContent-Length:%b\r\nHost: x\r\n\r\n",
    b"POST http://x/q HTTP/1.0\r\nconnection: keep-alive\r\ncontent-length: \t%b\r\n\r\n",
    b"POST /l HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %b\r\n\r\n",
    b"POST /e HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: %b\r\n\r\n",
    b"POST /u HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\ncontent-length: %b\r\n\r\n",
    b"HEAD /h HTTP/1.1\r\nhost: x\r\ncontent-length: %b\r\n\r\n",
]
BODIES = st.sampled_from([b"", b"a", b"abc", b"\x00\xff", b"0123456789", b"content-length: 1\r\n\r\nx", post(b"inner")])
REQUESTS = st.one_of(
    st.builds(post, BODIES, head=st.sampled_from(LIST[:3])),
    st.builds(post, BODIES, head=st.sampled_from(LIST)),
    st.builds(post, BODIES, length=st.sampled_from([b"0003", b"0000000003", b"+3", b"3a", b"", b"2 "])),
    st.sampled_from(
        [
            b"GET /g HTTP/1.1\r\nhost: x\r\n\r\n",
            b"\r\n" + post(),
            b"POST /c HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            post(b"", length=b"3"),
            post(b"abcd", length=b"3"),
        ]
    ),
)


@st.composite
def packets(draw):
    """Write requests, most of them a packet each, and some cut or put together."""
    pieces = [b""]
    for request in draw(st.lists(REQUESTS, min_size=2, max_size=8)):
        cuts = draw(st.one_of(st.just([]), st.lists(st.integers(1, len(request) - 1), max_size=2)))
        places = sorted({0, *cuts})
        parts = [request[start:end] for start, end in zip(places, [*places[1:], None], strict=True)]
        if draw(st.integers(0, 3)) == 0:
            pieces[-1] += parts.pop(0)
        pieces += parts
    return [piece for piece in pieces if piece]


@settings(max_examples=300, deadline=None)
@given(packets(), st.sets(st.integers(0, 10), max_size=3))
def test_however_requests_are_sent_they_are_the_same_with_and_without_memory(pieces, hurries):
    with_memory = asyncio.run(read(*pieces, hurries=hurries))
    without = asyncio.run(read(*pieces, hurries=hurries, remembers=False))

    assert with_memory.told == without.told
    assert without.parsed == len(without.heads)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=6))
def test_any_bodies_behind_one_head_come_out_as_they_went_in(bodies):
    outcome = asyncio.run(read(*[post(body) for body in bodies]))

    assert [request[-1] for request in outcome.requests] == bodies
    assert outcome.parsed == 1


# What is not remembered


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(post(head=HEAD.replace(b"x-last: 1", b"expect: 100-continue")), id="Expect"),
        pytest.param(post(head=HEAD.replace(b"x-last: 1", b"Upgrade: h2c")), id="Upgrade"),
        pytest.param(
            b"POST /a HTTP/1.1\r\nhost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            id="Transfer-Encoding",
        ),
        pytest.param(
            b"POST /a HTTP/1.1\r\nhost: x\r\nx-a: content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            id="a length in a value",
        ),
        pytest.param(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n", id="no length"),
        pytest.param(post(length=b"3 "), id="a space behind the length"),
        pytest.param(post(head=HEAD.replace(b"x-last: 1", b"x-last: " + b"1" * 4096)), id="a long head"),
    ],
)
async def test_some_heads_are_parsed_each_time(request_):
    outcome = await read(request_, request_, request_)

    assert len(outcome.requests) == outcome.parsed == 3
    assert outcome.requests[0] == outcome.requests[1] == outcome.requests[2]


async def test_a_caller_that_waits_with_its_body_is_invited_each_time(serve, call):
    caller = await call(await serve())
    head = HEAD.replace(b"x-last: 1", b"expect: 100-continue") % b"3"

    for _ in range(3):
        invited = await caller.ask(head)
        answer = await caller.ask(b"abc")
        assert (invited.status, answer.status, answer.body) == (100, 200, b"abc")


async def test_a_head_that_came_in_two_pieces_is_not_remembered():
    request = post()

    outcome = await read(request[:30], request[30:], request, request)

    assert outcome.heads[0] is not outcome.heads[1]
    assert outcome.heads[1] is outcome.heads[2]


async def test_a_head_with_another_request_behind_it_is_not_remembered():
    outcome = await read(post() + post(), post(), post())

    assert outcome.parsed == 3
    assert outcome.heads[2] is outcome.heads[3]


# Lessons in vain


def different(number):
    return post(head=HEAD.replace(b"/a", b"/%d" % number))


async def test_after_eight_lessons_in_vain_nothing_is_remembered_any_more():
    learnt = [different(number) for number in range(_LESSONS_MAX)]

    outcome = await read(*learnt, post(), post(), post())

    assert _LESSONS_MAX == 8
    assert outcome.parsed == len(outcome.requests) == 11


async def test_a_head_that_comes_again_before_that_lets_others_be_remembered():
    learnt = [different(number) for number in range(_LESSONS_MAX - 1)]

    outcome = await read(*learnt, post(), post(), *learnt, post(), post())

    *_, last_but_one, last = outcome.heads
    assert last is last_but_one
    assert outcome.parsed == len(outcome.requests) - 2


async def test_a_caller_whose_heads_are_never_the_same_is_read_all_the_same(serve, call):
    place = await serve()
    caller = await call(place)

    answers = [await caller.ask(different(number)) for number in range(20)]

    assert [answer.headers["x-path"] for answer in answers] == [f"/{number}" for number in range(20)]


# Heads in the middle of others

GET = b"GET /b HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.mark.parametrize("begun", [b"P", b"GET /c HTTP/1.1\r\nx-a: "])
async def test_what_has_begun_behind_a_request_goes_on_with_the_next_piece(begun):
    pieces = [post(), GET + begun, post(), GET]

    assert (await read(*pieces)).told == (await read(*pieces, remembers=False)).told


async def test_a_remembered_head_says_the_length_of_its_own_body(serve, call):
    place = await serve()
    caller = await call(place)

    for body in (b"abc", b"0123456789"):
        await caller.ask(post(body))

    assert [dict(seen.pairs)[b"content-length"] for seen in place.seen] == [b"3", b"10"]


async def test_a_wish_for_another_protocol_is_parsed_each_time():
    wish = b"POST /a HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\ncontent-length: 3\r\n\r\nabc"

    assert (await read(wish, wish)).parsed == 2

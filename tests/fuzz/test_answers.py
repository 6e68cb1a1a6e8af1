"""Whatever bytes a vendor sends, in whatever packets: an answer that others read alike, or an error of ours; and a
connection that is used again has nothing left on it.
"""

import asyncio
import re
from dataclasses import dataclass

import h11
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from streams import CUTS, EDITS, edited, in_packets
from wires import Wire, plain

from yiapi.upstream import Limits, Response, UpstreamError
from yiapi.upstream.connection import Connection

FAR = float("inf")
LIMITS = Limits(answer_bytes_max=5000)
LINES = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 200 \r\n",
    b"HTTP/1.1 200\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 101 Switching\r\n",
    b"HTTP/1.0 404 No\r\n",
    b"HTTP/1.1 204 No\r\n",
    b"HTTP/1.1 304 Same\r\n",
    b"HTTP/1.1 99 Low\r\n",
    b"HTTP/1.1 2000 High\r\n",
    b"HTTP/2.0 200 OK\r\n",
    b"ICY 200 OK\r\n",
]
HEADERS = [
    b"content-length: 3\r\n",
    b"Content-Length: 0\r\n",
    b"content-length: 6000\r\n",
    b"content-length: 3 \r\n",
    b"content-length: +3\r\n",
    b"content-length: 3, 3\r\n",
    b"transfer-encoding: chunked\r\n",
    b"Transfer-Encoding: Chunked \r\n",
    b"transfer-encoding: gzip, chunked\r\n",
    b"transfer-encoding: identity\r\n",
    b"connection: close\r\n",
    b"connection: keep-alive\r\n",
    b"connection: upgrade\r\nupgrade: x\r\n",
    b"keep-alive: timeout=9\r\n",
    b"x: y\r\n z\r\n",
    b"x: \t y \xe9\t\r\n",
    b"x : y\r\n",
    b"x:\r\n",
    b": \r\n",
    b"x: y\n",
]
BODIES = [
    b"abc",
    b"3\r\nabc\r\n",
    b"3;x=y\r\nabc\r\n",
    b"3\nabc\n",
    b"03\r\nabc\r\n",
    b"0\r\n\r\n",
    b"0\r\nx: y\r\n\r\n",
    b"0\r\ncontent-length: 1\r\n\r\n",
    b"fffffffffffffffff\r\n",
    b"\r\n",
    b"x" * 3000,
]
GOOD = [
    b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\nx: y\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 204 No\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
]
MESSAGES = st.builds(
    lambda line, headers, body: b"".join([line, *headers, b"\r\n", *body]),
    st.sampled_from(LINES),
    st.lists(st.sampled_from(HEADERS), max_size=4),
    st.lists(st.sampled_from(BODIES), max_size=3),
)
STREAMS = st.one_of(
    st.binary(max_size=200),
    st.lists(MESSAGES, min_size=1, max_size=2).map(b"".join),
    st.lists(st.sampled_from([*LINES, *HEADERS, *BODIES, b"\n", b"\r", b" ", b"\x00"]), max_size=12).map(b"".join),
    st.builds(edited, st.lists(st.sampled_from(GOOD), min_size=1, max_size=2).map(b"".join), EDITS),
)


class Owner:
    """The pool, which only notes what it is told."""

    def __init__(self) -> None:
        self.is_free = False

    def freed(self, connection) -> None:
        self.is_free = True

    def lost(self, connection) -> None:
        self.is_free = False


@dataclass
class Line:
    """A connection to a vendor."""

    connection: Connection
    wire: Wire
    owner: Owner

    def ask(self, *, is_head: bool = False) -> Response:
        self.owner.is_free = False
        return self.connection.start(b"", LIMITS, FAR, is_head=is_head, is_pouring=False)

    def send(self, packets: list[bytes]) -> None:
        for packet in packets:
            if not self.wire.is_closed:
                self.connection.data_received(packet)

    def end(self) -> None:
        if not self.wire.is_closed:
            self.connection.eof_received()
        self.connection.connection_lost(None)
        loop = self.connection.loop
        loop.call_soon(loop.stop)
        loop.run_forever()  # so that it forgets what was to be done later


@pytest.fixture(scope="module")
def dial(loop):
    def dial() -> Line:
        owner = Owner()
        connection = Connection(loop, owner)
        wire = Wire(loop, asyncio.Protocol())
        connection.connection_made(wire)
        return Line(connection, wire, owner)

    return dial


def outcome(answer: Response) -> tuple[object, ...]:
    """Return what a caller can see of an answer that has ended."""
    reading = answer.read()
    try:
        reading.send(None)
    except StopIteration as done:
        return answer.status, tuple(answer.headers), done.value
    except UpstreamError as error:
        return answer.status, type(error).__name__
    finally:
        reading.close()
    pytest.fail("the answer neither ended nor failed")


@given(STREAMS, CUTS, st.booleans())
def test_where_the_packets_end_makes_no_difference(dial, stream, cuts, is_head):
    outcomes = []
    for packets in ([stream] if stream else [], in_packets(stream, cuts)):
        line = dial()
        answer = line.ask(is_head=is_head)
        line.send(packets)
        line.end()
        outcomes.append(outcome(answer))

    assert outcomes[0] == outcomes[1]


@given(STREAMS, CUTS, st.booleans(), st.sampled_from(GOOD[:4]))
def test_a_connection_that_is_used_again_has_nothing_left_on_it(dial, stream, cuts, is_head, good):
    line, fresh = dial(), dial()
    line.ask(is_head=is_head)
    line.send(in_packets(stream, cuts))
    if not line.owner.is_free or line.wire.is_closed:
        return

    outcomes = []
    for one in (line, fresh):
        answer = one.ask()
        one.send([good])
        one.end()
        outcomes.append(outcome(answer))

    assert outcomes[0] == outcomes[1]


@given(st.sampled_from(GOOD), st.binary(min_size=1, max_size=20), CUTS)
def test_a_connection_with_more_on_it_than_an_answer_is_not_used_again(dial, answer, more, cuts):
    line = dial()
    line.ask()

    line.send(in_packets(answer + more, cuts))

    assert line.wire.is_closed or not line.owner.is_free


@given(STREAMS, st.booleans())
def test_what_is_taken_is_what_another_parser_reads(dial, stream, is_head):
    assume(not is_read_loosely(stream))
    line = dial()
    answer = line.ask(is_head=is_head)
    line.send([stream] if stream else [])
    line.end()

    ours = outcome(answer)

    if len(ours) == 3:
        status, pairs, body = ours
        assert (status, [plain(*pair) for pair in pairs], body) == read(stream, is_head=is_head)


def is_read_loosely(stream: bytes) -> bool:
    """Whether bytes have what our parser lets pass and the other one does not; no length depends on it."""
    return bool(re.search(rb"^[\r\n]|RTSP/|ICE/", stream))


def read(stream: bytes, *, is_head: bool) -> tuple[object, ...]:
    """Read an answer as h11 does; raises what it finds wrong."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=2**20)
    connection.send(h11.Request(method="HEAD" if is_head else "GET", target="/", headers=[("host", "x")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(stream)
    connection.receive_data(b"")
    status, pairs, body = 0, [], b""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        if isinstance(event, h11.Response):
            status = event.status_code
            pairs = [plain(*pair) for pair in event.headers.raw_items()]
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
    return status, pairs, body

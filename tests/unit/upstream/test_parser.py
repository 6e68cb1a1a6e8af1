"""Whatever bytes a peer sends, in whatever pieces: an answer, or one of our errors, and nothing else."""

import asyncio
import zlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yiapi.upstream import Limits, Response, UpstreamError
from yiapi.upstream.connection import Connection

FAR = float("inf")


class Wire(asyncio.Transport):
    """A transport that goes nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.is_cut = False

    def write(self, data) -> None:
        pass

    def is_closing(self) -> bool:
        return self.is_cut

    def abort(self) -> None:
        self.is_cut = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Keeper:
    def __init__(self) -> None:
        self.kept = 0

    def freed(self, connection) -> None:
        self.kept += 1

    def lost(self, connection) -> None:
        pass


@pytest.fixture(scope="module")
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def answered(loop, pieces: list[bytes], *, is_head: bool = False) -> tuple[object, ...]:
    """Feed pieces as a peer would and return all that a caller could see of it."""
    connection = Connection(loop, Keeper())
    wire = Wire()
    connection.connection_made(wire)
    answer = connection.start(b"", Limits(answer_bytes_max=5000), FAR, is_head=is_head, is_pouring=False)
    for piece in pieces:
        if wire.is_cut:
            break
        connection.data_received(piece)
    was_kept = connection.is_open and answer.is_complete
    if not wire.is_cut:
        connection.eof_received()
    connection.connection_lost(None)
    return outcome(answer), was_kept


def outcome(answer: Response) -> tuple[object, ...]:
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


@given(st.lists(st.binary(max_size=100), max_size=10), st.booleans())
@settings(max_examples=300, deadline=None)
def test_random_bytes_give_an_upstream_error(loop, pieces, is_head):
    answered(loop, pieces, is_head=is_head)


PARTS = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\n",
    b"HTTP/1.0 404 No\r\n",
    b"HTTP/1.1 204 No\r\n",
    b"HTTP/1.1 304 Same\r\n",
    b"HTTP/1.1 199 Hm\r\n",
    b"content-length: 3\r\n",
    b"content-length: 0\r\n",
    b"content-length: 6000\r\n",
    b"transfer-encoding: chunked\r\n",
    b"transfer-encoding: gzip\r\n",
    b"content-encoding: gzip\r\n",
    b"content-encoding: deflate\r\n",
    b"connection: close\r\n",
    b"connection: upgrade\r\nupgrade: x\r\n",
    b"keep-alive: timeout=9\r\n",
    b"x: y\r\n z\r\n",
    b": \r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"abc",
    b"3\r\nabc\r\n",
    b"3;x\r\nabc\r\n",
    b"0\r\n\r\n",
    b"0\r\nx: y\r\n\r\n",
    b"fffffffffffffffff\r\n",
    zlib.compress(b"abc"),
    zlib.compress(bytes(10_000)),
    b"x" * 6000,
    b"\x00",
]
STREAMS = st.lists(st.sampled_from(PARTS), max_size=12).map(b"".join)


@given(STREAMS, st.lists(st.integers(0, 300), max_size=5), st.booleans())
@settings(max_examples=500, deadline=None)
def test_where_the_packets_end_makes_no_difference(loop, stream, cuts, is_head):
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[start:end] for start, end in pairwise(places)]

    outcome_in_pieces, _ = answered(loop, pieces, is_head=is_head)

    assert outcome_in_pieces == answered(loop, [stream] if stream else [], is_head=is_head)[0]


WHOLE = [
    b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
]


@given(st.sampled_from(WHOLE), st.binary(max_size=20))
@settings(max_examples=200, deadline=None)
def test_a_connection_is_kept_only_when_nothing_follows_the_answer(loop, answer, following):
    (_, _, body), was_kept = answered(loop, [answer + following])

    assert body == b"abc"
    assert was_kept is not bool(following)

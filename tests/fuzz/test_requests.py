"""Whatever bytes a caller sends, in whatever packets: whole requests are answered, in order, and read as others read
them; the rest is refused once, and the connection closed.
"""

import re

from hypothesis import assume, given
from hypothesis import strategies as st
from readings import read_requests
from streams import CUTS, EDITS, edited, in_packets
from wires import Outcome, exchange

LINES = [
    b"GET / HTTP/1.1\r\n",
    b"GET /a?b=c HTTP/1.1\r\n",
    b"POST /a HTTP/1.1\r\n",
    b"POST /a HTTP/1.0\r\n",
    b"HEAD http://x/ HTTP/1.1\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
    b"CONNECT x:1 HTTP/1.1\r\n",
    b"GET / HTTP/2.0\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]
HEADERS = [
    b"host: x\r\n",
    b"Host:\r\n",
    b"content-length: 3\r\n",
    b"Content-Length: 0\r\n",
    b"content-length: 99\r\n",
    b"content-length: 3 \r\n",
    b"content-length: +3\r\n",
    b"content-length: 3, 3\r\n",
    b"transfer-encoding: chunked\r\n",
    b"Transfer-Encoding: Chunked \r\n",
    b"transfer-encoding: gzip, chunked\r\n",
    b"transfer-encoding: identity\r\n",
    b"connection: close\r\n",
    b"connection: keep-alive\r\n",
    b"connection: keep-alive, close\r\n",
    b"connection: upgrade\r\nupgrade: h2c\r\n",
    b"upgrade: websocket\r\n",
    b"expect: 100-continue\r\n",
    b"expect: more\r\n",
    b"x: y\r\n z\r\n",
    b"x: \t y \xe9\t\r\n",
    b"x : y\r\n",
    b"x:\r\n",
    b": \r\n",
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
    b"0\r\nconnection: close\r\n\r\n",
    b"fffffffffffffffff\r\n",
    b"x" * 300,
]
PARTS = [*LINES, *HEADERS, *BODIES, b"\r\n", b"\n", b"\r", b" ", b"\x00", b"\r\n\r\n"]
GOOD = [
    b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n",
    b"POST /b?c HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /d HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3;e\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
    b"POST /e HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\nt: u\r\n\r\n",
    b"POST /f HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\ncontent-length: 2\r\n\r\nhi",
    b"POST /g HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\ni",
    b"PUT /h HTTP/1.0\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\nj",
    b"HEAD http://x/k HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
]
MESSAGES = st.builds(
    lambda line, headers, body: b"".join([line, *headers, b"\r\n", *body]),
    st.sampled_from(LINES[:5]),
    st.lists(st.sampled_from(HEADERS), max_size=4).map(lambda headers: [HEADERS[0], *headers]),
    st.lists(st.sampled_from(BODIES), max_size=3),
)
STREAMS = st.one_of(
    st.binary(max_size=200),
    st.lists(MESSAGES, min_size=1, max_size=3).map(b"".join),
    st.lists(st.sampled_from(PARTS), max_size=14).map(b"".join),
    st.builds(edited, st.lists(st.sampled_from(GOOD), min_size=1, max_size=4).map(b"".join), EDITS),
)


def answers_of(outcome: Outcome) -> list[int]:
    """Read what was said, strictly, and return the final statuses."""
    said, statuses, served, asked = outcome.said, [], iter(outcome.served), iter(outcome.asked)
    while said:
        match = re.match(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n((?:[^\r\n:]+: [^\r\n]*\r\n)*)\r\n", said)
        assert match is not None, said
        status, said = int(match[1]), said[match.end() :]
        if status == 100:
            continue
        assert not statuses or statuses[-1] == 200, "something follows a refusal"
        statuses.append(status)
        headers = dict(line.split(b": ", 1) for line in match[2].splitlines())
        request = next(served) if status == 200 else None
        size = 0 if next(asked, "") == "HEAD" else int(headers[b"content-length"])
        body, said = said[:size], said[size:]
        assert len(body) == size
        if request is None:
            assert headers[b"connection"] == b"close"
        elif request.method != "HEAD":
            assert body == request.body
    assert next(served, None) is None, "a request was served and not answered"
    return statuses


@given(STREAMS, CUTS)
def test_a_caller_gets_an_answer_for_each_request_and_at_most_one_refusal(loop, stream, cuts):
    outcome = loop.run_until_complete(exchange(in_packets(stream, cuts)))

    statuses = answers_of(outcome)
    assert len([status for status in statuses if status != 200]) <= 1
    assert set(statuses) <= {200, 400, 405, 417, 431, 505}


@given(STREAMS, CUTS)
def test_where_the_packets_end_makes_no_difference(loop, stream, cuts):
    in_one = loop.run_until_complete(exchange([stream] if stream else []))
    in_many = loop.run_until_complete(exchange(in_packets(stream, cuts)))

    assert in_many.served == in_one.served
    assert answers_of(in_many) == answers_of(in_one)


@given(STREAMS)
def test_what_is_served_is_what_another_parser_reads(loop, stream):
    assume(not is_read_loosely(stream))

    outcome = loop.run_until_complete(exchange([stream] if stream else []))

    assert outcome.served == read_requests(stream)[: len(outcome.served)]


def is_read_loosely(stream: bytes) -> bool:
    """Whether bytes have what our parser lets pass and the other one does not; no length depends on any of it.

    These are empty lines before a request and several spaces after its method, as RFC 9112 allows (2.2, 3), and
    names that other protocols have for HTTP.
    """
    return bool(re.search(rb"(?:^|\n)[\r\n]+[A-Z]|[A-Z]  |RTSP/|ICE/", stream))


@given(st.lists(st.sampled_from(GOOD[:-1]), max_size=5), st.sampled_from(GOOD), CUTS)
def test_good_requests_are_served(loop, before, last, cuts):
    stream = b"".join([*before, last])

    outcome = loop.run_until_complete(exchange(in_packets(stream, cuts)))

    assert len(outcome.served) == len(before) + 1
    assert answers_of(outcome) == [200] * (len(before) + 1)
    assert outcome.served == read_requests(stream)

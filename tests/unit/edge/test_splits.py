"""However the bytes of a request are cut into packets, the same request is read, or the same refusal given."""

import re

import pytest
from wires import exchange

pytestmark = pytest.mark.anyio

FOLLOWING = b"GET /next HTTP/1.1\r\nhost: x\r\n\r\n"
REQUESTS = {
    "no body": b"GET /a?b=%20 HTTP/1.1\r\nHost: x\r\nX-Empty:\r\nX-Spaced: \t y z \r\n\r\n",
    "a length": b"POST /a HTTP/1.1\r\nHOST:x\r\ncontent-length: 5\r\nauthorization: Bearer a\r\n\r\nab\r\ne",
    "chunks": b"POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    b"3;e=f\r\nabc\r\n0a\r\n0123456789\r\n0\r\nt:\r\nu: v\r\n\r\n",
    "a wish for another protocol": b"POST /a HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n"
    b"content-length: 3\r\n\r\nabc",
    "HTTP/1.0": b"POST http://x/a HTTP/1.0\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\na",
    "empty lines before it": b"\r\n\r\nGET /a HTTP/1.1\r\nhost: x\r\n\r\n",
    "the last one": b"GET /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    "two lengths": b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc",
    "both lengths": b"POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
    "a folded line": b"POST /a HTTP/1.1\r\nhost: x\r\nx: y\r\n z\r\n\r\n",
    "a bare LF": b"POST /a HTTP/1.1\r\nhost: x\nx: y\r\n\r\n",
    "a bad chunk": b"POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    "no host": b"GET /a HTTP/1.1\r\nx: y\r\n\r\n",
    "another version": b"GET /a HTTP/2.0\r\nhost: x\r\n\r\n",
    "an expectation": b"GET /a HTTP/1.1\r\nhost: x\r\nexpect: more\r\n\r\n",
}


def told(outcome):
    """Return what the caller is told, but for the time and for interim answers, which depend on when bytes came."""
    return re.sub(rb"date: [^\r]*\r\n|HTTP/1.1 100 Continue\r\n\r\n", b"", outcome.said)


@pytest.mark.parametrize("sent", [pytest.param(sent, id=name) for name, sent in REQUESTS.items()])
async def test_two_packets_are_read_as_one(sent):
    stream = sent + FOLLOWING
    whole = await exchange([stream])

    for place in range(1, len(stream)):
        outcome = await exchange([stream[:place], stream[place:]])
        assert (outcome.served, told(outcome)) == (whole.served, told(whole)), (stream[:place], stream[place:])


@pytest.mark.parametrize("sent", [pytest.param(sent, id=name) for name, sent in REQUESTS.items()])
async def test_a_packet_for_each_byte_is_read_as_one(sent):
    stream = sent + FOLLOWING
    whole = await exchange([stream])

    outcome = await exchange([bytes([byte]) for byte in stream])

    assert (outcome.served, told(outcome)) == (whole.served, told(whole))

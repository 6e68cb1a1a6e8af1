"""What could be read in two ways is refused, and the connection closed: F014, F015, and what smuggles requests.

Every bad request comes with another one behind it, which must never be served: a front that read the first one
otherwise would have been led to believe that it is a body.
"""

import pytest

pytestmark = pytest.mark.anyio

HIDDEN = b"GET /hidden HTTP/1.1\r\nhost: x\r\n\r\n"
START = b"POST /a HTTP/1.1\r\nhost: x\r\n"
CHUNKED = START + b"transfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"

HEADS = {
    "both lengths": START + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n" + END,
    "both lengths, the other way": START + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n" + END,
    "two lengths": START + b"content-length: 5\r\ncontent-length: 6\r\n\r\nabcde",
    "two equal lengths": START + b"content-length: 5\r\ncontent-length: 5\r\n\r\nabcde",
    "a list of lengths": START + b"content-length: 5, 5\r\n\r\nabcde",
    "a length with a sign": START + b"content-length: +5\r\n\r\nabcde",
    "a negative length": START + b"content-length: -5\r\n\r\n",
    "a hexadecimal length": START + b"content-length: 0x5\r\n\r\nabcde",
    "a length with a fraction": START + b"content-length: 5.0\r\n\r\nabcde",
    "a length in two words": START + b"content-length: 5 5\r\n\r\nabcde",
    "no length": START + b"content-length:\r\n\r\n",
    "a huge length": START + b"content-length: 99999999999999999999\r\n\r\n",
    "a length after a vertical tab": START + b"content-length: \x0b5\r\n\r\nabcde",
    "a length in other digits": START + b"content-length: \xd9\xa5\r\n\r\nabcde",
    "a space before the colon": START + b"content-length : 5\r\n\r\nabcde",
    "a tab before the colon": START + b"content-length\t: 5\r\n\r\nabcde",
    "a folded line": START + b"x-a: b\r\n c\r\n\r\n",
    "a folded length": START + b"content-length:\r\n 5\r\n\r\nabcde",
    "a folded transfer encoding": START + b"transfer-encoding:\r\n chunked\r\n\r\n" + END,
    "a space before the first header": b"POST /a HTTP/1.1\r\n host: x\r\n\r\n",
    "a line that is only a space": START + b" \r\n\r\n",
    "a bare CR in a value": START + b"x-a: b\rc\r\n\r\n",
    "a bare CR as an end": START + b"x-a: b\rcontent-length: 5\r\n\r\nabcde",
    "a bare LF as an end": START + b"x-a: b\ncontent-length: 5\r\n\r\nabcde",
    "a bare LF after the first line": b"POST /a HTTP/1.1\nhost: x\r\n\r\n",
    "bare LFs": b"POST /a HTTP/1.1\nhost: x\n\n",
    "a bare LF as the last end": START + b"\n",
    "NUL in a value": START + b"x-a: b\0c\r\n\r\n",
    "NUL in a name": START + b"x\0a: b\r\n\r\n",
    "a control character in a value": START + b"x-a: \x01\r\n\r\n",
    "DEL in a value": START + b"x-a: \x7f\r\n\r\n",
    "no name": START + b": b\r\n\r\n",
    "no colon": START + b"x-a\r\n\r\n",
    "a name with a space": START + b"x a: b\r\n\r\n",
    "a name in brackets": START + b"(x-a): b\r\n\r\n",
    "a name with an at": START + b"x@a: b\r\n\r\n",
    "a name with other letters": START + b"\xd1\x85: b\r\n\r\n",
    "a name with a slash": START + b"x/a: b\r\n\r\n",
    "a name in quotes": START + b'"x-a": b\r\n\r\n',
    "chunked, then identity": START + b"transfer-encoding: chunked, identity\r\n\r\n" + END,
    "identity": START + b"transfer-encoding: identity\r\n\r\nabcde",
    "identity, then chunked": START + b"transfer-encoding: identity, chunked\r\n\r\n" + END,
    "something like chunked": START + b"transfer-encoding: xchunked\r\n\r\n" + END,
    "chunked in quotes": START + b'transfer-encoding: "chunked"\r\n\r\n' + END,
    "chunked twice": START + b"transfer-encoding: chunked, chunked\r\n\r\n" + END,
    "chunked on two lines": START + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n" + END,
    "gzip, then chunked": START + b"transfer-encoding: gzip, chunked\r\n\r\n" + END,
    "gzip and chunked on two lines": START + b"transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n" + END,
    "chunked, then gzip": START + b"transfer-encoding: chunked, gzip\r\n\r\n" + END,
    "chunked with a parameter": START + b"transfer-encoding: chunked;q=1\r\n\r\n" + END,
    "chunked before a tab": START + b"transfer-encoding: chunked\t\r\n\r\n" + END,
    "chunked after a vertical tab": START + b"transfer-encoding: \x0bchunked\r\n\r\n" + END,
    "chunked after a comma": START + b"transfer-encoding: , chunked\r\n\r\n" + END,
    "no transfer encoding": START + b"transfer-encoding:\r\n\r\n",
    "chunked in HTTP/1.0": b"POST /a HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + END,
    "two hosts": b"GET /a HTTP/1.1\r\nhost: x\r\nHost: y\r\n\r\n",
    "two equal hosts": b"GET /a HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n",
    "no host": b"GET /a HTTP/1.1\r\n\r\n",
    "two keys": START + b"authorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n",
    "two types": START + b"content-type: a/b\r\ncontent-type: c/d\r\n\r\n",
    "two compressions": START + b"content-encoding: gzip\r\ncontent-encoding: identity\r\n\r\n",
    "two idempotency keys": START + b"idempotency-key: a\r\nidempotency-key: b\r\n\r\n",
    "two expectations": START + b"expect: x\r\nexpect: 100-continue\r\n\r\n",
}

BODIES = {
    "a size with a sign": b"+3\r\nabc\r\n",
    "a negative size": b"-3\r\nabc\r\n",
    "a size with 0x": b"0x3\r\nabc\r\n",
    "a size with a space before it": b" 3\r\nabc\r\n",
    "a size with a space behind it": b"3 \r\nabc\r\n",
    "a size with a tab behind it": b"3\t\r\nabc\r\n",
    "a space before an extension": b"3 ;a=b\r\nabc\r\n",
    "no size": b"\r\nabc\r\n",
    "an extension alone": b";a\r\nabc\r\n",
    "a size that is no number": b"g\r\nabc\r\n",
    "a huge size": b"fffffffffffffffff\r\nabc\r\n",
    "a size that wraps around": b"10000000000000003\r\nabc\r\n",
    "a size that ends in LF": b"3\nabc\r\n",
    "a size that ends in CR": b"3\rabc\r\n",
    "an extension that ends in LF": b"3;a\nabc\r\n",
    "an extension with a bare CR": b"3;a\rb\r\nabc\r\n",
    "an extension with a quoted line end": b'3;a="b\r\nc"\r\nabc\r\n',
    "an extension with NUL": b"3;a\0\r\nabc\r\n",
    "a chunk that is longer": b"3\r\nabcd\r\n",
    "a chunk without its end": b"3\r\nabc",
    "a chunk that ends in LF": b"3\r\nabc\n",
    "a chunk that ends in CR": b"3\r\nabc\r",
    "a chunk that ends in LF CR": b"3\r\nabc\n\r",
    "a length in the trailers": b"3\r\nabc\r\n0\r\ncontent-length: 3\r\n\r\n",
    "a transfer encoding in the trailers": b"3\r\nabc\r\n0\r\ntransfer-encoding: chunked\r\n\r\n",
    "a trailer that is no header": b"3\r\nabc\r\n0\r\nGET /hidden HTTP/1.1\r\n\r\n",
    "a folded trailer": b"3\r\nabc\r\n0\r\nx: y\r\n z\r\n\r\n",
    "trailers that end in LF": b"3\r\nabc\r\n0\r\n\n",
}


@pytest.mark.parametrize("sent", [pytest.param(sent, id=name) for name, sent in HEADS.items()])
async def test_f015_a_head_that_could_be_read_in_two_ways_is_refused(serve, call, sent):
    place = await serve()
    caller = await call(place)

    await caller.send(sent + HIDDEN)
    said = await caller.rest()

    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nconnection: close\r\n" in said
    assert said.count(b"HTTP/1.1 ") == 1
    assert place.seen == []


@pytest.mark.parametrize("sent", [pytest.param(sent, id=name) for name, sent in BODIES.items()])
async def test_f015_a_body_that_could_be_read_in_two_ways_is_refused(serve, call, sent):
    place = await serve()
    caller = await call(place)

    await caller.send(CHUNKED + sent + END + HIDDEN)
    said = await caller.rest()

    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nconnection: close\r\n" in said
    assert said.count(b"HTTP/1.1 ") == 1
    assert (place.cut, place.seen) == (1, [])


@pytest.mark.parametrize(
    "name", [b"Content-Length", b"CONTENT-LENGTH", b"cOnTeNt-LeNgTh", b"content-length"], ids=bytes.decode
)
async def test_the_case_of_a_name_makes_no_difference(serve, call, name):
    place = await serve()
    caller = await call(place)

    answer = await caller.ask(b"POST /a HTTP/1.1\r\nHOST: x\r\n" + name + b": 3\r\n\r\nabc")

    assert answer.body == b"abc"
    assert place.seen[0].pairs == [(b"host", b"x"), (b"content-length", b"3")]


@pytest.mark.parametrize(
    "lines",
    [
        b"content-length: 3\r\n\r\nabc",
        b"content-length:3\r\n\r\nabc",
        b"content-length: \t 3 \t\r\n\r\nabc",
        b"content-length: 0003\r\n\r\nabc",
        b"transfer-encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"transfer-encoding:  chunked  \r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ],
)
async def test_what_everybody_reads_alike_is_served(serve, call, lines):
    place = await serve()
    caller = await call(place)

    answer = await caller.ask(START + lines + HIDDEN)

    assert answer.body == b"abc"
    assert (await caller.answer()).headers["x-path"] == "/hidden"


async def test_odd_values_are_handed_on_as_they_are(serve, call):
    place = await serve()
    caller = await call(place)

    await caller.ask(
        b'GET /a HTTP/1.1\r\nhost: x\r\nx-a: \xe9\xff "b\tc"; d,e\r\nx-b:\r\nx-b: 2\r\nx!#$%&\'*+.^_`|~: 3\r\n\r\n'
    )

    assert place.seen[0].pairs[1:] == [
        (b"x-a", b'\xe9\xff "b\tc"; d,e'),
        (b"x-b", b""),
        (b"x-b", b"2"),
        (b"x!#$%&'*+.^_`|~", b"3"),
    ]


# F014: large heads


def many(count, size):
    return b"".join(b"x-%d: %s\r\n" % (number, b"y" * size) for number in range(count))


LARGE = {
    "100 KiB of headers": START + many(100, 1024) + b"\r\n",
    "10,000 headers": START + many(10_000, 1) + b"\r\n",
    "101 headers": START + many(100, 1) + b"\r\n",
    "one header of 100 KiB": START + b"x-a: " + b"y" * 102_400 + b"\r\n\r\n",
    "one name of 100 KiB": START + b"x" * 102_400 + b": y\r\n\r\n",
    "a request line of 100 KiB": b"GET /" + b"a" * 102_400 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    "a head without end": START + many(100_000, 10),
    "a request line without end": b"GET /" + b"a" * 2**20,
    "empty lines without end": b"\r\n" * 2**17,
}


@pytest.mark.parametrize("sent", [pytest.param(sent, id=name) for name, sent in LARGE.items()])
@pytest.mark.parametrize("packet_bytes", [2**30, 1400, 4999], ids=["one packet", "packets", "odd packets"])
async def test_f014_a_large_head_is_refused(serve, call, sent, packet_bytes):
    place = await serve()
    caller = await call(place)

    for start in range(0, len(sent), packet_bytes):
        await caller.send(sent[start : start + packet_bytes])
    said = await caller.rest()

    assert said.startswith(b"HTTP/1.1 431 ")
    assert b"\r\nconnection: close\r\n" in said
    assert place.seen == []


async def test_f014_a_large_head_behind_another_request_is_refused_too(serve, call):
    place = await serve()
    caller = await call(place)

    await caller.send(HIDDEN + LARGE["100 KiB of headers"])
    answers = [await caller.answer() for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 431]
    assert await caller.rest() == b""


@pytest.mark.parametrize("before", [b"", HIDDEN], ids=["first", "second"])
@pytest.mark.parametrize("body", [b"", b"a" * 2**18], ids=["no body", "large body"])
async def test_f014_a_head_within_the_limits_is_served_whatever_comes_with_it(serve, call, before, body):
    place = await serve()
    caller = await call(place)
    head = START + many(97, 600) + b"content-length: %d\r\n\r\n" % len(body)

    await caller.send(before + head + body)
    answers = [await caller.answer() for _ in range(2 if before else 1)]

    assert answers[-1].body == body
    assert len(place.seen[-1].pairs) == 99


async def test_f014_line_breaks_in_a_value_are_no_more_headers(serve, call):
    place = await serve()
    caller = await call(place)

    refused = await caller.ask(START + b"x-a: b\r\r\nx-c: d\r\n\r\n")

    assert (refused.status, place.seen) == (400, [])

"""Each way in which a peer can fail has its error, which says whether the request went out."""

import asyncio
import gzip
import socket
import zlib

import pytest

from yiapi.upstream import (
    AddressGuard,
    AnswerCut,
    AnswerTooLarge,
    BadAnswer,
    Client,
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    EventSplitter,
    FirstByteTimeout,
    IdleTimeout,
    Limits,
    TotalTimeout,
    UpstreamError,
    target_of,
)

pytestmark = pytest.mark.anyio


async def send(client: Client, url: str):
    return await client.send(target_of(url), "POST", "/", [], b"{}")


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# F054: refused, no such host, unreachable


async def test_a_refused_connection_sent_nothing(client):
    with pytest.raises(ConnectFailed) as caught:
        await send(client, f"http://127.0.0.1:{closed_port()}")

    assert caught.value.sent is False
    assert isinstance(caught.value.__cause__, OSError)


async def test_an_unknown_name_is_a_failed_connection():
    async def nobody(name, port):
        raise socket.gaierror(-2, "unknown")

    client = Client(AddressGuard(resolve=nobody))

    with pytest.raises(ConnectFailed):
        await send(client, "http://nobody.example")


async def test_a_private_address_is_a_failed_connection(serve):
    async def script(talk):
        await talk.request()

    peer = await serve(script)
    client = Client(AddressGuard())

    with pytest.raises(ConnectFailed):
        await send(client, f"http://127.0.0.1:{peer.port}")

    assert peer.talks == 0


async def test_the_next_address_is_tried_when_one_refuses(serve, ok):
    async def script(talk):
        await talk.request()
        await talk.send(ok)

    async def two(name, port):
        return ["127.0.0.2", "127.0.0.1"]

    peer = await serve(script)
    client = Client(AddressGuard(["twin.example"], resolve=two))

    answer = await send(client, f"http://twin.example:{peer.port}")

    assert await answer.read() == b"ok"
    await client.aclose()


async def test_a_name_that_is_not_resolved_in_time_is_a_timeout():
    async def never(name, port):
        await asyncio.Event().wait()

    client = Client(AddressGuard(resolve=never))
    target = target_of("http://slow.example")

    with pytest.raises(ConnectTimeout) as caught:
        await client.send(target, "POST", "/", [], b"", Limits(connect_s=0.05))

    assert caught.value.sent is False


# F056: accepts, then silence


async def test_silence_before_the_head_is_a_first_byte_timeout(serve, call, client, until):
    async def script(talk):
        await talk.request()
        await talk.silence()

    with pytest.raises(FirstByteTimeout) as caught:
        await call(await serve(script), first_byte_s=0.05)

    assert caught.value.sent is True
    await until(lambda: client.stats().open == 0)


async def test_half_a_head_is_not_a_first_byte(serve, call):
    async def script(talk):
        await talk.request()
        await talk.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nx: ")
        await talk.silence()

    with pytest.raises(FirstByteTimeout):
        await call(await serve(script), first_byte_s=0.05)


async def test_a_peer_that_takes_no_more_of_the_body_is_an_idle_timeout(serve, call):
    async def script(talk):
        talk.writer.transport.pause_reading()
        await asyncio.sleep(1)

    with pytest.raises(IdleTimeout):
        await call(await serve(script), body=b"x" * 20_000_000, idle_s=0.1)


# F057 to F063, F067: an answer is an answer


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 408, 429, 500, 502, 503, 529, 599])
async def test_every_status_is_an_answer_and_a_redirect_is_not_followed(answers, call, status):
    head = b"HTTP/1.1 %d X\r\nlocation: http://127.0.0.1:1/\r\ncontent-type: text/html\r\n" % status
    peer = await answers(head + b"content-length: 6\r\n\r\n<html>")

    answer = await call(peer)

    assert answer.status == status
    assert await answer.read() == b"<html>"
    assert peer.talks == 1


async def test_an_empty_body_is_an_answer(answers, call):
    assert await (await call(await answers(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"))).read() == b""


# F064, F071 to F073, F075: cut


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    ],
)
async def test_a_body_that_ends_early_is_cut(answers, call, reply):
    answer = await call(await answers(reply))

    with pytest.raises(AnswerCut) as caught:
        await answer.read()

    assert caught.value.sent is True


async def test_what_arrived_before_a_cut_can_be_read_in_chunks(serve, call):
    async def script(talk):
        await talk.request()
        await talk.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", b"2\r\nde\r\n")

    answer = await call(await serve(script))
    received = []

    async def read_on():
        while piece := await answer.chunk():
            received.append(piece)

    with pytest.raises(AnswerCut):
        await read_on()
    assert b"".join(received) == b"abcde"


async def test_a_reset_inside_the_body_is_a_cut(serve, call):
    async def script(talk):
        await talk.request()
        await talk.send(b"HTTP/1.1 200 OK\r\n\r\nabc")
        await asyncio.sleep(0.02)
        talk.reset()

    answer = await call(await serve(script))

    with pytest.raises(AnswerCut):
        await answer.read()


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\ncontent-le", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_a_connection_closed_before_the_head_is_lost(answers, call, reply):
    with pytest.raises(ConnectionLost) as caught:
        await call(await answers(reply))

    assert caught.value.sent is True


async def test_a_connection_reset_before_the_head_is_lost(serve, call):
    async def script(talk):
        await talk.request()
        talk.reset()

    with pytest.raises(ConnectionLost) as caught:
        await call(await serve(script))

    assert caught.value.sent is True


async def test_silence_inside_the_body_is_an_idle_timeout(serve, call):
    async def script(talk):
        await talk.request()
        await talk.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc")
        await talk.silence()

    answer = await call(await serve(script), idle_s=0.05)

    assert await answer.chunk() == b"abc"
    with pytest.raises(IdleTimeout):
        await answer.chunk()


async def test_a_trickle_ends_at_the_total_limit(serve, call):
    async def script(talk):
        await talk.request()
        await talk.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while not talk.writer.is_closing():
            await talk.send(b"x")
            await asyncio.sleep(0.01)

    answer = await call(await serve(script), total_s=0.1, idle_s=0.05)

    with pytest.raises(TotalTimeout):
        await answer.read()


async def test_the_total_limit_counts_the_wait_for_the_head(serve, call):
    async def script(talk):
        await talk.request()
        await talk.silence()

    with pytest.raises(TotalTimeout):
        await call(await serve(script), total_s=0.05)


async def test_a_stream_without_its_marker_ends_like_any_other(answers, call):
    reply = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: x\n\n\r\n3\r\ndat\r\n0\r\n\r\n"
    answer = await call(await answers(reply))
    splitter = EventSplitter()

    events = splitter.feed(await answer.read())

    assert events == [b"data: x\n\n"]
    assert splitter.rest() == b"dat"


# F065, F066: too much


async def test_an_answer_that_says_it_is_too_large_is_not_read(serve, call):
    async def script(talk):
        await talk.request()
        await talk.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n")
        await talk.silence()

    with pytest.raises(AnswerTooLarge):
        await (await call(await serve(script), answer_bytes_max=1000)).read()


@pytest.mark.parametrize("framing", [b"transfer-encoding: chunked", b"x: y"])
async def test_an_answer_is_cut_at_the_limit(serve, call, framing):
    sent = 0

    async def script(talk):
        nonlocal sent
        await talk.request()
        await talk.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        while not talk.writer.is_closing():
            await talk.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            sent += 4096

    answer = await call(await serve(script), answer_bytes_max=1_000_000)

    with pytest.raises(AnswerTooLarge):
        await answer.read()
    assert sent < 50_000_000


def compressed(encoding: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-encoding: %b\r\ncontent-length: %d\r\n\r\n%b" % (encoding, len(body), body)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (b"gzip", gzip.compress(b"hello " * 50_000, mtime=0)),
        (b"X-GZIP", gzip.compress(b"hello " * 25_000, mtime=0) + gzip.compress(b"hello " * 25_000, mtime=0)),
        (b"deflate", zlib.compress(b"hello " * 50_000)),
        (b"deflate", zlib.compress(b"hello " * 50_000)[2:-4]),
        (b"identity", b"hello " * 50_000),
    ],
)
async def test_a_body_compressed_unasked_is_decoded(answers, call, encoding, body):
    answer = await call(await answers(compressed(encoding, body)))

    assert await answer.read() == b"hello " * 50_000
    assert encoding == b"identity" or answer.headers == []


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate"])
async def test_a_bomb_is_cut_at_the_limit(answers, call, encoding):
    pack = gzip.compress if encoding == b"gzip" else zlib.compress
    answer = await call(await answers(compressed(encoding, pack(bytes(200_000_000), 9))), answer_bytes_max=1_000_000)

    with pytest.raises(AnswerTooLarge):
        await answer.read()


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"gzip, gzip", b"gzip\r\ncontent-encoding: gzip"])
async def test_other_compressions_are_not_accepted(answers, call, encoding):
    with pytest.raises(BadAnswer):
        await (await call(await answers(compressed(encoding, b"x")))).read()


async def test_a_status_is_known_although_the_body_cannot_be_decoded(answers, call):
    answer = await call(await answers(b"HTTP/1.1 401 No\r\ncontent-encoding: br\r\ncontent-length: 1\r\n\r\nx"))

    assert answer.status == 401


@pytest.mark.parametrize(
    "body", [b"not gzip", gzip.compress(b"x" * 100, mtime=0)[:-12] + b"garbage-garbage", zlib.compress(b"a")]
)
async def test_a_broken_compression_is_a_bad_answer(answers, call, body):
    answer = await call(await answers(compressed(b"gzip", body)))

    with pytest.raises((BadAnswer, AnswerCut)):
        await answer.read()


async def test_half_of_a_compressed_body_is_a_cut(answers, call):
    answer = await call(await answers(compressed(b"gzip", gzip.compress(b"hello" * 1000, mtime=0)[:-9])))

    with pytest.raises(AnswerCut):
        await answer.read()


# Nonsense


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"<html>",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2, 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 201 + b"\r\n",
        b"HTTP/1.1 100 Continue\r\nx: y\r\n\r\n" * 5000,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * 300 + b"\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;" + b"x" * 400_000,
        b"HTTP/1.1 101 Switching\r\n\r\n",
    ],
)
async def test_what_is_not_an_answer_is_refused(serve, call, reply):
    async def script(talk):
        await talk.request()
        await talk.send(reply)
        await talk.silence()

    with pytest.raises(BadAnswer):
        await (await call(await serve(script), total_s=5)).read()


async def test_every_error_is_an_upstream_error_and_tells_whether_it_was_sent():
    def leaves(kind):
        return [kind, *(leaf for sub in kind.__subclasses__() for leaf in leaves(sub))]

    sent = {kind.__name__: kind("x").sent for kind in leaves(UpstreamError)}

    assert {name for name, was_sent in sent.items() if not was_sent} == {"ConnectFailed", "TlsFailed", "ConnectTimeout"}

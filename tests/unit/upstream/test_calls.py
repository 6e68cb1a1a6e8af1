"""What a call writes, and how answers of every framing are read."""

import asyncio

import pytest

from yiapi.upstream import BadAnswer

pytestmark = pytest.mark.anyio


async def test_the_request_is_written_as_given_with_our_own_headers(answers, client, target, ok):
    peer = await answers(ok)
    channel = target(peer)

    await client.send(channel, "POST", "/v1/chat?x=1", [(b"Authorization", b"Bearer k")], b"hello")

    assert peer.seen == [
        b"POST /v1/chat?x=1 HTTP/1.1\r\nAuthorization: Bearer k\r\n"
        + b"host: 127.0.0.1:%d\r\naccept-encoding: identity\r\ncontent-length: 5\r\n\r\nhello" % peer.port
    ]


async def test_host_and_encoding_of_the_caller_are_kept(answers, client, target, ok):
    peer = await answers(ok)

    await client.send(target(peer), "GET", "/", [(b"Host", b"other"), (b"Accept-Encoding", b"gzip")])

    assert peer.seen == [b"GET / HTTP/1.1\r\nHost: other\r\nAccept-Encoding: gzip\r\n\r\n"]


async def test_an_answer_has_its_status_headers_and_body(answers, call):
    peer = await answers(b"HTTP/1.1 429 Slow\r\nRetry-After: 3\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 3\r\n\r\nabc")

    answer = await call(peer)

    assert answer.status == 429
    assert answer.headers == [(b"retry-after", b"3"), (b"x-a", b"1"), (b"x-a", b"2"), (b"content-length", b"3")]
    assert answer.header(b"x-a") == b"1"
    assert answer.header(b"x-b") is None
    assert await answer.read() == b"abc"
    assert await answer.read() == b""
    assert await answer.chunk() == b""
    assert 0 < answer.first_byte_s < 10


@pytest.mark.parametrize(
    "header",
    [
        (b"a", b"x\r\ny: z"),
        (b"a", b"x\ny"),
        (b"a", b"x\ry"),
        (b"a", b"x\0"),
        (b"a\r\nb", b"x"),
        (b"a b", b"x"),
        (b"a:", b"x"),
        (b"", b"x"),
        (b"Content-Length", b"3"),
        (b"transfer-encoding", b"chunked"),
        (b"connection", b"close"),
    ],
)
async def test_a_header_that_could_split_the_request_is_refused(answers, client, target, ok, header):
    peer = await answers(ok)

    with pytest.raises(ValueError, match="header"):
        await client.send(target(peer), "POST", "/", [header], b"")

    assert peer.talks == 0


@pytest.mark.parametrize("path", ["", "x", "/a b", "/a\r\nx: y", "/a\n", "/\0", "/é", "/a#b", "http://other/"])
async def test_a_path_that_could_split_the_request_is_refused(answers, client, target, ok, path):
    peer = await answers(ok)

    with pytest.raises(ValueError, match="path"):
        await client.send(target(peer), "POST", path, [], b"")


async def test_an_unknown_method_is_refused(answers, client, target, ok):
    peer = await answers(ok)

    with pytest.raises(ValueError, match="method"):
        await client.send(target(peer), "GET / HTTP/1.1\r\n", "/", [], b"")


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 204 No\r\n\r\n",
        b"HTTP/1.1 304 Same\r\ncontent-length: 7\r\n\r\n",
        b"HTTP/1.1 204 No\r\ncontent-length: 7\r\n\r\n",
    ],
)
async def test_answers_without_a_body_end_with_their_head(answers, call, client, ok, head):
    peer = await answers(head, ok)

    answer = await call(peer)
    after = await call(peer)

    assert await answer.read() == b""
    assert await after.read() == b"ok"
    assert client.stats().made == 1


@pytest.mark.parametrize("framing", [b"content-length: 100", b"transfer-encoding: chunked"])
async def test_the_answer_to_head_has_no_body(answers, call, client, ok, framing):
    peer = await answers(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n", ok)

    answer = await call(peer, method="HEAD", body=b"")
    after = await call(peer)

    assert await answer.read() == b""
    assert await after.read() == b"ok"
    assert client.stats().made == 1


async def test_interim_answers_are_skipped(answers, call, ok):
    peer = await answers(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + ok)

    answer = await call(peer)

    assert answer.status == 200
    assert answer.headers == [(b"content-length", b"2")]
    assert await answer.read() == b"ok"


async def test_interim_answers_may_come_in_packets_of_their_own(answers, call, ok):
    peer = await answers((b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n", ok))

    assert await (await call(peer)).read() == b"ok"


async def test_a_change_of_protocol_is_not_accepted(answers, call):
    peer = await answers(b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")

    with pytest.raises(BadAnswer):
        await call(peer)


async def test_a_body_without_a_length_ends_with_the_connection(answers, call, client, until):
    peer = await answers((b"HTTP/1.1 200 OK\r\n\r\nab", b"cd"))

    assert await (await call(peer)).read() == b"abcd"
    await until(lambda: client.stats().open == 0)


CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;x=y\r\nhello\r\n1\r\n \r\nB\r\nlarge world\r\n0\r\nx-sum: 1\r\n\r\n"
)


@pytest.mark.parametrize("at", range(1, len(CHUNKED)))
async def test_a_chunked_answer_may_be_split_at_every_byte(answers, call, client, at):
    peer = await answers((CHUNKED[:at], CHUNKED[at:]))

    assert await (await call(peer)).read() == b"hello large world"


async def test_a_chunked_answer_may_come_byte_by_byte(answers, call, client):
    peer = await answers(tuple(bytes([byte]) for byte in CHUNKED), CHUNKED)

    assert await (await call(peer)).read() == b"hello large world"
    assert await (await call(peer)).read() == b"hello large world"
    assert client.stats().made == 1


async def test_chunks_are_handed_out_as_they_arrive(serve, call):
    goes_on = asyncio.Event()

    async def script(talk):
        await talk.request()
        await talk.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab")
        await goes_on.wait()
        await talk.send(b"cd")

    answer = await call(await serve(script))

    assert await answer.chunk() == b"ab"
    assert not answer.is_complete
    goes_on.set()
    assert await answer.chunk() == b"cd"
    assert await answer.chunk() == b""


class Spooled:
    """A body of some pieces, asynchronous or not, that may lie about its size."""

    def __init__(self, *pieces: bytes, is_async: bool, size_bytes: int | None = None) -> None:
        self.pieces = pieces
        self.is_async = is_async
        self.size_bytes = sum(map(len, pieces)) if size_bytes is None else size_bytes

    def chunks(self):
        return self._slowly() if self.is_async else iter(self.pieces)

    async def _slowly(self):
        for piece in self.pieces:
            await asyncio.sleep(0)
            yield piece


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_body_is_poured_from_its_chunks_each_time_anew(answers, call, ok, is_async):
    peer = await answers(ok, ok)
    body = Spooled(b"ab", b"c" * 200_000, b"d", is_async=is_async)

    await (await call(peer, body=body)).read()
    await (await call(peer, body=body)).read()

    assert [seen.partition(b"\r\n\r\n")[2] for seen in peer.seen] == [b"ab" + b"c" * 200_000 + b"d"] * 2


async def test_a_large_body_of_bytes_arrives_whole(answers, call, ok):
    peer = await answers(ok)
    body = bytes(range(256)) * 20_000

    await call(peer, body=body)

    assert peer.seen[0].endswith(b"\r\n\r\n" + body)


@pytest.mark.parametrize("size_bytes", [1, 100])
async def test_a_body_of_another_size_than_announced_is_a_mistake(answers, call, client, ok, until, size_bytes):
    peer = await answers(ok)

    with pytest.raises(ValueError, match="size"):
        await call(peer, body=Spooled(b"ab", b"cd", is_async=False, size_bytes=size_bytes))

    await until(lambda: client.stats().open == 0)


async def test_what_a_body_raises_reaches_the_caller(answers, call, client, ok):
    class Broken(Spooled):
        def chunks(self):
            yield b"a"
            raise KeyError("spool")

    peer = await answers(ok)

    with pytest.raises(KeyError):
        await call(peer, body=Broken(b"abc", is_async=False))


async def test_a_refusal_ends_the_sending_of_the_body(serve, call, client):
    async def script(talk):
        await talk.head()
        await talk.send(b"HTTP/1.1 413 Large\r\ncontent-length: 3\r\n\r\nbig")
        await talk.silence()

    async def forever():
        while True:
            await asyncio.sleep(0)
            yield b"x" * 65536

    body = Spooled(is_async=True, size_bytes=1 << 40)
    body.chunks = forever

    answer = await call(await serve(script), body=body)

    assert answer.status == 413
    assert await answer.read() == b"big"
    assert client.stats().idle == 0


async def test_a_refusal_is_seen_while_the_peer_takes_nothing(serve, call, client):
    async def script(talk):
        await talk.head()
        talk.writer.transport.pause_reading()
        await asyncio.sleep(0.05)
        await talk.send(b"HTTP/1.1 413 Large\r\ncontent-length: 3\r\n\r\nbig")
        await asyncio.sleep(0.2)

    answer = await call(await serve(script), body=b"x" * 20_000_000)

    assert answer.status == 413
    assert await answer.read() == b"big"


async def test_an_early_success_does_not_stop_the_body(serve, call):
    received = []

    async def script(talk):
        head = await talk.head()
        await talk.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nok")
        received.append(await talk.reader.readexactly(int(head.split(b"content-length: ")[1])))
        await talk.send(b"ay")

    answer = await call(await serve(script), body=b"x" * 3_000_000)

    assert await answer.read() == b"okay"
    assert len(received[0]) == 3_000_000

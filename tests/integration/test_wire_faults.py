"""What callers do to the wire, against a whole station. Numbers are those of the fault catalogue.

Whatever is refused is refused in the dialect of its path, costs nothing, reaches no vendor, and ends the connection.
"""

import asyncio
import json
import socket
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from time import monotonic

import pytest

from yiapi.db.sql import query_of
from yiapi.money import Money

pytestmark = pytest.mark.anyio

HOLDS = query_of("held", "SELECT * FROM holds WHERE is_allowance = 0")
CHAT = b"/v1/chat/completions"
KLING = b"/kling/v1/videos/text2video"
IDEOGRAM = b"/ideogram/v1/describe"
PATHS = [CHAT, KLING, IDEOGRAM, b"/v1/account", b"/nowhere"]
BODY = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello"}]}'


@dataclass
class Said:
    status: int
    headers: dict[str, str]
    body: bytes


class Caller:
    """One connection that sends exactly what it is told."""

    def __init__(self, world, reader, writer):
        self.world, self.reader, self.writer = world, reader, writer

    async def send(self, *pieces, pause_s=0.0):
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(pause_s)

    async def answer(self, *, is_head=False):
        async with asyncio.timeout(20):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.rstrip().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            body = b"" if is_head else await self.reader.readexactly(int(headers.get("content-length", 0)))
            return Said(int(first.split(" ")[1]), headers, body)

    async def is_closed(self):
        async with asyncio.timeout(20):
            return await self.reader.read() == b""


@pytest.fixture
async def connect(world):
    writers = []

    async def connect():
        host, port = world.base_url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writers.append(writer)
        return Caller(world, reader, writer)

    yield connect
    for writer in writers:
        writer.close()


def head(world, path=CHAT, *lines, method=b"POST"):
    key = b"authorization: Bearer " + world.key.encode()
    kind = b"content-type: application/json"
    return b"\r\n".join([method + b" " + path + b" HTTP/1.1", b"host: x", key, kind, *lines, b"", b""])


def code_of(said, path):
    """Read what the dialect of a path calls the error; each has a place of its own for it."""
    body = json.loads(said.body)
    if path == KLING:
        assert body["request_id"] == said.headers["x-request-id"]
        return body["code"]
    if path == IDEOGRAM:
        return body["error"]
    assert body["error"]["request_id"] == said.headers["x-request-id"]
    return body["error"]["code"]


async def assert_refused(world, caller, path, status, code):
    said = await caller.answer()
    expected = {KLING: 1200, IDEOGRAM: json.loads(said.body).get("error")}.get(path, code)
    assert (said.status, code_of(said, path)) == (status, expected), said.body
    assert said.headers["connection"] == "close"
    assert await caller.is_closed()
    await assert_free(world)


async def assert_free(world):
    balance = await world.balance()
    assert balance.posted == balance.available == Money.parse("10")
    assert world.calls_upstream == 0
    assert await world.open_holds() == []


# F014


@pytest.mark.parametrize(
    ("lines", "status", "code"),
    [
        pytest.param([b"x-%d: " % n + b"y" * 1024 for n in range(100)], 431, "headers_too_large", id="100 KiB"),
        pytest.param([b"x-%d: y" % n for n in range(10_000)], 431, "headers_too_large", id="10,000 headers"),
        pytest.param([b"x-a: b\rc"], 400, "invalid_request", id="CR in a value"),
        pytest.param([b"x-a: b\nc"], 400, "invalid_request", id="LF in a value"),
        pytest.param([b"x-a: b\0c"], 400, "invalid_request", id="NUL in a value"),
    ],
)
async def test_f014_a_head_that_cannot_be_is_refused_in_dialect(world, connect, lines, status, code):
    for path in PATHS:
        caller = await connect()

        await caller.send(head(world, path, *lines))

        await assert_refused(world, caller, path, status, code)


# F015


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([b"content-length: 5", b"transfer-encoding: chunked"], id="both"),
        pytest.param([b"content-length: 5", b"content-length: 6"], id="two lengths"),
        pytest.param([b"transfer-encoding: gzip, chunked"], id="two codings"),
    ],
)
async def test_f015_a_body_of_two_lengths_is_refused_in_dialect(world, connect, lines):
    for path in PATHS:
        caller = await connect()

        await caller.send(head(world, path, *lines) + b"0\r\n\r\n" + head(world, CHAT, b"content-length: 0"))

        await assert_refused(world, caller, path, 400, "invalid_request")


async def test_f015_a_bad_chunk_is_refused_in_dialect(world, connect):
    for path in (CHAT, KLING):
        for bad in (b"3\r\nabcd\r\n", b"3\r\nabc\n", b"+3\r\nabc\r\n", b"fffffffffffffffff\r\n"):
            caller = await connect()

            await caller.send(head(world, path, b"transfer-encoding: chunked") + b"1\r\n{\r\n", bad)

            await assert_refused(world, caller, path, 400, "invalid_request")


async def test_f015_a_body_that_ends_early_is_refused_in_dialect(world, connect):
    for path in (CHAT, KLING):
        caller = await connect()

        await caller.send(head(world, path, b"content-length: 100") + BODY[:20])
        caller.writer.write_eof()

        await assert_refused(world, caller, path, 400, "invalid_request")


async def test_f015_what_is_hidden_in_a_body_is_no_call(world, connect):
    """A body that holds a whole call, in all the ways to say where it ends: what is served is one call."""
    hidden = head(world, CHAT, b"content-length: %d" % len(BODY)) + BODY
    text = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": hidden.decode()}]}).encode()
    wish = [b"connection: upgrade", b"upgrade: h2c"]
    ways = [
        head(world, CHAT, b"content-length: %d" % len(text)) + text,
        head(world, CHAT, b"transfer-encoding: chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(text), text),
        head(world, CHAT, *wish, b"content-length: %d" % len(text)) + text,
        head(world, CHAT, *wish, b"transfer-encoding: chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(text), text),
    ]
    caller = await connect()

    for way in ways:
        await caller.send(way)
        assert (await caller.answer()).status == 200

    assert [got.json["messages"][0]["content"] for got in world.vendor.got] == [hidden.decode()] * len(ways)


async def test_f015_protocol_errors_are_counted(world, connect):
    for _ in range(3):
        await (await connect()).send(b"nonsense\r\n\r\n")
    caller = await connect()
    await caller.send(b"more nonsense\r\n\r\n")
    await caller.answer()

    counted = await world.client.get("/metrics")

    assert 'yiapi_refused_total{code="invalid_request"} 4.0' in counted.text


# F016


@pytest.fixture
def sockets():
    with ExitStack() as sockets:
        yield sockets


HEAD_S = 1000.0


class TestAStationThatTakesItsTime:
    @pytest.fixture
    def options(self):
        return {"client_header_s": HEAD_S / 2}  # the clock is turned on, and is not to go off by itself

    async def test_f016_a_thousand_slow_callers_are_closed_in_time_and_stand_in_nobodys_way(self, world, sockets):
        host, port = world.base_url.removeprefix("http://").split(":")
        loop = asyncio.get_running_loop()
        callers = [sockets.enter_context(socket.socket()) for _ in range(1000)]
        for caller in callers:
            caller.setblocking(False)
            await loop.sock_connect(caller, (host, int(port)))
            await loop.sock_sendall(caller, b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx")
        served = [await world.chat() for _ in range(5)]
        for caller in callers:
            await loop.sock_sendall(caller, b"y")  # one byte more of a header, and no more time for it
        assert len(world.edge.connections) >= 1000
        began = monotonic()

        world.edge.sweep(began + HEAD_S)
        swept_s = monotonic() - began
        async with asyncio.timeout(10):
            said = [await read_all(loop, caller) for caller in callers]
        again = await world.chat()

        assert {one.status_code for one in [*served, again]} == {200}
        assert {one.partition(b"\r\n")[0] for one in said} == {b"HTTP/1.1 408 Request Timeout"}
        assert all(b'"code":"request_timeout"' in one for one in said)
        assert swept_s < 2
        assert len(world.edge.connections) <= 1


async def read_all(loop, stream):
    said = b""
    with suppress(ConnectionResetError):  # for the byte that came too late
        while piece := await loop.sock_recv(stream, 65536):
            said += piece
    return said


async def eventually(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for is not ours to signal
            await asyncio.sleep(0.001)


class TestAnImpatientStation:
    @pytest.fixture
    def options(self):
        return {"client_header_s": 0.2, "client_body_s": 0.3}

    async def test_f016_the_setting_for_heads_is_kept_to(self, world, connect):
        caller = await connect()

        await caller.send(head(world)[:60])

        await assert_refused(world, caller, CHAT, 408, "request_timeout")

    # F017

    async def test_f017_a_body_that_drips_is_refused_in_dialect(self, world, connect):
        for path in (CHAT, KLING, IDEOGRAM):
            for framing in (b"content-length: 1000", b"transfer-encoding: chunked"):
                caller = await connect()
                kind = b"multipart/form-data; boundary=XX" if path == IDEOGRAM else b"application/json"
                start = head(world, path, framing).replace(b"application/json", kind)
                drops = [b"--XX\r\n" if path == IDEOGRAM else b"{", *[b"a"] * 40]
                if b"chunked" in framing:
                    drops = [b"%x\r\n%b\r\n" % (len(drop), drop) for drop in drops]

                dripping = asyncio.create_task(caller.send(start, *drops, pause_s=0.02))
                await eventually(lambda dripping=dripping: bool(world.watch.calls) or dripping.done())
                assert await world.app.database.read(lambda tx: tx.all(HOLDS)) == []
                await assert_refused(world, caller, path, 408, "request_timeout")
                await dripping

    async def test_f017_a_body_that_comes_slowly_but_surely_is_served(self, world, connect):
        caller = await connect()
        text = b"x" * (17 * 1024)
        body = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "' + text * 5 + b'"}]}'
        pieces = [body[start : start + len(text)] for start in range(0, len(body), len(text))]

        await caller.send(head(world, CHAT, b"content-length: %d" % len(body)), *pieces, pause_s=0.1)

        assert (await caller.answer()).status == 200
        assert world.vendor.got[0].json["messages"][0]["content"] == text.decode() * 5


# Paths and queries


@pytest.mark.parametrize("method", [b"GET", b"POST", b"DELETE", b"PUT", b"PATCH", b"HEAD", b"OPTIONS"])
async def test_no_path_or_query_makes_a_500(world, connect, method):
    odd = [
        b"%00",
        b"%ff",
        b"%",
        b"%zz",
        b"..",
        b"%2e%2e%2f",
        b"%0d%0a",
        b"a" * 5000,
        b"'",
        b"%F0%9F%A6%8A",
        b"%ed%a0%80",
    ]
    places = [KLING + b"/", b"/v1/tasks/", b"/v1/assets/", b"/v1/webhook_endpoints/", b"/kling/v1/", b"/"]
    queries = [
        b"?" + b"a=b&" * 100,
        b"?limit=%00",
        b"?pageNum=-1&pageSize=1e9",
        b"?limit=99999999999999999999&after=%00",
    ]
    targets = [place + text for place in places for text in odd]
    targets += [place.rstrip(b"/") + query for place in places for query in queries]
    caller = await connect()

    for target in targets:
        await caller.send(head(world, target, b"content-length: 0", method=method))
        said = await caller.answer(is_head=method == b"HEAD")
        assert said.status < 500, (target, said)
        if "connection" in said.headers:
            caller = await connect()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/kling/v1/videos/text2video", {"prompt": "a", "external_task_id": "a\0b"}, id="reference"),
        pytest.param("/kling/v1/videos/text2video", {"prompt": "a", "model_name": "a\0b"}, id="model"),
        pytest.param("/mj/task/list-by-condition", {"ids": ["\0"]}, id="ids"),
        pytest.param("/mj/submit/change", {"taskId": "\0", "action": "UPSCALE", "index": 1}, id="earlier task"),
        pytest.param("/mj/submit/imagine", {"prompt": "a b", "notifyHook": "http://a.example/\0"}, id="hook"),
    ],
)
async def test_f020_nul_where_a_name_stands_is_refused_and_no_500(world, path, body):
    said = await world.client.post(path, json=body)

    assert said.status_code < 500, said.text
    await assert_free(world)

"""Connections are kept, shared out, watched while idle, and never used again when in doubt."""

import asyncio

import pytest

from yiapi.upstream import ConnectFailed, ConnectionLost, ConnectTimeout, IdleTimeout, Limits, target_of

pytestmark = pytest.mark.anyio


async def settle() -> None:
    await asyncio.sleep(0.02)


async def test_a_connection_serves_one_call_after_another(answers, call, client, ok):
    peer = await answers(ok, ok, ok)

    used = [await call(peer) for _ in range(3)]

    assert [answer.reused for answer in used] == [False, True, True]
    assert peer.talks == 1
    assert client.stats().made == 1
    assert client.stats().reused == 2
    assert client.stats().idle == 1


async def test_the_connection_used_last_is_used_first(serve, client, target, ok):
    both = asyncio.Barrier(2)
    served = []

    async def script(talk):
        await talk.request()
        await both.wait()
        await talk.send(ok)
        while True:
            await talk.request()
            served.append(talk)
            await talk.send(ok)

    channel = target(await serve(script))
    await asyncio.gather(*(client.send(channel, "GET", "/", []) for _ in range(2)))
    for _ in range(4):
        await client.send(channel, "GET", "/", [])

    assert len(served) == 4
    assert len(set(served)) == 1


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=0\r\ncontent-length: 2\r\n\r\nok",
    ],
)
async def test_a_connection_that_the_peer_will_close_is_not_used_again(serve, call, client, reply):
    async def script(talk):
        await talk.request()
        await talk.send(reply)
        await talk.silence()

    peer = await serve(script)

    assert await (await call(peer)).read() == b"ok"
    assert await (await call(peer)).read() == b"ok"

    assert peer.talks == 2


async def test_http_1_0_with_keep_alive_is_kept(answers, call, client, ok):
    peer = await answers(b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok", ok)

    await call(peer)
    await call(peer)

    assert peer.talks == 1


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx: y\r\n\r\n",
    ],
)
@pytest.mark.parametrize(
    "garbage",
    [
        b"x",
        b"\r\n",
        b"\n",
        b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
@pytest.mark.parametrize("in_one_packet", [True, False])
async def test_bytes_after_an_answer_are_never_taken_for_the_next_one(
    serve, call, client, reply, garbage, in_one_packet, until
):
    async def script(talk):
        await talk.request()
        await talk.send(*([reply + garbage] if in_one_packet else [reply, garbage]))
        await talk.silence()

    peer = await serve(script)

    assert await (await call(peer)).read() == b"ok"
    await until(lambda: client.stats().open == 0)


async def test_a_second_answer_to_head_is_never_used(serve, call, client, until):
    async def script(talk):
        await talk.request()
        await talk.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await talk.silence()

    peer = await serve(script)
    await call(peer, method="HEAD", body=b"")
    await until(lambda: client.stats().open == 0)


async def test_a_connection_closed_while_idle_is_not_used(answers, call, client, ok, until):
    peer = await answers(ok)
    await call(peer)
    await until(lambda: client.stats().open == 0)

    await call(peer)

    assert peer.talks == 2


async def test_a_closed_connection_is_noticed_before_the_loop_sees_it(answers, call, client, ok):
    peer = await answers(ok)
    await call(peer)
    pool = next(iter(client._pools.values()))
    (connection,) = pool._idle
    connection._transport.pause_reading()  # as if the loop had been busy
    connection.idle_at -= 0.01
    await settle()

    answer = await call(peer)

    assert not answer.reused
    assert await answer.read() == b"ok"


async def test_a_connection_lost_after_the_write_is_not_sent_again(serve, call):
    async def script(talk):
        await talk.request()
        await talk.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await talk.request()
        talk.reset()

    peer = await serve(script)
    await call(peer)

    with pytest.raises(ConnectionLost) as caught:
        await call(peer)

    assert caught.value.sent is True
    assert peer.talks == 1


async def test_a_write_that_failed_whole_is_sent_again_on_a_new_connection(serve, call, client, ok):
    async def script(talk):
        await talk.request()
        await talk.send(ok)
        await talk.silence()

    peer = await serve(script)
    await call(peer)
    (connection,) = next(iter(client._pools.values()))._idle
    transport = connection._transport

    class Broken:
        """A transport whose write finds that the peer had gone."""

        def __getattr__(self, name):
            return getattr(transport, name)

        def write(self, data):
            asyncio.get_running_loop().call_soon(connection.connection_lost, BrokenPipeError())
            transport.abort()

    connection._transport = Broken()

    answer = await call(peer)

    assert await answer.read() == b"ok"
    assert not answer.reused
    assert peer.talks == 2


async def test_idle_connections_are_closed_after_their_time(serve, make_client, target, ok, until):
    async def script(talk):
        await talk.request()
        await talk.send(ok)
        await talk.silence()

    client = make_client(idle_keep_s=0.05)
    await client.send(target(await serve(script)), "GET", "/", [])

    await until(lambda: client.stats().open == 0)


async def test_calls_wait_for_a_free_connection_in_their_order(serve, make_client, target, ok):
    order = []

    async def script(talk):
        while True:
            order.append((await talk.request()).split(b" ")[1])
            await settle()
            await talk.send(ok)

    client = make_client(connections_per_target_max=1)
    channel = target(await serve(script))

    answers = await asyncio.gather(*(client.send(channel, "GET", f"/{number}", []) for number in range(4)))

    assert order == [b"/0", b"/1", b"/2", b"/3"]
    assert [await answer.read() for answer in answers] == [b"ok"] * 4
    assert client.stats().made == 1


async def test_a_call_that_finds_no_place_in_time_was_not_sent(serve, make_client, target, until):
    async def script(talk):
        await talk.request()
        await talk.silence()

    client = make_client(connections_per_target_max=1)
    channel = target(await serve(script))
    first = asyncio.ensure_future(client.send(channel, "GET", "/", []))
    await until(lambda: client.stats().open == 1)

    with pytest.raises(ConnectTimeout) as caught:
        await client.send(channel, "GET", "/", [], b"", Limits(connect_s=0.05))

    assert caught.value.sent is False
    assert client.stats().waiting == 0
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_the_place_of_an_abandoned_call_goes_to_who_waits(serve, make_client, target, ok, until):
    async def script(talk):
        if (await talk.request()).startswith(b"GET /slow"):
            await talk.silence()
        await talk.send(ok)

    client = make_client(connections_per_target_max=1)
    channel = target(await serve(script))
    slow = asyncio.ensure_future(client.send(channel, "GET", "/slow", []))
    await until(lambda: client.stats().open == 1)
    waiting = asyncio.ensure_future(client.send(channel, "GET", "/", []))
    given_up = asyncio.ensure_future(client.send(channel, "GET", "/", []))
    await until(lambda: client.stats().waiting == 2)

    given_up.cancel()
    slow.cancel()

    assert await (await waiting).read() == b"ok"
    assert client.stats().waiting == 0


async def test_a_cancelled_call_drops_its_connection(serve, client, target, until):
    gone = asyncio.Event()

    async def script(talk):
        await talk.request()
        await talk.silence()
        gone.set()

    task = asyncio.ensure_future(client.send(target(await serve(script)), "GET", "/", []))
    await until(lambda: client.stats().open == 1)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(gone.wait(), 5)
    await until(lambda: client.stats().open == 0)


async def test_closing_an_unfinished_answer_drops_its_connection(serve, call, client, until):
    gone = asyncio.Event()

    async def script(talk):
        await talk.request()
        await talk.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab")
        await talk.silence()
        gone.set()

    answer = await call(await serve(script))
    answer.close()
    answer.close()

    await asyncio.wait_for(gone.wait(), 5)
    await until(lambda: client.stats().open == 0)


async def test_closing_a_complete_answer_keeps_its_connection(answers, call, client, ok):
    peer = await answers(ok, ok)
    answer = await call(peer)
    again = await call(peer)

    answer.close()

    assert await again.read() == b"ok"
    assert client.stats().open == 1


async def test_origins_with_other_permissions_share_no_connection(answers, client, ok):
    peer = await answers(ok)
    url = f"http://127.0.0.1:{peer.port}"

    await client.send(target_of(url), "GET", "/", [])
    await client.send(target_of(url, permitted=["127.0.0.1"]), "GET", "/", [])

    assert peer.talks == 2


async def test_a_peer_is_not_read_faster_than_the_caller_reads(serve, call, until):
    sent = 0

    async def script(talk):
        nonlocal sent
        await talk.request()
        await talk.send(b"HTTP/1.1 200 OK\r\ncontent-length: 30000000\r\n\r\n")
        for _ in range(300):
            await talk.send(b"x" * 100_000)
            sent += 100_000

    async def control(talk):
        await talk.request()
        await talk.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")
        await talk.silence()

    answer = await call(await serve(script), idle_s=0.3)
    await until(lambda: answer._paused)
    with pytest.raises(IdleTimeout):  # the idle limit passes, and does not count what the caller delays
        await (await call(await serve(control), idle_s=0.3)).read()

    assert sent < 20_000_000
    assert answer._unread_bytes < 600_000

    size = 0
    while piece := await answer.chunk():
        size += len(piece)
    assert size == 30_000_000


async def test_reading_at_once_takes_what_was_held_back(serve, call, client, until):
    async def script(talk):
        await talk.request()
        await talk.send(b"HTTP/1.1 200 OK\r\ncontent-length: 3000000\r\n\r\n" + b"x" * 3_000_000)
        await talk.silence()

    answer = await call(await serve(script))
    await until(lambda: answer._paused)

    assert len(await answer.read()) == 3_000_000
    assert client.stats().idle == 1


async def test_a_closed_client_ends_calls_and_makes_no_more(serve, client, target, until):
    async def script(talk):
        await talk.request()
        await talk.silence()

    channel = target(await serve(script))
    task = asyncio.ensure_future(client.send(channel, "GET", "/", []))
    await until(lambda: client.stats().open == 1)

    await client.aclose()
    await client.aclose()

    with pytest.raises(ConnectionLost):
        await task
    with pytest.raises(ConnectFailed):
        await client.send(channel, "GET", "/", [])
    with pytest.raises(ConnectFailed):
        await client.send(target_of("http://127.0.0.1:1/other"), "GET", "/", [])
    assert client.stats().open == 0

"""Calls that are sent at once and read in callbacks: on open connections only, and no faster than they are read."""

import asyncio
import zlib

import pytest

from yiapi.upstream import (
    AnswerCut,
    AnswerTooLarge,
    BadAnswer,
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    FirstByteTimeout,
    IdleTimeout,
    Limits,
    TotalTimeout,
    begun_head,
    target_of,
)
from yiapi.upstream.client import WHOLE_BODY_BYTES_MAX
from yiapi.upstream.request import ended_head

pytestmark = pytest.mark.anyio

LIMITS = Limits()
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def request_to(channel, body=b"{}"):
    return ended_head(begun_head(channel, "POST", "/x", []), len(body)) + body


class Follower:
    """Keeps what an answer says in its callbacks."""

    def __init__(self) -> None:
        self.answers = []
        self.pieces = []
        self.ends = []  # what the answer had failed with, each time it was told to have ended
        self.statuses = []

    def __call__(self, answer):
        self.answers.append(answer)
        self.statuses.append(answer.status)
        self.pieces.append(answer.at_hand())
        if answer.has_ended:
            self.ends.append(answer.error)

    @property
    def body(self):
        return b"".join(self.pieces)


@pytest.fixture
def follower():
    return Follower()


@pytest.fixture
def connected(client, target):
    """See to it that there is a connection to a peer, and return what sends to it at once."""

    async def connect(peer, **limits):
        channel = target(peer)
        await client.connect(channel, Limits(**limits))

        def send(body=b"{}", *, total_s=60.0, then=None):
            return client.send_now(channel, request_to(channel, body), Limits(**limits), total_s=total_s, then=then)

        return send

    return connect


def speaking(*steps):
    """Make a script that answers one request in steps: bytes to send, or events to wait for; then it listens."""

    async def script(talk):
        await talk.request()
        for step in steps:
            if isinstance(step, bytes):
                await talk.send(step)
            else:
                await step.wait()
        await talk.silence()

    return script


# Sent at once


async def test_without_a_connection_nothing_is_sent(answers, client, target, ok):
    peer = await answers(ok)
    channel = target(peer)

    answer = client.send_now(channel, request_to(channel), LIMITS, total_s=60)

    assert answer is None
    assert (peer.talks, client.stats().open) == (0, 0)


async def test_a_request_goes_out_on_the_open_connection_as_it_was_written(answers, connected, client, ok, until):
    peer = await answers(ok)
    send = await connected(peer)
    ended = []

    answer = send(b"hello", then=ended.append)
    await until(lambda: ended)

    assert peer.seen == [
        b"POST /x HTTP/1.1\r\nhost: 127.0.0.1:%d\r\naccept-encoding: identity\r\n" % peer.port
        + b"content-length: 5\r\n\r\nhello"
    ]
    assert ended == [answer]
    assert (answer.status, answer.whole()) == (200, b"ok")
    assert client.stats().made == peer.talks == 1


async def test_a_taken_connection_takes_no_second_request(serve, connected):
    send = await connected(await serve(speaking()))

    first, second = send(), send()

    assert first is not None
    assert second is None
    first.close()


async def test_a_request_that_is_too_large_for_one_write_is_not_sent(answers, connected, client, target, ok, until):
    peer = await answers(ok)
    send = await connected(peer)
    room = WHOLE_BODY_BYTES_MAX - len(request_to(target(peer), b"a" * 10_000)) + 10_000
    ended = []

    too_large = send(b"a" * (room + 1))
    just_right = send(b"a" * room, then=ended.append)
    await until(lambda: ended)

    assert too_large is None
    assert just_right.whole() == b"ok"
    assert len(peer.seen) == 1


async def test_one_call_after_another_goes_over_one_connection(answers, connected, client, ok, until):
    peer = await answers(ok, ok, ok, ok)
    send = await connected(peer)
    ended = []

    for number in range(3):
        assert send(then=ended.append) is not None
        await until(lambda count=number + 1: len(ended) == count)

    assert [answer.reused for answer in ended] == [False, True, True]
    assert [answer.whole() for answer in ended] == [b"ok"] * 3
    assert (peer.talks, client.stats().idle) == (1, 1)


async def test_the_next_call_may_be_sent_in_the_callback_that_ended_the_last(answers, connected, ok, until):
    peer = await answers(ok, ok, ok)
    send = await connected(peer)
    bodies = []

    def then(answer):
        bodies.append(answer.whole())
        if len(bodies) < 3:
            send(then=then)

    send(then=then)
    await until(lambda: len(bodies) == 3)

    assert bodies == [b"ok"] * 3
    assert peer.talks == 1


async def test_a_call_sent_at_once_and_one_that_waits_share_their_connections(answers, connected, call, ok, until):
    peer = await answers(ok, ok, ok)
    send = await connected(peer)
    ended = []

    first = await (await call(peer)).read()
    send(then=ended.append)
    await until(lambda: ended)
    last = await (await call(peer)).read()

    assert [first, ended[0].whole(), last] == [b"ok"] * 3
    assert peer.talks == 1


async def test_a_call_sent_at_once_can_be_waited_for(answers, connected, ok):
    send = await connected(await answers(ok))

    answer = send()
    await answer.more()

    assert (answer.status, await answer.read()) == (200, b"ok")


async def test_a_closed_client_sends_nothing(answers, connected, client, ok):
    send = await connected(await answers(ok))

    await client.aclose()

    assert send() is None


# The whole answer


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (HEAD % 2 + b"ok", b"ok"),
        (b"HTTP/1.1 204 No\r\n\r\n", b""),
        (b"HTTP/1.1 429 Slow\r\ncontent-length: 0\r\n\r\n", b""),
        (CHUNKED + b"2\r\nok\r\n0\r\n\r\n", b"ok"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD % 2 + b"ok", b"ok"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: deflate\r\ncontent-length: 10\r\n\r\n" + zlib.compress(b"ok"), b"ok"),
    ],
)
async def test_the_callback_is_called_once_with_all_of_the_answer(serve, connected, until, reply, body):
    send = await connected(await serve(speaking(*(reply[at : at + 1] for at in range(len(reply))))))
    ended = []

    answer = send(then=ended.append)
    await until(lambda: ended)

    assert answer.has_ended
    assert answer.error is None
    assert answer.whole() == body
    assert ended == [answer]


@pytest.mark.parametrize(
    ("reply", "limits", "error"),
    [
        (b"", {"first_byte_s": 0.02}, FirstByteTimeout),
        (HEAD % 5 + b"ab", {"idle_s": 0.02}, IdleTimeout),
        (HEAD % 5 + b"abcde", {"answer_bytes_max": 4}, AnswerTooLarge),
        (b"nonsense\r\n\r\n", {}, BadAnswer),
    ],
)
async def test_the_callback_is_called_once_with_an_answer_that_failed(
    serve, connected, client, until, reply, limits, error
):
    send = await connected(await serve(speaking(reply)), **limits)
    ended = []

    answer = send(then=ended.append)
    await until(lambda: ended)

    assert isinstance(answer.error, error)
    with pytest.raises(error):
        answer.whole()
    await until(lambda: client.stats().open == 0)
    assert ended == [answer]


async def test_a_call_that_takes_too_long_fails(serve, connected, until):
    send = await connected(await serve(speaking()))
    ended = []

    answer = send(total_s=0.02, then=ended.append)
    await until(lambda: ended)

    assert isinstance(answer.error, TotalTimeout)


async def test_an_answer_that_was_cut_gives_nothing_of_what_had_come(serve, connected, until):
    async def script(talk):
        await talk.request()
        await talk.send(HEAD % 5 + b"ab")

    send = await connected(await serve(script))
    ended = []

    answer = send(then=ended.append)
    await until(lambda: ended)

    for _ in range(2):
        with pytest.raises(AnswerCut):
            answer.whole()
    assert answer.at_hand() == b""


async def test_an_answer_that_is_given_up_tells_nobody(serve, connected, client, until):
    send = await connected(await serve(speaking(HEAD % 5 + b"ab")))
    ended = []

    answer = send(then=ended.append)
    await until(lambda: answer.status)
    answer.close()
    answer.close()

    await until(lambda: client.stats().open == 0)
    assert ended == []


# Gone before the write


class Gone:
    """A transport whose write finds that the peer had gone, or that it goes."""

    def __init__(self, connection, error) -> None:
        self.connection = connection
        self.transport = connection._transport
        self.error = error

    def __getattr__(self, name):
        return getattr(self.transport, name)

    def write(self, data):
        asyncio.get_running_loop().call_soon(self.connection.connection_lost, self.error)
        self.transport.abort()


def go(client, error):
    (connection,) = next(iter(client._pools.values()))._idle
    connection._transport = Gone(connection, error)


@pytest.mark.parametrize(
    ("error", "size", "is_unsent"),
    [
        (BrokenPipeError(), 2, True),
        (ConnectionResetError(), 2, False),
        (None, 2, False),
        (BrokenPipeError(), 32 * 1024, False),
    ],
    ids=["found by the write", "reset", "closed in order", "after a part of a large write"],
)
async def test_only_what_cannot_have_reached_the_peer_may_be_sent_again(
    serve, connected, client, ok, until, error, size, is_unsent
):
    send = await connected(await serve(speaking(ok)))
    ended = []
    send(then=ended.append)
    await until(lambda: ended)
    go(client, error)

    answer = send(b"a" * size, then=ended.append)
    await until(lambda: len(ended) == 2)

    assert isinstance(answer.error, ConnectionLost)
    assert answer.is_lost_unsent is is_unsent
    assert answer.error.sent is not is_unsent
    with pytest.raises(ConnectionLost):
        answer.whole()


async def test_a_follower_learns_that_nothing_was_sent(serve, connected, client, ok, until, follower):
    send = await connected(await serve(speaking(ok)))
    ended = []
    send(then=ended.append)
    await until(lambda: ended)
    go(client, BrokenPipeError())

    answer = send()
    answer.follow(follower)
    await until(lambda: follower.ends)

    assert answer.is_lost_unsent
    assert len(follower.ends) == 1


async def test_a_new_connection_that_is_lost_is_no_reason_to_send_again(serve, connected, client, until):
    send = await connected(await serve(speaking()))
    go(client, BrokenPipeError())
    ended = []

    answer = send(then=ended.append)
    await until(lambda: ended)

    assert not answer.is_lost_unsent


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 2"], ids=["nothing", "a part of a head"])
async def test_what_was_sent_and_not_answered_is_not_sent_again(serve, connected, until, ok, reply):
    async def script(talk):
        await talk.request()
        await talk.send(ok)
        await talk.request()
        await talk.send(reply)
        talk.reset()

    send = await connected(await serve(script))
    ended = []
    send(then=ended.append)
    await until(lambda: ended)

    answer = send(then=ended.append)
    await until(lambda: len(ended) == 2)

    assert isinstance(answer.error, ConnectionLost)
    assert not answer.is_lost_unsent


async def test_a_good_answer_is_not_lost(serve, connected, until, ok):
    send = await connected(await serve(speaking(ok)))
    ended = []

    answer = send(then=ended.append)

    assert not answer.is_lost_unsent
    await until(lambda: ended)
    assert not answer.is_lost_unsent


async def test_a_connection_that_the_peer_has_closed_is_not_taken(serve, connected, client, until):
    async def script(talk):
        pass

    send = await connected(await serve(script))
    await until(lambda: client.stats().open == 0)

    assert send() is None


# Followed


async def test_a_follower_is_told_of_every_piece_and_of_the_end(serve, connected, follower, until):
    gates = [asyncio.Event() for _ in range(3)]
    script = speaking(CHUNKED, gates[0], b"3\r\none\r\n", gates[1], b"3\r\ntwo\r\n", gates[2], b"0\r\n\r\n")
    send = await connected(await serve(script))

    answer = send()
    answer.follow(follower)
    await until(lambda: follower.statuses)
    for gate, body in zip(gates, (b"one", b"onetwo", b"onetwo"), strict=True):
        assert follower.ends == []
        gate.set()
        await until(lambda body=body, gate=gate: follower.body == body and (gate is not gates[2] or follower.ends))

    assert follower.ends == [None]
    assert set(follower.statuses) == {200}
    assert set(follower.answers) == {answer}
    assert answer.at_hand() == b""


async def test_an_answer_in_one_piece_is_told_once(serve, connected, follower, until, ok):
    send = await connected(await serve(speaking(ok)))

    send().follow(follower)
    await until(lambda: follower.ends)

    assert follower.pieces == [b"ok"]
    assert follower.ends == [None]


async def test_a_follower_is_told_at_once_of_what_had_arrived(serve, connected, follower, until):
    gate = asyncio.Event()
    send = await connected(await serve(speaking(HEAD % 6 + b"abc", gate, b"def")))
    answer = send()
    await answer.more()

    answer.follow(follower)
    at_once = list(follower.pieces)
    gate.set()
    await until(lambda: follower.ends)

    assert at_once == [b"abc"]
    assert follower.body == b"abcdef"


async def test_a_follower_is_told_at_once_of_an_answer_that_has_ended(answers, call, follower, ok):
    answer = await call(await answers(ok))
    while not answer.has_ended:
        await answer.more()

    answer.follow(follower)

    assert (follower.pieces, follower.ends) == ([b"ok"], [None])


async def test_what_was_read_before_is_not_told_again(serve, call, follower, until):
    gate = asyncio.Event()
    answer = await call(await serve(speaking(HEAD % 6 + b"abc", gate, b"def")))
    before = await answer.chunk()

    answer.follow(follower)
    assert follower.answers == []
    gate.set()
    await until(lambda: follower.ends)

    assert (before, follower.body) == (b"abc", b"def")


async def test_another_follower_takes_over(serve, connected, follower, until):
    gate = asyncio.Event()
    send = await connected(await serve(speaking(HEAD % 6 + b"abc", gate, b"def")))
    first = Follower()
    answer = send()
    answer.follow(first)
    await until(lambda: first.body)

    answer.follow(follower)
    gate.set()
    await until(lambda: follower.ends)

    assert (first.body, follower.body, first.ends) == (b"abc", b"def", [])


async def test_a_follower_may_take_over_in_the_callback_of_another(serve, connected, follower, until):
    gate = asyncio.Event()
    send = await connected(await serve(speaking(HEAD % 6 + b"abc", gate, b"def")))

    send().follow(lambda answer: answer.follow(follower))
    await until(lambda: follower.body)
    gate.set()
    await until(lambda: follower.ends)

    assert follower.body == b"abcdef"


async def test_a_follower_learns_what_an_answer_failed_with_after_what_had_come(serve, connected, follower, until):
    async def script(talk):
        await talk.request()
        await talk.send(HEAD % 5 + b"ab")

    send = await connected(await serve(script))

    answer = send()
    answer.follow(follower)
    await until(lambda: follower.ends)

    assert follower.body == b"ab"
    assert isinstance(answer.error, AnswerCut)
    assert follower.ends == [answer.error]


async def test_a_follower_that_gives_up_is_told_nothing_more(serve, connected, client, until):
    gate = asyncio.Event()
    send = await connected(await serve(speaking(CHUNKED, gate, b"3\r\none\r\n", b"3\r\ntwo\r\n")))
    calls = []

    def then(answer):
        calls.append(answer.status)
        answer.close()

    send().follow(then)
    await until(lambda: calls)
    gate.set()
    await until(lambda: client.stats().open == 0)

    assert calls == [200]


async def test_a_compressed_answer_is_followed_as_it_is_unpacked(serve, connected, follower, until):
    packed = zlib.compress(b"ok" * 1000)
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: deflate\r\ncontent-length: %d\r\n\r\n" % len(packed)
    send = await connected(await serve(speaking(head, packed[:5], packed[5:])))

    send().follow(follower)
    await until(lambda: follower.ends)

    assert follower.body == b"ok" * 1000


# Held


SIZE_BYTES = 30_000_000


async def test_a_held_answer_is_not_read_until_it_may_go_on(serve, connected, call, until):
    sent = received = 0

    async def script(talk):
        nonlocal sent
        await talk.request()
        await talk.send(HEAD % SIZE_BYTES)
        for _ in range(300):
            await talk.send(b"x" * 100_000)
            sent += 100_000
        await talk.silence()

    def hold(answer):
        nonlocal received
        received += len(answer.at_hand())
        if received and not answer.has_ended:
            answer.hold()

    send = await connected(await serve(script), idle_s=0.3)
    answer = send()
    answer.follow(hold)
    await until(lambda: received)
    with pytest.raises(IdleTimeout):  # the idle limit passes, and does not count who holds
        await (await call(await serve(speaking(HEAD % 9)), idle_s=0.3)).read()

    assert (answer.has_ended, answer.error) == (False, None)
    assert sent < 20_000_000
    assert received < 2_000_000
    while not answer.has_ended:
        answer.go_on()
        await asyncio.sleep(0)
    assert (answer.error, received) == (None, SIZE_BYTES)


async def test_holding_twice_and_going_on_twice_is_harmless(serve, connected, follower, until):
    gate = asyncio.Event()
    send = await connected(await serve(speaking(HEAD % 6 + b"abc", gate, b"def")))
    answer = send()
    answer.follow(follower)
    await until(lambda: follower.body)

    answer.go_on()
    for _ in range(2):
        answer.hold()
    gate.set()
    for _ in range(2):
        answer.go_on()
    await until(lambda: follower.ends)

    assert (follower.body, follower.ends) == (b"abcdef", [None])


async def test_what_comes_for_a_held_answer_comes_when_it_goes_on(serve, connected, follower, until):
    gate, sent = asyncio.Event(), asyncio.Event()

    async def script(talk):
        await talk.request()
        await talk.send(HEAD % 6 + b"abc")
        await gate.wait()
        await talk.send(b"def")
        sent.set()
        await talk.silence()

    send = await connected(await serve(script))
    answer = send()
    answer.follow(follower)
    await until(lambda: follower.body)
    answer.hold()
    gate.set()
    await sent.wait()
    for _ in range(20):
        await asyncio.sleep(0)

    before = follower.body
    answer.go_on()
    await until(lambda: follower.ends)

    assert (before, follower.body) == (b"abc", b"abcdef")


async def test_the_idle_limit_counts_again_when_an_answer_goes_on(serve, connected, follower, until):
    send = await connected(await serve(speaking(HEAD % 6 + b"abc")), idle_s=0.05)
    answer = send()
    answer.follow(follower)
    await until(lambda: follower.body)

    answer.hold()
    answer.go_on()
    await until(lambda: follower.ends)

    assert isinstance(answer.error, IdleTimeout)


async def test_a_held_answer_takes_no_longer_than_its_total_time(serve, connected, follower, until):
    send = await connected(await serve(speaking(HEAD % 6 + b"abc")))
    answer = send(total_s=0.05)
    answer.follow(follower)
    await until(lambda: follower.answers)

    answer.hold()
    await until(lambda: follower.ends)

    assert isinstance(answer.error, TotalTimeout)


async def test_a_held_answer_can_be_given_up(serve, connected, client, follower, until):
    send = await connected(await serve(speaking(HEAD % 6 + b"abc")))
    answer = send()
    answer.follow(follower)
    await until(lambda: follower.body)

    answer.hold()
    answer.close()
    answer.go_on()

    await until(lambda: client.stats().open == 0)
    assert follower.ends == []


async def test_what_is_done_late_with_an_answer_changes_nothing_for_the_next_call(
    serve, connected, call, follower, until
):
    gate = asyncio.Event()

    async def script(talk):
        await talk.request()
        await talk.send(HEAD % 2 + b"ok")
        await speaking(HEAD % 6 + b"abc", gate, b"def")(talk)

    send = await connected(await serve(script))
    first_follower = Follower()
    first = send()
    first.follow(first_follower)
    await until(lambda: first_follower.ends)
    second = send()
    second.follow(follower)
    await until(lambda: follower.body)

    first.hold()
    first.go_on()
    first.limit(0)
    first.let_end(0)
    first.close()
    with pytest.raises(TotalTimeout):  # so that a limit would have been noticed, too
        await call(await serve(speaking()), total_s=0.02)
    gate.set()
    await until(lambda: follower.ends)

    assert (follower.body, follower.ends, second.reused) == (b"abcdef", [None], True)


async def test_going_on_late_does_not_release_the_next_call(serve, connected, follower, until):
    async def script(talk):
        await talk.request()
        await talk.send(HEAD % 2 + b"ok")
        await speaking(HEAD % 6 + b"abc")(talk)

    send = await connected(await serve(script))
    first_follower = Follower()
    first = send()
    first.follow(first_follower)
    await until(lambda: first_follower.ends)
    second = send()
    second.follow(follower)
    await until(lambda: follower.body)

    second.hold()
    first.go_on()

    assert second._source._is_paused
    second.close()


# Left to its end


async def test_an_answer_that_is_left_to_its_end_gives_its_connection_back(serve, connected, client, follower, until):
    gate = asyncio.Event()

    async def script(talk):
        await talk.request()
        await talk.send(CHUNKED + b"5\r\n[end]\r\n")
        await gate.wait()
        await talk.send(b"4\r\nmore\r\n", b"0\r\n\r\n")
        await talk.request()
        await talk.send(HEAD % 2 + b"ok")
        await talk.silence()

    peer = await serve(script)
    send = await connected(peer)
    answer = send()
    answer.follow(follower)
    await until(lambda: follower.body)

    answer.let_end(60)
    taken = send()
    gate.set()
    await until(lambda: client.stats().idle == 1)
    ended = []
    next_answer = send(then=ended.append)
    await until(lambda: ended)

    assert taken is None
    assert follower.ends == []
    assert (answer.has_ended, answer.error, answer.at_hand()) == (True, None, b"")
    assert (next_answer.whole(), next_answer.reused, peer.talks) == (b"ok", True, 1)


async def test_an_answer_that_does_not_end_is_left_alone_after_a_while(serve, connected, client, follower, until):
    send = await connected(await serve(speaking(CHUNKED + b"5\r\n[end]\r\n")))
    answer = send()
    answer.follow(follower)
    await until(lambda: follower.body)

    answer.let_end(0.02)
    await until(lambda: client.stats().open == 0)

    assert isinstance(answer.error, TotalTimeout)
    assert follower.ends == []


async def test_an_answer_that_goes_on_and_on_is_left_alone_after_a_while(serve, connected, client, follower, until):
    async def script(talk):
        await talk.request()
        await talk.send(CHUNKED)
        while True:
            await talk.send(b"5\r\n[end]\r\n", b"")

    send = await connected(await serve(script))
    answer = send()
    answer.follow(follower)
    await until(lambda: follower.body)

    answer.let_end(0.02)
    await until(lambda: client.stats().open == 0)

    assert isinstance(answer.error, TotalTimeout)
    assert follower.ends == []


async def test_a_held_answer_can_be_left_to_its_end(serve, connected, client, follower, until):
    gate = asyncio.Event()
    send = await connected(await serve(speaking(HEAD % 300_003 + b"abc", gate, b"x" * 300_000)))
    answer = send()
    answer.follow(follower)
    await until(lambda: follower.body)
    answer.hold()

    answer.let_end(60)
    gate.set()
    await until(lambda: client.stats().idle == 1)

    assert answer.has_ended
    assert answer.at_hand() == b""


async def test_an_answer_may_be_left_to_its_end_in_its_callback(serve, connected, client, until):
    send = await connected(await serve(speaking(CHUNKED + b"5\r\n[end]\r\n", b"0\r\n\r\n")))
    calls = []

    def then(answer):
        calls.append(answer.at_hand())
        answer.let_end(60)

    send().follow(then)
    await until(lambda: client.stats().idle == 1)

    assert b"".join(calls) == b"[end]"


async def test_what_has_ended_may_be_left_to_its_end(answers, call, client, ok):
    answer = await call(await answers(ok, ok))
    await answer.read()

    answer.let_end(0)

    assert client.stats().idle == 1
    assert answer.at_hand() == b""


async def test_what_was_left_to_its_end_and_failed_is_no_trouble(serve, connected, client, follower, until):
    gate = asyncio.Event()

    async def script(talk):
        await talk.request()
        await talk.send(CHUNKED + b"5\r\n[end]\r\n")
        await gate.wait()
        talk.reset()

    send = await connected(await serve(script))
    answer = send()
    answer.follow(follower)
    await until(lambda: follower.body)

    answer.let_end(60)
    gate.set()
    await until(lambda: client.stats().open == 0)

    assert isinstance(answer.error, AnswerCut)
    assert follower.ends == []


async def test_a_limited_answer_still_tells_its_follower(serve, connected, follower, until):
    send = await connected(await serve(speaking(CHUNKED + b"5\r\nfirst\r\n")))
    answer = send()
    answer.follow(follower)
    await until(lambda: follower.body)

    answer.limit(0.02)
    await until(lambda: follower.ends)

    assert follower.body == b"first"
    assert isinstance(answer.error, TotalTimeout)


async def test_a_later_limit_does_not_lengthen_the_total_time(serve, connected, follower, until):
    send = await connected(await serve(speaking(CHUNKED + b"5\r\nfirst\r\n")))
    answer = send(total_s=0.05)
    answer.follow(follower)
    await until(lambda: follower.answers)

    answer.limit(600)
    await until(lambda: follower.ends)

    assert isinstance(answer.error, TotalTimeout)


# Connected


async def test_connecting_sends_nothing_and_keeps_the_connection(serve, connected, client):
    heard = []

    async def script(talk):
        heard.append(await talk.reader.read(1))

    peer = await serve(script)
    await connected(peer)

    assert (heard, client.stats().idle, client.stats().made) == ([], 1, 1)


async def test_connecting_again_makes_no_second_connection(answers, connected, client, ok):
    peer = await answers(ok)

    for _ in range(3):
        await connected(peer)

    assert (client.stats().open, client.stats().idle, client.stats().made) == (1, 1, 1)


async def test_connecting_while_the_connection_is_taken_makes_another(serve, connected, client, until):
    peer = await serve(speaking())
    send = await connected(peer)
    first = send()

    await connected(peer)
    second = send()

    assert client.stats().made == 2
    await until(lambda: peer.talks == 2)
    for answer in (first, second):
        answer.close()


async def test_connecting_waits_for_a_free_place(serve, make_client, target, ok, until):
    gate = asyncio.Event()
    client = make_client(connections_per_target_max=1)
    peer = await serve(speaking(gate, ok))
    channel = target(peer)
    await client.connect(channel, LIMITS)
    ended = []
    client.send_now(channel, request_to(channel), LIMITS, total_s=60, then=ended.append)

    waiting = asyncio.ensure_future(client.connect(channel, LIMITS))
    await until(lambda: client.stats().waiting == 1)
    gate.set()
    await waiting

    assert len(ended) == 1
    assert (client.stats().open, client.stats().idle, client.stats().waiting) == (1, 1, 0)


async def test_connecting_finds_no_free_place_in_time(serve, make_client, target):
    client = make_client(connections_per_target_max=1)
    channel = target(await serve(speaking()))
    await client.connect(channel, LIMITS)
    answer = client.send_now(channel, request_to(channel), LIMITS, total_s=60)

    with pytest.raises(ConnectTimeout):
        await client.connect(channel, Limits(connect_s=0.02))

    answer.close()


async def test_connecting_to_nobody_fails(client):
    nobody = target_of("http://127.0.0.1:1")

    with pytest.raises(ConnectFailed):
        await client.connect(nobody, LIMITS)

    assert client.send_now(nobody, request_to(nobody), LIMITS, total_s=60) is None
    assert client.stats().open == 0


async def test_a_closed_client_connects_no_more(answers, connected, client, target, ok):
    peer = await answers(ok)
    await connected(peer)
    await client.aclose()

    with pytest.raises(ConnectFailed):
        await client.connect(target(peer), LIMITS)
    with pytest.raises(ConnectFailed):
        await client.connect(target(peer, host="localhost"), LIMITS)
    assert client.stats().open == 0


async def test_a_follower_of_an_answer_that_was_paused_is_told_of_the_rest(serve, call, until):
    async def script(talk):
        await talk.request()
        await talk.send(HEAD % 3_000_000 + b"x" * 3_000_000)
        await talk.silence()

    answer = await call(await serve(script))
    await until(lambda: answer._paused)
    got = len(await answer.chunk())

    def then(a):
        nonlocal got
        got += len(a.at_hand())

    answer.follow(then)
    await until(lambda: answer.has_ended)
    assert got == 3_000_000


async def test_a_limit_does_not_lift_the_idle_limit(serve, call, until):
    async def script(talk):
        await talk.request()
        await talk.send(HEAD % 3 + b"x")
        await talk.silence()

    answer = await call(await serve(script), idle_s=0.05)
    answer.limit(60)
    await until(lambda: answer.has_ended)
    assert isinstance(answer.error, IdleTimeout)


async def test_a_connection_is_not_used_again_by_the_first_call_on_it(serve, client, target, ok, until):
    async def script(talk):
        await talk.request()
        await talk.send(ok)
        await talk.silence()

    ch = target(await serve(script))
    await client.connect(ch, Limits())
    ended = []
    client.send_now(ch, ended_head(begun_head(ch, "POST", "/x", []), 0), Limits(), total_s=60, then=ended.append)
    await until(lambda: ended)
    assert client.stats().reused == 0

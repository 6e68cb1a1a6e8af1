"""A real nginx before the station, and one between the station and its vendor: no call fails, none is made twice."""

import asyncio
import json
from collections import Counter

import httpx
import nginx_support
import pytest
from tests_support import USAGE, answer, chat, chunk, reset, sse

from yiapi.db import migrate
from yiapi.money import Money

pytestmark = pytest.mark.anyio

PRICE = Money.parse("0.0035").nano
CALLS = 120
AT_ONCE = 16

STREAMING = """
proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
proxy_buffering off; proxy_request_buffering off; client_max_body_size 64m; proxy_next_upstream off;
"""
PLAIN = "client_max_body_size 64m; proxy_next_upstream off;"
SWITCHING = """
proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";
proxy_next_upstream off;
"""


@pytest.fixture
def anyio_backend():
    """The loop that a station runs on."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def database_url(tmp_path):
    """What nginx does is the same whatever the database is."""
    url = f"sqlite:///{tmp_path / 'station.db'}"
    migrate(url)
    return url


@pytest.fixture
def nginx(tmp_path):
    """Start nginx before a peer; every one is stopped at the end."""
    running = []

    def start(peer_url, location=STREAMING, **more):
        running.append(nginx_support.start(tmp_path / f"nginx-{len(running)}", peer_url, location=location, **more))
        return running[-1]

    yield start
    for one in running:
        one.stop()


async def vendor_behind(world, nginx, **options):
    """Put nginx between the station and its vendor."""
    front = nginx(world.vendor.url, **options)
    for channel in await world.app.channels.list_channels():
        if channel.provider == "openai":
            await world.app.channels.update_channel(channel.id, base_url=front.url, credentials=["key-behind-nginx"])
    await world.app.refresh()
    return front


def text_of(got):
    return got.json["messages"][0]["content"]


def echo_chat():
    """Answer each call with what it said, so that nobody gets the answer of another one."""

    async def act(vendor, reader, writer, got):
        text = text_of(got)
        if got.json.get("stream"):
            events = [chunk(role="assistant"), chunk(text), chunk(finish="stop"), USAGE, "[DONE]"]
            await sse(*events)(vendor, reader, writer, got)
        else:
            await answer(200, chat(text))(vendor, reader, writer, got)

    return act


async def many(client, *, calls=CALLS, in_chunks=False):
    """Make many calls, every third one streamed, and check that each gets its own answer."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(number):
        text = f"call {number} " + "x" * (number % 7 * 3000)
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], "stream": number % 3 == 0}
        raw = json.dumps(body).encode()

        async def pieces():
            for start in range(0, len(raw), 1000):
                yield raw[start : start + 1000]

        async with room:
            said = await client.post(
                "/v1/chat/completions",
                content=pieces() if in_chunks else raw,
                headers={"content-type": "application/json"},
            )
        assert said.status_code == 200, said.text
        assert text in said.text
        assert ("[DONE]" in said.text) == body["stream"]
        return text

    return await asyncio.gather(*(one(number) for number in range(calls)))


async def assert_each_was_made_once(world, texts):
    assert Counter(text_of(got) for got in world.vendor.got) == Counter(texts)
    requests = await world.requests()
    assert [request["status"] for request in requests] == ["succeeded"] * len(texts)
    assert (await world.balance()).posted == Money.parse("10") - Money(PRICE * len(texts))
    assert await world.open_holds() == []


# Before the station


@pytest.mark.parametrize("location", [STREAMING, PLAIN, SWITCHING], ids=["streaming", "HTTP/1.0", "websockets"])
async def test_calls_through_a_front_are_served_once_each(world, nginx, location):
    world.vendor.otherwise = echo_chat()
    front = nginx(world.base_url, location)

    async with httpx.AsyncClient(base_url=front.url, headers=world.client.headers, timeout=30) as client:
        texts = await many(client)

    await assert_each_was_made_once(world, texts)


async def test_bodies_in_chunks_pass_a_front(world, nginx):
    world.vendor.otherwise = echo_chat()
    front = nginx(world.base_url)

    async with httpx.AsyncClient(base_url=front.url, headers=world.client.headers, timeout=30) as client:
        texts = await many(client, calls=60, in_chunks=True)

    await assert_each_was_made_once(world, texts)


async def test_calls_of_every_kind_share_the_connections_of_a_front(world, nginx):
    world.vendor.otherwise = echo_chat()
    front = nginx(world.base_url)
    odd = [
        (401, {"method": "POST", "url": "/v1/chat/completions", "json": {}, "headers": {"authorization": "Bearer no"}}),
        (
            400,
            {
                "method": "POST",
                "url": "/v1/chat/completions",
                "content": b"{",
                "headers": {"content-type": "application/json"},
            },
        ),
        (404, {"method": "GET", "url": "/nowhere"}),
        (405, {"method": "PUT", "url": "/v1/chat/completions", "content": b"x" * 100_000}),
        (200, {"method": "GET", "url": "/v1/models"}),
        (200, {"method": "HEAD", "url": "/healthz"}),
        (200, {"method": "GET", "url": "/openapi.json"}),
        (413, {"method": "POST", "url": "/v1/chat/completions", "content": b" " * (11 * 2**20)}),
    ]

    async with httpx.AsyncClient(base_url=front.url, headers=world.client.headers, timeout=30) as client:

        async def ask(status, request):
            assert (await client.request(**request)).status_code == status

        asking = [ask(*one) for one in odd * 10]
        texts, *_ = await asyncio.gather(many(client, calls=60), *asking)

    await assert_each_was_made_once(world, texts)


async def test_a_stream_passes_a_front_event_by_event(world, nginx):
    gate = asyncio.Event()
    events = [chunk(role="assistant"), chunk("Hello there"), chunk(finish="stop"), USAGE, "[DONE]"]
    world.vendor.script = [sse(*events, gate=gate)]
    front = nginx(world.base_url)
    body = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "Say hello"}]}
    body["stream_options"] = {"include_usage": True}

    said = b""
    async with (
        httpx.AsyncClient(base_url=front.url, headers=world.client.headers, timeout=30) as client,
        client.stream("POST", "/v1/chat/completions", json=body) as stream,
    ):
        async for piece in stream.aiter_bytes():
            said += piece
            if b"Hello there" in said:
                gate.set()  # the rest comes only when the first content has been read

    assert said.decode() == "".join(f"data: {event}\n\n" for event in events) + ": x-yiapi-charge: 0.0035\n\n"


async def test_f008_who_is_refused_inside_its_body_can_read_why_through_a_front(world, nginx):
    front = nginx(world.base_url)

    async def endless():
        for _ in range(16):
            yield b" " * 2**20

    async with httpx.AsyncClient(base_url=front.url, headers=world.client.headers, timeout=30) as client:
        refused = await client.post(
            "/v1/chat/completions", content=endless(), headers={"content-type": "application/json"}
        )

    assert refused.status_code == 413
    assert refused.json()["error"]["code"] == "payload_too_large"


async def test_f078_a_caller_that_leaves_is_noticed_through_a_front(world, nginx):
    world.vendor.script = [sse(chunk(role="assistant"), chunk("Hello there, my friend"), then="hang")]
    front = nginx(world.base_url)
    body = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "Say hello"}]}

    async with (
        httpx.AsyncClient(base_url=front.url, headers=world.client.headers, timeout=30) as client,
        client.stream("POST", "/v1/chat/completions", json=body) as stream,
    ):
        async for line in stream.aiter_lines():
            if "friend" in line:
                break
    await world.settled()

    await world.vendor.got[0].left.wait()
    assert [request["http_status"] for request in await world.requests()] == [499]


# Between the station and its vendor


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"server": "keepalive_requests 3;"}, id="connections end after three calls"),
        pytest.param({"server": "keepalive_requests 1;"}, id="connections end after each call"),
        pytest.param({"server": "keepalive_timeout 20ms;"}, id="connections end soon"),
        pytest.param({"server": "chunked_transfer_encoding off;"}, id="answers end with their connection"),
        pytest.param({"location": PLAIN, "server": "keepalive_requests 5;"}, id="buffered"),
    ],
)
async def test_calls_to_a_vendor_behind_nginx_are_made_once_each(world, nginx, said):
    world.vendor.otherwise = echo_chat()
    await vendor_behind(world, nginx, **said)

    texts = await many(world.client)

    await assert_each_was_made_once(world, texts)


async def test_connections_to_a_vendor_that_ended_while_they_were_idle_are_not_used(world, nginx):
    world.vendor.otherwise = echo_chat()
    front = await vendor_behind(world, nginx, server="keepalive_timeout 1ms;")

    for number in range(40):
        text = f"call {number}"
        served = await world.chat(messages=[{"role": "user", "content": text}])
        assert served.status_code == 200, (served.text, front.log())
        await asyncio.sleep(0.02)  # sleep: nginx ends the connection in its own time

    assert len(world.vendor.got) == 40


async def test_f057_a_vendors_front_that_says_502_is_failed_over(world, nginx):
    """nginx itself answers: the vendor behind it resets connections."""

    async def reset_or_answer(vendor, reader, writer, got):
        if len(vendor.got) % 2:
            await reset()(vendor, reader, writer, got)
        else:
            await echo_chat()(vendor, reader, writer, got)

    world.vendor.otherwise = reset_or_answer
    await vendor_behind(world, nginx)

    served = await world.chat()

    assert served.status_code == 200
    assert [attempt["http_status"] for attempt in await world.attempts()] == [502, 200]


async def test_a_vendor_behind_two_fronts_and_callers_behind_one(world, nginx):
    world.vendor.otherwise = echo_chat()
    await vendor_behind(world, nginx, server="keepalive_requests 4;")
    front = nginx(world.base_url)

    async with httpx.AsyncClient(base_url=front.url, headers=world.client.headers, timeout=30) as client:
        texts = await many(client)

    await assert_each_was_made_once(world, texts)

"""What a chat does when callers, vendors and money misbehave. Numbers are those of the fault catalogue."""

import asyncio
import datetime as dt
import ipaddress
import json
import ssl
import threading

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests_support import USAGE, answer, bytes_of, chat, chunk, hang, reset, sse

from yiapi.channels import Routing
from yiapi.money import Money
from yiapi.providers.contract import Unit

pytestmark = pytest.mark.anyio

PRICE = "0.0035"  # 1,000 tokens in at 2.50 a million, 100 out at 10


@pytest.fixture(params=[False, True], ids=["first", "following"])
def is_warm(request) -> bool:
    """Each is tried with the first call of a station, which waits for much, and with one that finds all there."""
    return request.param


async def assert_free(world, *, upstream=0):
    balance = await world.balance()
    assert balance.posted == balance.available == Money.parse("10")
    assert world.calls_upstream == upstream
    assert await world.open_holds() == []


# A. What callers send


@pytest.mark.parametrize("field", ["n", "max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize(
    "value", [-1, 0, 10**9, 2**31, 2**53 + 1, "5", [], 1.5], ids=["F001", "F002", *["F003"] * 3, *["F005"] * 3]
)
async def test_f001_to_f005_a_count_that_cannot_be_is_named(world, field, value):
    refused = await world.chat(**{field: value})

    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == field
    await assert_free(world)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"model":"gpt-4o"} {}',
        b'{"n":NaN}',
        b'{"n":Infinity}',
        b"[" * 10_000,
        b'{"messages":' + b"[" * 10_000,
    ],
    ids=["F006 empty", "F006 cut", "F006 more", "F004 NaN", "F004 Infinity", "F007 array", "F007 unknown field"],
)
async def test_a_body_that_is_no_json_is_refused(world, body):
    refused = await world.client.post(
        "/v1/chat/completions", content=body, headers={"content-type": "application/json"}
    )

    assert refused.status_code == 400
    assert refused.json()["error"]["message"]
    await assert_free(world)


async def test_f006_a_wrong_content_type_is_refused(world):
    refused = await world.client.post("/v1/chat/completions", content=b"{}", headers={"content-type": "text/plain"})

    assert refused.status_code == 415
    await assert_free(world)


async def test_f008_a_declared_length_above_the_limit_is_refused_before_reading(world):
    host, port = world.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {world.key}\r\n"
    writer.write(f"{head}content-length: {11 * 2**20}\r\n\r\n".encode())

    refused = await reader.read()  # to the end: the connection is closed although nothing was sent

    writer.close()
    assert refused.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in refused.lower()
    await assert_free(world)


async def test_f008_a_body_without_length_is_cut_at_the_limit(world):
    async def endless():
        for _ in range(11):
            yield b" " * 2**20

    try:
        refused = await world.client.post(
            "/v1/chat/completions", content=endless(), headers={"content-type": "application/json"}
        )
    except (httpx.WriteError, httpx.ReadError):  # the connection is closed while we still send
        pass
    else:
        assert refused.status_code == 413
    await assert_free(world)


async def test_f009_a_compressed_body_is_not_taken(world):
    refused = await world.client.post("/v1/chat/completions", content=b"\x1f\x8b", headers={"content-encoding": "gzip"})

    assert refused.status_code == 415
    await assert_free(world)


async def test_f018_an_unknown_model_is_not_found(world):
    refused = await world.chat(model="gpt-99")

    assert refused.status_code == 404
    assert refused.json()["error"]["code"] == "model_not_found"
    await assert_free(world)


@pytest.mark.parametrize("field", ["api_base", "base_url", "api_key", "headers"])
async def test_f019_a_caller_does_not_choose_the_destination(world, field):
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], field: "https://elsewhere.example"}

    refused = await world.client.post("/v1/chat/completions", json=body)

    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == field
    await assert_free(world)


async def test_f019_the_same_words_inside_a_text_are_only_text(world):
    served = await world.chat(messages=[{"role": "user", "content": 'what is "api_key"?'}])

    assert served.status_code == 200
    assert world.calls_upstream == 1


@pytest.mark.parametrize("text", ["a\x00b", "\x01\x02\x7f", "\u202e\u2066"], ids=["NUL", "control", "direction"])
async def test_f020_odd_characters_are_served(world, text):
    served = await world.chat(messages=[{"role": "user", "content": text}])

    assert served.status_code == 200
    assert world.vendor.got[0].json["messages"][0]["content"] == text


async def test_f020_a_lone_surrogate_is_refused_or_served(world):
    body = b'{"model":"gpt-4o","messages":[{"role":"user","content":"\\ud800"}],"user":"\\ud800"}'

    served = await world.client.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})

    assert served.status_code in {200, 400}


@pytest.mark.parametrize(
    "text", ["sk-live-", "sk-live-" + "a" * 38, "sk-test-" + "0" * 37, "'; DROP TABLE", "x" * 8192, "é"], ids=repr
)
async def test_f022_and_f024_a_key_that_is_none_is_401(world, text):
    refused = await world.client.post(
        "/v1/chat/completions", json={}, headers={"authorization": f"Bearer {text}".encode()}
    )

    assert refused.status_code == 401
    assert refused.json()["error"]["code"] == "invalid_api_key"
    await assert_free(world)


async def test_f023_a_revoked_key_is_refused_after_a_refresh(world):
    assert (await world.chat()).status_code == 200
    key = world.app.station.apikeys.authenticate(world.key)
    await world.app.station.apikeys.revoke_key(key.id)
    await world.app.refresh()

    assert (await world.chat()).status_code == 401


async def test_f023_a_suspended_account_is_refused_after_a_refresh(world):
    await world.app.station.apikeys.suspend_account(world.account_id)
    await world.app.refresh()

    assert (await world.chat()).status_code == 403


# C. Money


@pytest.mark.parametrize("balance_usd", ["0.5"])
@pytest.mark.parametrize("count", [200])
async def test_f039_with_a_balance_for_k_exactly_k_are_served(world, count):
    """Each call holds what it may cost at the most; as they are settled for less, the rest is free again."""
    answers = await asyncio.gather(*(world.chat(max_tokens=10_000) for _ in range(count)))

    served = [one for one in answers if one.status_code == 200]
    assert {one.status_code for one in answers} == {200, 402}
    assert world.calls_upstream == len(served)
    balance = await world.balance()
    assert balance.held == Money(0)
    assert balance.posted == Money.parse("0.5") - Money(Money.parse(PRICE).nano * len(served))
    assert balance.available >= Money(0)


async def test_f040_of_a_hundred_with_one_key_one_runs(world):
    answers = await asyncio.gather(*(world.chat({"idempotency-key": "one"}) for _ in range(100)))

    done = [one for one in answers if one.status_code == 200]
    assert done
    assert {one.status_code for one in answers} <= {200, 409}
    assert len({one.text for one in done}) == 1
    assert world.calls_upstream == 1
    assert (await world.balance()).posted == Money.parse("10") - Money.parse(PRICE)


async def test_f041_a_key_with_another_body_is_a_mismatch(world):
    await world.chat({"idempotency-key": "one"})

    refused = await world.chat({"idempotency-key": "one"}, max_tokens=5)

    assert refused.status_code == 422
    assert refused.json()["error"]["code"] == "idempotency_mismatch"
    assert world.calls_upstream == 1


async def test_f043_a_repeated_key_gets_the_stored_answer_with_its_charge(world):
    first = await world.chat({"idempotency-key": "one"})

    second = await world.chat({"idempotency-key": "one"})

    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["x-yiapi-charge"] == first.headers["x-yiapi-charge"] == PRICE
    assert second.json() == first.json()
    assert world.calls_upstream == 1


async def test_f043_a_caller_that_left_finds_its_answer_under_its_key(world):
    gate = asyncio.Event()

    async def late(vendor, reader, writer, got):
        await gate.wait()
        await answer(200, chat())(vendor, reader, writer, got)

    world.vendor.script = [late]
    leaving = asyncio.create_task(world.chat({"idempotency-key": "one"}))
    await world.vendor.arrived.wait()
    leaving.cancel()
    gate.set()
    await world.settled()

    again = await world.chat({"idempotency-key": "one"})

    assert again.status_code == 200
    assert again.headers["idempotency-replayed"] == "true"
    assert world.calls_upstream == 1


async def test_a_key_whose_call_failed_is_free_again(world):
    world.vendor.script = [answer(400, {"error": {"message": "no", "type": "invalid_request_error"}})]

    refused = await world.chat({"idempotency-key": "one"})
    served = await world.chat({"idempotency-key": "one"})

    assert (refused.status_code, served.status_code) == (400, 200)


async def test_a_finished_stream_is_replayed_as_a_plain_answer(world):
    world.vendor.script = [
        sse(chunk(role="assistant"), chunk("Hel"), chunk("lo!"), chunk(finish="stop"), USAGE, "[DONE]")
    ]
    await world.chat({"idempotency-key": "one"}, stream=True)

    again = await world.chat({"idempotency-key": "one"}, stream=True)

    assert again.json()["choices"][0]["message"] == {"role": "assistant", "content": "Hello!"}
    assert again.headers["x-yiapi-charge"] == PRICE
    assert world.calls_upstream == 1


async def test_a_stream_that_was_cut_is_not_replayable(world):
    world.vendor.script = [sse(chunk("Hel"), chunk("lo"), then="close")]
    await world.chat({"idempotency-key": "one"}, stream=True)

    again = await world.chat({"idempotency-key": "one"}, stream=True)

    assert again.status_code == 409
    assert again.json()["error"]["code"] == "idempotency_not_replayable"


async def test_f047_usage_above_the_hold_is_charged_as_far_as_the_balance_goes(world):
    body = chat()
    body["usage"] = {"prompt_tokens": 1000, "completion_tokens": 2_000_000, "total_tokens": 2_001_000}
    world.vendor.otherwise = answer(200, body)

    served = await world.chat(max_tokens=10)

    assert served.status_code == 200
    assert served.headers["x-yiapi-charge"] == "10"
    balance = await world.balance()
    assert balance.posted == balance.available == Money(0)
    assert (await world.requests())[0]["loss"] == Money.parse("10.0025").nano


async def test_f048_usage_below_the_hold_frees_the_rest(world):
    served = await world.chat()

    assert served.headers["x-yiapi-charge"] == PRICE
    balance = await world.balance()
    assert balance.posted == balance.available == Money.parse("10") - Money.parse(PRICE)


async def test_an_empty_wallet_is_402_and_nobody_is_asked(world):
    await world.app.station.pricing.edit("openai", "gpt-4o", Unit.TOKEN_IN, sell=10**15, cost=0, author="test")

    refused = await world.chat()

    assert refused.status_code == 402
    assert refused.json()["error"]["code"] == "insufficient_quota"
    await assert_free(world)


# D. Vendors, not streamed


class TestTwoChannels:
    @pytest.fixture
    def channels(self):
        return 2

    @pytest.mark.parametrize(
        "fault",
        [
            pytest.param(reset(), id="F064 reset"),
            pytest.param(answer(500, {"error": {"message": "x"}}), id="F057 500"),
            pytest.param(answer(502, raw=b"<html>"), id="F057 502"),
            pytest.param(answer(503, {"error": {"message": "x"}}), id="F057 503"),
            pytest.param(answer(529, {"error": {"message": "x"}}), id="F057 529"),
            pytest.param(answer(429, {"error": {"message": "x"}}, headers={"retry-after": "7"}), id="F058"),
            pytest.param(answer(401, {"error": {"message": "x"}}), id="F059 401"),
            pytest.param(answer(403, {"error": {"message": "x"}}), id="F059 403"),
            pytest.param(answer(200, {"error": {"message": "x", "type": "server_error"}}), id="F061"),
            pytest.param(answer(200, raw=b""), id="F062 empty"),
            pytest.param(answer(200, {"choices": []}), id="F062 no choices"),
            pytest.param(answer(200, raw=b"<html>", headers={"content-type": "text/html"}), id="F063"),
            pytest.param(bytes_of(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"), id="F064 shorter than declared"),
            pytest.param(answer(302, {}, headers={"location": "http://127.0.0.1:1/steal"}), id="F067"),
            pytest.param(bytes_of(b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 1\r\n\r\nx"), id="F066"),
        ],
    )
    async def test_another_channel_serves_what_one_could_not(self, world, fault):
        for vendor in world.vendors:
            vendor.script = [fault]
        world.vendors[1].script = []
        world.vendors[0].otherwise = fault
        world.app.station.dispatcher.health.order = _first_channel_first(world)

        served = await world.chat()

        assert served.status_code == 200, served.text
        assert served.headers["x-yiapi-charge"] == PRICE
        assert [len(vendor.got) for vendor in world.vendors] == [1, 1]
        assert len(await world.attempts()) == 2
        assert (await world.balance()).posted == Money.parse("10") - Money.parse(PRICE)

    async def test_f059_a_refused_credential_goes_out_of_use(self, world):
        for vendor in world.vendors:
            vendor.otherwise = answer(401, {"error": {"message": "bad key"}})

        refused = await world.chat()
        await world.app.refresh()
        again = await world.chat()

        assert (refused.status_code, again.status_code) == (503, 503)
        assert world.calls_upstream == 2
        assert again.json()["error"]["code"] == "no_channel_available"

    async def test_f071_a_reset_before_the_first_content_is_not_seen(self, world):
        world.app.station.dispatcher.health.order = _first_channel_first(world)
        world.vendors[0].script = [sse(chunk(role="assistant"), then="reset")]
        world.vendors[1].script = [sse(chunk(role="assistant"), chunk("Hi"), chunk(finish="stop"), USAGE, "[DONE]")]

        served = await world.chat(stream=True)

        assert served.status_code == 200
        assert served.text.count("Hi") == 1
        assert "error" not in served.text
        assert len(await world.attempts()) == 2


def _first_channel_first(world):
    health = world.app.station.dispatcher.health
    order = type(health).order

    def fixed(candidates, *, tried, load=None):
        return sorted(order(health, candidates, tried=tried, load=load), key=lambda channel: channel.name)

    return fixed


async def test_f054_nobody_listens(world):
    await world.vendor.stop()

    refused = await world.chat()

    assert refused.status_code == 502
    assert refused.json()["error"]["code"] == "upstream_error"
    await assert_free(world)
    await world.vendor.start()


async def test_f055_a_vendor_that_cannot_prove_its_name_is_sent_nothing(world, impostor):
    [channel] = [one for one in await world.app.channels.list_channels() if one.provider == "openai"]
    await world.app.channels.update_channel(channel.id, base_url=impostor.url, credentials=["vendor-key"])
    await world.app.refresh()

    refused = await world.chat()

    assert refused.status_code == 502
    assert refused.json()["error"]["code"] == "upstream_error"
    assert impostor.heard == b""
    await assert_free(world)


@pytest.mark.parametrize("channels", [2])
async def test_f055_its_calls_go_to_another_channel(world, impostor):
    first, *_ = [one for one in await world.app.channels.list_channels() if one.provider == "openai"]
    await world.app.channels.update_channel(
        first.id, base_url=impostor.url, credentials=["vendor-key"], routing=Routing(priority=1)
    )
    await world.app.refresh()

    served = await world.chat()

    assert served.status_code == 200
    assert [attempt["fault"] for attempt in await world.attempts()] == ["unavailable", None]
    assert impostor.heard == b""


class Impostor:
    """Speaks TLS with a certificate that nobody has signed but itself."""

    def __init__(self, folder):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
        now = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        file = folder / "impostor.pem"
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(file)
        self.heard = b""

    async def start(self):
        async def serve(reader, writer):
            self.heard += await reader.read(1000)
            writer.close()

        self.server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=self.context)
        self.url = f"https://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"


@pytest.fixture
async def impostor(tmp_path):
    impostor = Impostor(tmp_path)
    await impostor.start()
    yield impostor
    impostor.server.close()
    await impostor.server.wait_closed()


async def test_f056_a_silent_vendor_is_a_time_out(world):
    world.vendor.otherwise = hang()

    refused = await world.chat({"x-yiapi-timeout": "0.2"})

    assert refused.status_code == 504
    assert refused.json()["error"]["code"] == "upstream_timeout"
    await assert_free(world, upstream=1)


async def test_f058_when_all_are_cooled_the_wait_is_told(world):
    world.vendor.otherwise = answer(429, {"error": {"message": "slow"}}, headers={"retry-after": "9"})

    refused = await world.chat()
    again = await world.chat()

    assert (refused.status_code, again.status_code) == (429, 429)
    assert 1 <= int(again.headers["retry-after"]) <= 9
    await assert_free(world, upstream=1)


async def test_f060_the_callers_fault_goes_back_redacted(world):
    text = f"key vendor-key-that-nobody-may-see-4711 at {world.vendor.url} is wrong here"
    world.vendor.otherwise = answer(
        400, {"error": {"message": text, "type": "invalid_request_error", "param": "top_p", "code": "invalid_value"}}
    )

    refused = await world.chat(top_p=2)

    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "top_p"
    assert refused.json()["error"]["code"] == "invalid_value"
    assert "vendor-key" not in refused.text
    assert "127.0.0.1" not in refused.text
    await assert_free(world, upstream=1)


async def test_f065_an_answer_without_end_is_cut_and_not_asked_for_again(world):
    world.vendor.otherwise = bytes_of(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n" + b" " * (33 * 2**20), then="hang"
    )

    refused = await world.chat()

    assert refused.status_code == 502
    await assert_free(world, upstream=1)


async def test_f067_a_redirect_is_not_followed(world):
    world.vendor.otherwise = answer(302, {}, headers={"location": f"{world.vendor.url}/elsewhere"})

    refused = await world.chat()

    assert refused.status_code == 502
    assert {got.path for got in world.vendor.got} == {"/v1/chat/completions"}


# E. Streams


def events_of(response):
    return [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: ")]


async def test_a_stream_passes_byte_for_byte(world):
    events = [chunk(role="assistant"), chunk("Hé 🦊"), chunk(finish="stop"), USAGE, "[DONE]"]
    world.vendor.script = [sse(*events)]

    served = await world.chat(stream=True, stream_options={"include_usage": True})

    said = "".join(f"data: {event}\n\n" for event in events)
    assert served.text == said + f": x-yiapi-charge: {PRICE}\n\n"


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        pytest.param({"then": "reset"}, "stream_incomplete", id="F072"),
        pytest.param({"then": "close"}, "stream_incomplete", id="F072 close"),
        pytest.param({"then": "end"}, "stream_incomplete", id="F075"),
    ],
)
async def test_a_stream_that_breaks_ends_with_one_error_inside(world, ending, code):
    world.vendor.script = [sse(chunk(role="assistant"), chunk("Hello there"), **ending)]

    served = await world.chat(stream=True)

    *_, last = events_of(served)
    assert json.loads(last)["error"]["code"] == code
    assert "[DONE]" not in served.text
    assert served.text.count("Hello there") == 1
    record = (await world.requests())[0]
    assert (record["is_partial"], record["is_estimated"]) == (1, 1)
    assert 0 < record["charge"] < Money.parse(PRICE).nano


async def test_f074_a_frame_that_is_no_json_ends_the_stream(world):
    world.vendor.script = [sse(chunk("Hello"), chunk(" you"), "{broken", chunk("more"), "[DONE]")]

    served = await world.chat(stream=True)

    assert json.loads(events_of(served)[-1])["error"]["code"] == "upstream_error"
    assert "more" not in served.text


async def test_f074_an_unknown_event_passes(world):
    world.vendor.script = [sse(chunk("Hi"), '{"object":"new.thing","x":1}', chunk(finish="stop"), USAGE, "[DONE]")]

    served = await world.chat(stream=True)

    assert '{"object":"new.thing","x":1}' in served.text
    assert events_of(served)[-1] == "[DONE]"


async def test_f076_an_error_before_content_has_a_real_status(world):
    world.vendor.otherwise = sse(chunk(role="assistant"), '{"error":{"message":"overloaded","type":"server_error"}}')

    refused = await world.chat(stream=True)

    assert refused.status_code == 502
    await assert_free(world, upstream=2)  # the budget allows one retry a second


async def test_f077_a_stream_without_usage_is_counted(world):
    world.vendor.script = [sse(chunk("Hello there, how are you?"), chunk(finish="stop"), "[DONE]")]

    served = await world.chat(stream=True)

    assert events_of(served)[-1] == "[DONE]"
    record = (await world.requests())[0]
    assert (record["is_partial"], record["is_estimated"]) == (0, 1)
    assert record["charge"] > 0


async def test_f078_a_caller_that_leaves_before_the_first_byte_pays_nothing(world):
    world.vendor.otherwise = hang()
    leaving = asyncio.create_task(world.chat(stream=True))
    await world.vendor.arrived.wait()

    leaving.cancel()
    await world.settled()

    await world.vendor.got[0].left.wait()
    record = (await world.requests())[0]
    assert (record["http_status"], record["charge"]) == (499, 0)
    await assert_free(world, upstream=1)


async def test_f078_a_caller_that_leaves_in_the_middle_pays_for_what_was_said(world):
    world.vendor.script = [sse(chunk(role="assistant"), chunk("Hello there, my friend"), then="hang")]
    body = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "Say hello"}]}
    async with world.client.stream("POST", "/v1/chat/completions", json=body) as stream:
        async for line in stream.aiter_lines():
            if "friend" in line:
                break
    await world.settled()

    await world.vendor.got[0].left.wait()
    record = (await world.requests())[0]
    assert (record["http_status"], record["is_partial"]) == (499, 1)
    assert 0 < record["charge"] < Money.parse(PRICE).nano
    assert await world.open_holds() == []


# F. Storage


async def test_f098_when_every_connection_is_busy_readers_are_told_and_running_calls_settle(world):
    gate = asyncio.Event()
    world.vendor.script = [held_until(gate, answer(200, chat()))]
    running = asyncio.ensure_future(world.chat({"idempotency-key": "one"}))  # an exact hold, settled by a transaction
    await world.vendor.arrived.wait()
    busy = threading.Event()
    reading = [asyncio.ensure_future(world.app.database.read(lambda tx: busy.wait())) for _ in range(2)]
    await asyncio.sleep(0)

    refused = await world.client.get("/v1/requests")
    gate.set()
    served = await running
    busy.set()
    await asyncio.gather(*reading)

    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "storage_unavailable"
    assert served.status_code == 200
    assert (await world.balance()).posted == Money.parse("10") - Money.parse(PRICE)
    assert await world.open_holds() == []


def held_until(gate, act):
    """Answer when a gate is open."""

    async def wait(vendor, reader, writer, got):
        await gate.wait()
        await act(vendor, reader, writer, got)

    return wait

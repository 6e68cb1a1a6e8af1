"""The way in: where a key may be, and the headers that every charging call understands."""

import pytest

from yiapi.errors import InvalidRequest
from yiapi.relay.intake import claim_of, key_text, read_options

from .conftest import REGISTRY

KEY = "sk-live-the-key"


# Places of the key


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (f"Bearer {KEY}", KEY),
        (f"bearer {KEY}", KEY),
        (f"BEARER   {KEY}  ", KEY),
        (f"Basic {KEY}", None),
        (KEY, None),
        (f"Bearer{KEY}", None),
        ("Bearer", ""),
        ("", None),
    ],
)
async def test_a_key_is_taken_as_a_bearer(call, header, text):
    assert key_text(call(authorization=header)) == text


async def test_without_a_key_there_is_none(call):
    assert key_text(call()) is None


PLACES = [
    (served.name, name)
    for served in REGISTRY.served.values()
    if not served.provider.relays_keys  # such a dialect takes a bearer first, and the key without its prefix
    for name in served.provider.key_headers
]


@pytest.mark.parametrize(("operation", "name"), PLACES)
async def test_each_dialect_has_its_own_place_which_goes_first(call, operation, name):
    assert key_text(call(operation, **{name.replace("-", "_"): KEY})) == KEY
    both = call(operation, **{name.replace("-", "_"): KEY, "authorization": "Bearer another"})
    assert key_text(both) == KEY
    assert key_text(call(operation, authorization=f"Bearer {KEY}")) == KEY


async def test_a_place_of_another_dialect_is_none(call):
    assert key_text(call("openai.chat", api_key=KEY)) is None


async def test_no_key_is_taken_from_a_url(inbound):
    from yiapi.relay.call import Call

    request = inbound(path=f"/v1/chat/completions?key={KEY}&api_key={KEY}&authorization=Bearer%20{KEY}".encode())

    call = Call(REGISTRY.served["openai.chat"], {}, request, "req_1", began=0.0, created_at_ms=0)
    assert key_text(call) is None


async def test_f024_odd_bytes_in_a_key_are_only_a_wrong_key(call):
    assert key_text(call(authorization="Bearer \xff\xfe\x80")) == "\xff\xfe\x80"


# Options


def options(station, one):
    read_options(station, one)
    return one


async def test_a_call_has_its_usual_time(station, call):
    assert options(station, call("kling.image")).deadline_at == 600
    assert options(station, call("openai.chat")).deadline_at == 1800


@pytest.mark.parametrize(("asked", "given"), [("5", 5), ("0.5", 0.5), ("1e2", 100), ("99999", 600)])
async def test_a_caller_may_ask_for_less_time_and_not_for_more(station, call, asked, given):
    assert options(station, call("kling.image", x_yiapi_timeout=asked)).deadline_at == given


@pytest.mark.parametrize("asked", ["0", "-1", "x", "", "nan", "inf", "-inf", "1e999", "5s"])
async def test_a_time_that_cannot_be_is_refused_by_name(station, call, asked):
    for name in ("x-yiapi-timeout", "prefer"):
        one = call(**{name.replace("-", "_"): asked if name != "prefer" else f"wait={asked}"})
        with pytest.raises(InvalidRequest) as error:
            options(station, one)
        assert error.value.param in {"x-yiapi-timeout", "Prefer: wait"}


@pytest.mark.parametrize(
    ("prefer", "wait_s"),
    [("wait=10", 10), ("respond-async, wait=5", 5), ("WAIT=7", 7), ("wait=600", 60), ("respond-async", 0), ("", 0)],
)
async def test_a_caller_may_wait_for_a_minute_at_the_most(station, call, prefer, wait_s):
    assert options(station, call("kling.image", prefer=prefer)).wait_s == wait_s


@pytest.mark.parametrize(
    ("given", "kept"), [("my-id-1", "my-id-1"), ("x" * 201, None), ("a\tb", None), ("", ""), ("\xe9", "\xe9")]
)
async def test_a_callers_own_id_is_kept_where_it_can_be(station, call, given, kept):
    assert options(station, call(x_client_request_id=given)).client_request_id == kept


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "a\tb", "\x7f", "é", "\xff"])
async def test_an_idempotency_key_is_1_to_255_printable_characters(station, call, key):
    with pytest.raises(InvalidRequest) as error:
        options(station, call(idempotency_key=key))

    assert error.value.param == "Idempotency-Key"


@pytest.mark.parametrize("key", ["x", "x" * 255, "!~'\"{}"])
async def test_a_good_idempotency_key_is_taken(station, call, key):
    options(station, call(idempotency_key=key))


async def test_without_a_key_there_is_no_claim(call):
    assert claim_of(call()) is None


async def test_a_claim_is_of_tenant_route_and_key(call, new_key):
    one = call("kling.image", idempotency_key="k-1")
    one.account, one.key, one.body = new_key.account, new_key, b'{"prompt": "x"}'
    one.inbound.path = b"/kling/v1/images/generations"

    claim = claim_of(one)

    assert (claim.account_id, claim.mode, claim.key) == ("acct_1", "live", "k-1")
    assert claim.route == "POST /kling/v1/images/generations"
    assert claim.request_id == "req_1"
    assert one.claim is claim

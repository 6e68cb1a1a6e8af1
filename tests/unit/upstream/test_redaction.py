"""What a vendor wrote is returned without anything that is secret."""

import base64
import json
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yiapi.upstream import Redactor

KEY = "sk-proj-Abc/Def+123456=="
SECRETS = [
    KEY,
    "https://api.vendor.example/v1",
    "acme-account",
    "AKX123456|Secret99/part",
    '{"user": "svc@acme", "pem": "-----BEGIN\\nMIIabc123\\n-----"}',
]


@pytest.mark.parametrize(
    "text",
    [
        f"bad key {KEY}!",
        f"bad key {KEY.upper()}",
        f"bad key {quote(KEY, safe='')}",
        f"bad key {base64.b64encode(KEY.encode()).decode()}",
        f"bad {json.dumps({'key': KEY})}",
        "see https://api.vendor.example/v1/chat?key=1",
        "see https://API.vendor.example:8443/other?token=x",
        r"see https:\/\/api.vendor.example\/v1\/chat",
        "host api.vendor.example is down",
        "account acme-account is empty",
        "AKX123456 or Secret99/part",
        "svc@acme or MIIabc123",
    ],
)
def test_known_secrets_are_removed_in_every_form(text):
    cleaned = Redactor(SECRETS).clean(text).lower()

    for secret in (
        "sk-proj",
        "sk%2dproj",
        "c2stchjvai",
        "vendor.example",
        "acme",
        "akx123456",
        "secret99",
        "miiabc123",
        "token=x",
        "chat",
    ):
        assert secret not in cleaned
    assert "[redacted]" in cleaned


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Incorrect API key provided: sk-abcd1234efgh.", "abcd1234"),
        ("Incorrect API key provided: sk-ab***********gh.", "nothing"),
        ("sk-ant-api03-xyz_ABC-123", "api03"),
        ("Authorization: Bearer abcdefghijk", "abcdefghijk"),
        ("authorization: bearer\tabc.def.ghi", "abc.def"),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "eyJ"),
        ("?api_key=0123456789abcdef&x=1", "0123456789abcdef"),
        ('{"secret": "abc123def456"}', "abc123def456"),
        ("key=QUJDREVGR0g5MTIzNA==", "QUJDREVG"),
        ("AIzaSyA1234567890abcdefg", "AIzaSy"),
        ("https://user:hunter2@host/x", "hunter2"),
        ("token " + "a1" * 25, "a1a1a1"),
    ],
)
def test_what_looks_like_a_key_is_removed(text, secret):
    assert secret not in Redactor([]).clean(text)


@pytest.mark.parametrize(
    "text",
    [
        "The model gpt-4o-mini-2024-07-18 does not exist",
        "Rate limit reached for requests per min. Limit: 3, try again in 20s.",
        "max_tokens must be at most 4096; key 'messages' is required",
        "unexpected token: identifier",
        "request req_011CSHoEeqs5C35K2UUqR7Fy failed",
    ],
)
def test_ordinary_text_is_left_alone(text):
    assert Redactor(SECRETS).clean(text) == text


def test_control_characters_are_escaped():
    assert Redactor([]).clean("a\x1b[31m\r\nb\u202ec\x00\u2028") == r"a\x1b[31m\r\nb\u202ec\x00\u2028"


def test_the_length_is_bounded_and_no_secret_is_cut_open():
    secret = "Zq9-secret-value-77"

    for before in range(478, 502):
        cleaned = Redactor([secret]).clean("x" * 10 + " " * before + secret, limit=500)
        assert len(cleaned) <= 500
        assert "Zq9" not in cleaned
    for before in range(32 * 1024 - 20, 32 * 1024 + 2):
        assert "Zq9" not in Redactor([secret, " " * 50]).clean(" " * before + secret + "x" * 99)


def test_bytes_that_are_no_text_are_read_as_far_as_they_can_be():
    assert Redactor([]).clean(b"a\xffb") == "a\ufffdb"


@given(st.text(max_size=200), st.text(min_size=4, max_size=20).filter(lambda secret: len(secret.strip()) >= 4))
def test_a_secret_never_survives(text, secret):
    cleaned = Redactor([secret]).clean(text + secret + text, limit=10_000)

    assert secret.strip() not in cleaned or secret.strip() in "[redacted]"


def test_a_short_or_empty_secret_removes_nothing():
    assert Redactor(["", "ab", " "]).clean("about tables") == "about tables"


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "sk-",
        "key: ",
        "key=",
        "eyJ",
        "://",
        "bearer   ",
        "a1-",
        "https://",
        "https:\\/\\/",
        "eyJaaaaaaaa.",
        "Aa1/",
        "acme-accoun",
    ],
)
def test_hostile_text_takes_no_longer_than_any_other(unit):
    redactor = Redactor(SECRETS)
    started = time.process_time()

    redactor.clean(unit * (1_000_000 // len(unit)))

    assert time.process_time() - started < 1.0  # a quadratic pattern takes minutes

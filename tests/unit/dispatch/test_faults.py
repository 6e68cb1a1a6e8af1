"""What a failed attempt means: every failure of a connection and every answer of a vendor has its fault."""

import json

import pytest

from yiapi import upstream
from yiapi.dispatch import AttemptFailed, decoded, error_for, malformed, refused, refused_inside
from yiapi.dispatch.exchange import Credentials, clean, failed_by
from yiapi.errors import UpstreamFailed, VendorRefusal, VendorWords
from yiapi.providers.contract import Fault
from yiapi.upstream import Redactor, UpstreamError

from .conftest import channel_of

SECRET = "secret-of-the-channel-0123456789"
CHANNEL = channel_of("a", redactor=Redactor([SECRET, "https://vendor.example"]))
KINDS = ("chat", "making", "submission")


def everything_below(cls):
    return {cls}.union(*(everything_below(below) for below in cls.__subclasses__()))


BY_CONNECTION = {
    upstream.ConnectFailed: Fault.UNAVAILABLE,
    upstream.TlsFailed: Fault.UNAVAILABLE,
    upstream.ConnectTimeout: Fault.UNAVAILABLE,
    upstream.ConnectionLost: Fault.UNAVAILABLE,
    upstream.AnswerCut: Fault.UNAVAILABLE,
    upstream.EventTooLarge: Fault.UNAVAILABLE,
    upstream.FirstByteTimeout: Fault.TIMEOUT,
    upstream.IdleTimeout: Fault.TIMEOUT,
    upstream.TotalTimeout: Fault.TIMEOUT,
    upstream.BadAnswer: Fault.MALFORMED,
    upstream.AnswerTooLarge: Fault.MALFORMED,
}
NOT_SENT = {upstream.ConnectFailed, upstream.TlsFailed, upstream.ConnectTimeout}


# Connections


def test_every_exception_of_the_client_maps_to_a_fault():
    assert everything_below(UpstreamError) - {UpstreamError} == set(BY_CONNECTION)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("error", "fault"), BY_CONNECTION.items(), ids=lambda thing: getattr(thing, "__name__", ""))
def test_a_connection_that_fails_has_its_fault(errand, kind, error, fault):
    failed = failed_by(error("x"), errand(kind))

    assert failed.fault is fault
    assert failed.sent is (error not in NOT_SENT)
    assert failed.is_unclear is (kind == "submission" and error not in NOT_SENT)
    assert failed.may_repeat is (error is not upstream.AnswerTooLarge)


def test_a_connection_that_broke_before_a_byte_was_sent_makes_no_submission_unclear(errand):
    assert not failed_by(upstream.ConnectionLost("x", sent=False), errand("submission")).is_unclear


# Answers


class Answer:
    def __init__(self, status, headers=()):
        self.status = status
        self.headers = list(headers)


def answered(errand, status, body, kind="chat", headers=()):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return refused(errand(kind), CHANNEL, Answer(status, headers), raw)


ENVELOPE = {"code": 5000, "message": "internal"}
PLAIN = b"<html>bad gateway</html>"


@pytest.mark.parametrize(
    ("status", "body", "is_unclear"),
    [
        (301, PLAIN, False),
        (302, {"code": 0, "message": "moved"}, False),
        (400, PLAIN, False),
        (400, {"code": 1201, "message": "bad"}, False),
        (401, PLAIN, False),
        (403, PLAIN, False),
        (404, PLAIN, False),
        (408, PLAIN, True),
        (408, ENVELOPE, True),
        (409, PLAIN, False),
        (413, PLAIN, False),
        (422, PLAIN, False),
        (429, PLAIN, False),
        (500, PLAIN, True),
        (500, b"", True),
        (500, ENVELOPE, False),
        (502, PLAIN, True),
        (502, ENVELOPE, False),
        (503, PLAIN, False),
        (503, ENVELOPE, False),
        (504, PLAIN, True),
        (504, {"code": 5001, "message": "gateway"}, True),
        (520, PLAIN, True),
        (529, PLAIN, False),
        (599, {"message": ["not", "text"]}, True),
    ],
)
def test_a_submission_was_refused_or_its_fate_is_unclear(errand, status, body, is_unclear):
    assert answered(errand, status, body, "submission").is_unclear is is_unclear
    assert not answered(errand, status, body, "chat").is_unclear
    assert not answered(errand, status, body, "making").is_unclear


def test_an_answer_that_cannot_be_read_leaves_a_submission_unclear(errand):
    assert malformed(errand("submission")).is_unclear
    assert not malformed(errand("chat")).is_unclear
    assert malformed(errand("chat")).fault is Fault.MALFORMED


def test_f067_a_redirect_is_the_channels_trouble_whatever_it_says(errand):
    failed = answered(errand, 302, {"error": {"message": "x", "code": "content_policy_violation"}})

    assert failed.fault is Fault.UNAVAILABLE


def test_the_vendors_wait_is_read(errand):
    assert answered(errand, 429, PLAIN, headers=[(b"retry-after", b"7")]).retry_after_s == 7
    assert answered(errand, 429, PLAIN).retry_after_s is None


def test_f061_an_answer_of_200_that_is_an_error_has_its_fault(errand):
    failed = refused_inside(errand("submission"), CHANNEL, {"code": 1303, "message": "too many"})

    assert (failed.fault, failed.status, failed.is_unclear) == (Fault.RATE_LIMITED, 200, False)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 5000, b'{"a":1}x'])
def test_what_is_no_json_is_nothing(body):
    assert decoded(body) is None


# Words


def test_f068_what_no_caller_may_see_is_taken_out_of_the_vendors_words(errand):
    said = {
        "error": {
            "message": f"key {SECRET} at https://vendor.example is bad",
            "code": SECRET,
            "param": SECRET,
            "type": SECRET,
        }
    }

    failed = answered(errand, 401, said)

    assert SECRET not in str(failed.words)
    assert "vendor.example" not in str(failed.words)


def test_the_vendors_words_have_an_end():
    words = clean(VendorWords("x" * 10_000, code="c" * 1000, param="p" * 1000, type="t" * 1000), CHANNEL)

    assert len(words.message) <= 500
    assert max(len(words.code), len(words.param), len(words.type)) <= 100


def test_a_number_stays_a_number_and_nothing_stays_nothing():
    assert clean(VendorWords("no", code=1301), CHANNEL).code == 1301
    assert clean(None, CHANNEL) is None
    assert clean(VendorWords("", param=None), CHANNEL).message


# What the caller sees


@pytest.mark.parametrize(
    ("fault", "status", "seen", "code"),
    [
        (Fault.INVALID_REQUEST, 400, 400, "invalid_request"),
        (Fault.INVALID_REQUEST, 413, 413, "invalid_request"),
        (Fault.INVALID_REQUEST, 422, 422, "invalid_request"),
        (Fault.NOT_FOUND, 404, 404, "invalid_request"),
        (Fault.CONTENT_BLOCKED, 403, 403, "invalid_request"),
        (Fault.CONTENT_BLOCKED, 200, 400, "invalid_request"),
        (Fault.INVALID_REQUEST, 500, 400, "invalid_request"),
        (Fault.INVALID_REQUEST, None, 400, "invalid_request"),
        (Fault.INVALID_REQUEST, 401, 400, "invalid_request"),
        (Fault.CONTENT_BLOCKED, 402, 400, "invalid_request"),
        (Fault.CONTENT_BLOCKED, 429, 400, "invalid_request"),
        (Fault.UNAVAILABLE, 500, 502, "upstream_error"),
        (Fault.UNKNOWN, 418, 502, "upstream_error"),
        (Fault.MALFORMED, 200, 502, "upstream_invalid_response"),
        (Fault.TIMEOUT, None, 504, "upstream_timeout"),
        (Fault.RATE_LIMITED, 429, 429, "rate_limited"),
        (Fault.CREDENTIAL, 401, 503, "no_channel_available"),
        (Fault.UPSTREAM_CREDIT, 402, 503, "no_channel_available"),
    ],
)
def test_what_the_caller_sees_of_a_fault(fault, status, seen, code):
    error = error_for(AttemptFailed(fault, status=status, words=VendorWords("vendor's words")))

    assert (error.status, error.code) == (seen, code)
    assert ("vendor's words" in error.message) == isinstance(error, VendorRefusal)


def test_a_refusal_without_words_has_some(errand):
    assert error_for(AttemptFailed(Fault.INVALID_REQUEST, status=400)).message


@pytest.mark.parametrize(("stated", "shortest", "told"), [(None, None, 1), (0.2, None, 1), (30, None, 30), (30, 4, 4)])
def test_a_caller_is_told_to_wait_at_least_a_second(stated, shortest, told):
    failed = AttemptFailed(Fault.RATE_LIMITED, retry_after_s=stated)

    assert error_for(failed, shortest_wait_s=shortest).retry_after_s == told


def test_only_a_limit_has_a_wait():
    error = error_for(AttemptFailed(Fault.UNAVAILABLE, retry_after_s=30))

    assert isinstance(error, UpstreamFailed)
    assert error.retry_after_s is None


# Credentials


def test_headers_of_a_credential_are_kept_for_as_long_as_they_live(errand):
    credentials = Credentials()
    bearer, token = errand("chat"), errand("submission")
    credential = CHANNEL.credentials[0]

    assert credentials.headers(bearer, credential) is credentials.headers(bearer, credential)
    first = credentials.headers(bearer, credential)
    credentials.forget()
    assert credentials.headers(bearer, credential) == first
    credentials._headers[credential.id] = (0.0, first)
    assert credentials.headers(token, credential) is not first

"""The vocabulary of errors: every code with its status, one sentence in each class, and the tree as it is drawn."""

import re

import pytest

from yiapi import errors
from yiapi.errors import StationError, VendorRefusal, VendorWords

VOCABULARY = {
    400: {"invalid_request", "image_too_large"},
    401: {"invalid_api_key"},
    402: {"insufficient_quota"},
    403: {"permission_denied", "model_not_allowed", "operation_disabled", "url_expired"},
    404: {"not_found", "model_not_found"},
    405: {"invalid_request"},
    408: {"request_timeout"},
    409: {"conflict", "idempotency_in_progress", "idempotency_not_replayable", "not_cancellable"},
    410: {"not_found"},
    413: {"payload_too_large"},
    415: {"unsupported_media_type"},
    422: {"idempotency_mismatch"},
    429: {"rate_limited"},
    431: {"headers_too_large"},
    499: {"client_closed"},
    500: {"internal_error"},
    502: {"upstream_error", "upstream_invalid_response", "stream_incomplete"},
    503: {"overloaded", "draining", "no_channel_available", "storage_unavailable"},
    504: {"upstream_timeout"},
}
"""What clients may rely on; the console's own codes are its own."""

CLASSES = [
    thing for thing in vars(errors).values() if isinstance(thing, type) and issubclass(thing, StationError)
]  # fmt: skip


def test_every_code_of_the_vocabulary_has_its_status():
    served: dict[int, set[str]] = {}
    for thing in CLASSES:
        if thing is not VendorRefusal:
            served.setdefault(thing.status, set()).add(thing.code)

    for status, codes in VOCABULARY.items():
        assert codes <= served[status]
    assert set(served) == set(VOCABULARY)


def test_the_tree_is_drawn_as_it_is():
    drawn = re.findall(r"^    .*?(\w+) +(\d{3}) (\w+)", errors.__doc__, re.MULTILINE)

    assert {(thing.__name__, thing.status, thing.code) for thing in CLASSES} - {
        (name, int(status), code) for name, status, code in drawn
    } <= {
        ("StationError", 500, "internal_error"),
        ("StreamIncomplete", 502, "stream_incomplete"),
        ("VendorRefusal", 500, "invalid_request"),
    }
    assert {name for name, _, _ in drawn} <= {thing.__name__ for thing in CLASSES}


@pytest.mark.parametrize("thing", CLASSES, ids=lambda thing: thing.__name__)
def test_every_class_says_when_it_is_raised(thing):
    assert thing.__doc__
    assert thing.__doc__ != StationError.__doc__ or thing is StationError


def test_an_error_carries_what_the_caller_may_know():
    error = errors.RateLimited("slow down", param="model", retry_after_s=7)

    assert (error.message, error.param, error.retry_after_s, str(error)) == ("slow down", "model", 7, "slow down")


def test_a_refusal_of_the_vendor_keeps_its_status_and_words():
    words = VendorWords("no", code=1301, param="prompt", type="moderation")

    refusal = VendorRefusal(422, words)

    assert (refusal.status, refusal.message, refusal.param, refusal.vendor) == (422, "no", "prompt", words)
    assert refusal.code == "invalid_request"
    assert VendorRefusal(404, words, code="not_found").code == "not_found"

"""How vendors fail: our name for it, from code, type, status, in this order."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yiapi import errors
from yiapi.errors import FieldMissing, StationError, VendorRefusal, VendorWords
from yiapi.providers.contract import Fault, FaultShape, fault_of_status
from yiapi.providers.registry import Registry

REGISTRY = Registry.discover()
SHAPE = FaultShape(
    message="error.message",
    code="error.code",
    type="error.type",
    param="error.param",
    codes={1102: Fault.UPSTREAM_CREDIT, "slow": Fault.RATE_LIMITED},
    types={"quota": Fault.UPSTREAM_CREDIT},
    statuses={422: Fault.CONTENT_BLOCKED},
)
bodies = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "code", "message", "type", "param", "data", "reject_reason"]), inner, max_size=4
        )
    ),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (429, {"error": {"code": 1102}}, Fault.UPSTREAM_CREDIT),
        (500, {"error": {"code": "slow", "type": "quota"}}, Fault.RATE_LIMITED),
        (429, {"error": {"code": 7, "type": "quota"}}, Fault.UPSTREAM_CREDIT),
        (422, {"error": {"code": 7}}, Fault.CONTENT_BLOCKED),
        (400, {"error": {"code": 7}}, Fault.INVALID_REQUEST),
        (200, {"error": {"code": 7}}, Fault.UNAVAILABLE),
        (200, {"error": {"code": 1102}}, Fault.UPSTREAM_CREDIT),
        (400, {"error": {"code": [1102], "type": {"quota": 1}}}, Fault.INVALID_REQUEST),
        (400, {"error": "quota"}, Fault.INVALID_REQUEST),
        (400, [], Fault.INVALID_REQUEST),
        (400, None, Fault.INVALID_REQUEST),
    ],
)
def test_the_vendors_code_goes_before_its_type_and_both_before_the_status(status, body, fault):
    assert SHAPE.fault(status, body) is fault


@pytest.mark.parametrize(
    ("statuses", "fault"),
    [
        ((400, 413, 415, 422), Fault.INVALID_REQUEST),
        ((401, 403), Fault.CREDENTIAL),
        ((402,), Fault.UPSTREAM_CREDIT),
        ((404,), Fault.NOT_FOUND),
        ((408, 504), Fault.TIMEOUT),
        ((429,), Fault.RATE_LIMITED),
        ((405, 500, 502, 503, 529, 599, 301, 302, 307, 101), Fault.UNAVAILABLE),
        ((409, 410, 418, 451, 499), Fault.UNKNOWN),
    ],
)
def test_a_bare_status_follows_the_general_table(statuses, fault):
    assert {fault_of_status(status) for status in statuses} == {fault}


def test_the_vendors_words_are_read_where_its_envelope_is():
    body = {"error": {"message": "no", "code": 1102, "type": "quota", "param": "model"}}

    assert SHAPE.words(body) == VendorWords("no", code=1102, param="model", type="quota")
    assert SHAPE.words({"error": {"message": "no", "code": [], "type": 5, "param": {}}}) == VendorWords("no")


@pytest.mark.parametrize(
    "body", [None, [], "no", {"message": "no"}, {"error": {"message": 5}}, {"error": {"message": None}}]
)
def test_a_body_that_is_not_in_its_envelope_says_nothing(body):
    assert SHAPE.words(body) is None


@pytest.mark.parametrize("slug", sorted(REGISTRY.providers))
@settings(max_examples=40)
@given(st.integers(100, 599), bodies)
def test_no_answer_breaks_the_classification(slug, status, body):
    faults = REGISTRY.providers[slug].faults

    assert isinstance(faults.fault(status, body), Fault)
    assert isinstance(faults.words(body), VendorWords | None)


CLASSES = sorted(
    (
        thing
        for thing in vars(errors).values()
        if isinstance(thing, type) and issubclass(thing, StationError) and thing is not VendorRefusal
    ),
    key=lambda thing: thing.__name__,
)
WORDS = VendorWords("what the vendor said", code=1301, param="prompt", type="moderation")


@pytest.mark.parametrize("slug", sorted(REGISTRY.providers))
def test_every_error_can_be_said_in_every_dialect(slug):
    envelope = REGISTRY.providers[slug].envelope
    said = [cls("a sentence for the caller", param="model") for cls in CLASSES]
    said += [
        VendorRefusal(status, words) for status in (400, 404, 413, 422) for words in (WORDS, VendorWords("x", code="c"))
    ]

    for error in said:
        body = msgspec.json.encode(envelope(error, "req_1")).decode()
        assert error.message in body or (isinstance(error, FieldMissing) and error.param in body)

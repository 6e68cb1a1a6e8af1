"""What goes up: an edit changes what it names, and keeps every other byte of every other field."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yiapi.providers.contract import REMOVED, edit

BODY = b'{ "a" : 1.50, "b":"\\u00e9\\/", "c": [1,  2 ,{"x":1e5}], "d": 123456789012345678901234567890, "e": null }'

values = st.recursive(
    st.sampled_from([b"1.50", b"1e5", b"-0.0", b'"\\u00e9"', b'"\\/"', b"null", b"true", b"12345678901234567890123"]),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: b"[ " + b" , ".join(parts) + b" ]"),
    max_leaves=5,
)
fields = st.dictionaries(st.sampled_from("abcdef"), values, max_size=6)


def raw(body):
    return {name: bytes(value) for name, value in msgspec.json.decode(body, type=dict[str, msgspec.Raw]).items()}


@settings(max_examples=60)
@given(fields, st.dictionaries(st.sampled_from("abcxyz"), st.integers() | st.just(REMOVED), min_size=1, max_size=3))
def test_every_other_field_stays_to_the_byte(fields, changes):
    body = b"{" + b", ".join(f'"{name}": '.encode() + value for name, value in fields.items()) + b"}"

    edited = raw(edit(body, changes))

    kept = {name: value for name, value in fields.items() if name not in changes}
    set_ = {name: msgspec.json.encode(value) for name, value in changes.items() if value is not REMOVED}
    assert edited == kept | set_
    assert [name for name in edited if name in fields] == [name for name in fields if name in edited], "in their order"


def test_changing_nothing_is_the_body_itself():
    assert edit(BODY, {}) == BODY


def test_numbers_and_escapes_stay_as_they_were_written():
    edited = edit(BODY, {"e": REMOVED})

    assert b"1.50" in edited
    assert b'"\\u00e9\\/"' in edited
    assert b"123456789012345678901234567890" in edited
    assert b"[1,  2 ,{" in edited


def test_a_raw_value_is_put_in_as_it_is():
    assert edit(b"{}", {"a": msgspec.Raw(b"[1.0,  2]")}) == b'{"a":[1.0,  2]}'


def test_removing_what_is_not_there_is_no_trouble():
    assert edit(b'{"a":1}', {"b": REMOVED}) == b'{"a":1}'


@pytest.mark.parametrize("body", [b"[]", b"1", b"", b"{", b'{"a":1}x'])
def test_what_is_no_object_is_refused(body):
    with pytest.raises(msgspec.MsgspecError):
        edit(body, {"a": 1})

"""Bodies: read within their limits, decoded once, refused with the field that is at fault."""

import asyncio
import base64
import gc
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yiapi.edge import CallerGone
from yiapi.errors import ImageTooLarge, InvalidRequest, PayloadTooLarge, RequestTimeout, UnsupportedMediaType
from yiapi.relay.bodies import DESTINATION_FIELDS, decode, fingerprint, read_body
from yiapi.relay.forms import Form

from .conftest import FORM_TYPE, REGISTRY, form_reader, multipart

CHAT = REGISTRY.served["openai.chat"].operation
IMAGE = REGISTRY.served["kling.image"].operation
DESCRIBE = REGISTRY.served["ideogram.describe"].operation
REMIX = REGISTRY.served["ideogram.remix"].operation
V3 = REGISTRY.served["ideogram.v3-generate"].operation
SMALL = replace(CHAT, body_bytes_max=1000)
JSON = {"content-type": "application/json"}
CALL = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}


async def read(inbound, operation=CHAT, *, window_s=5.0):
    return await read_body(inbound, operation, window_s=window_s, memory_bytes=1024)


# Reading


async def test_a_body_that_is_there_is_taken_as_it_came(inbound):
    assert await read(inbound(b'{"a": 1.50}', JSON)) == b'{"a": 1.50}'


async def test_a_body_is_read_as_it_comes(inbound):
    request = inbound(b'{"a"', JSON, more=True)
    reading = asyncio.create_task(read(request))
    for piece in (b": ", b"1", b"}"):
        await asyncio.sleep(0)
        request.arrived(piece)
    request.completed()

    assert await reading == b'{"a": 1}'


async def test_f008_a_declared_length_above_the_limit_is_refused_before_reading(inbound):
    request = inbound(headers=JSON | {"content-length": "1001"}, more=True)

    with pytest.raises(PayloadTooLarge):
        await read(request, SMALL)


@pytest.mark.parametrize("is_whole", [True, False])
async def test_f008_a_body_without_a_length_is_cut_at_the_limit(inbound, is_whole):
    assert len(await read(inbound(b"x" * 1000, JSON), SMALL)) == 1000

    with pytest.raises(PayloadTooLarge):
        await read(inbound(b"x" * 1001, JSON, more=not is_whole), SMALL)


async def test_f008_a_length_that_lies_does_not_raise_the_limit(inbound):
    with pytest.raises(PayloadTooLarge):
        await read(inbound(b"x" * 1001, JSON | {"content-length": "5"}, more=True), SMALL)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "x"])
async def test_f009_a_compressed_body_is_not_taken(inbound, encoding):
    with pytest.raises(UnsupportedMediaType):
        await read(inbound(b"{}", JSON | {"content-encoding": encoding}))

    assert await read(inbound(b"{}", JSON | {"content-encoding": "identity"})) == b"{}"


@pytest.mark.parametrize(
    ("operation", "kind", "is_taken"),
    [
        (CHAT, "application/json", True),
        (CHAT, "application/json; charset=utf-8", True),
        (CHAT, "APPLICATION/JSON", True),
        (CHAT, "application/vnd.api+json", True),
        (CHAT, "", True),
        (CHAT, "text/plain", False),
        (CHAT, "text/json", False),
        (CHAT, "application/x-www-form-urlencoded", False),
        (CHAT, FORM_TYPE, False),
        (V3, "application/json", True),
        (V3, FORM_TYPE, True),
        (DESCRIBE, "application/json", False),
        (DESCRIBE, FORM_TYPE, True),
    ],
)
async def test_f006_each_operation_takes_its_types(inbound, operation, kind, is_taken):
    request = inbound(multipart(("a", b"1")) if kind == FORM_TYPE else b"{}", {"content-type": kind} if kind else {})

    if is_taken:
        body = await read(request, operation)
        assert isinstance(body, Form) == (kind == FORM_TYPE)
        if isinstance(body, Form):
            body.close()
    else:
        with pytest.raises(UnsupportedMediaType):
            await read(request, operation)


async def test_f017_a_body_that_comes_too_slowly_is_given_up(inbound):
    request = inbound(b"{", JSON, more=True)

    with pytest.raises(RequestTimeout):
        await read(request, window_s=0.02)


async def test_f017_a_trickle_does_not_keep_a_body_alive(inbound):
    request = inbound(b"{", JSON, more=True)

    async def trickle():
        while True:
            await asyncio.sleep(0.005)
            request.arrived(b"x")

    trickling = asyncio.create_task(trickle())
    with pytest.raises(RequestTimeout):
        await read(request, window_s=0.05)
    trickling.cancel()


async def test_a_large_body_has_a_window_for_each_part_of_it(inbound):
    """16 KiB in each window are quick enough, however long all of it takes."""
    request = inbound(b"{", JSON, more=True)

    async def feed():
        for _ in range(5):
            await asyncio.sleep(0.06)
            request.arrived(b"x" * 20_000)
        request.completed()

    feeding = asyncio.create_task(feed())
    assert len(await read(request, window_s=0.2)) == 100_001
    await feeding


async def test_a_caller_that_leaves_is_gone(inbound):
    request = inbound(b"{", JSON, more=True)
    reading = asyncio.create_task(read(request))
    await asyncio.sleep(0)

    request.left()

    with pytest.raises(CallerGone):
        await reading


async def test_a_form_that_is_refused_leaves_no_files_open(inbound):
    """An open file that nobody holds warns, and a warning is an error."""
    large = multipart(("image_file", b"x" * 5000, "a.png", "image/png"))

    for body in (large[:-10], large[:3000], b""):
        with pytest.raises(InvalidRequest):
            await read(inbound(body, {"content-type": FORM_TYPE}), DESCRIBE)
    gc.collect()


# Decoding JSON


def chat(**changes):
    return decode(CHAT, json.dumps(CALL | changes).encode())


def test_only_what_is_needed_is_decoded_and_unknown_fields_are_no_trouble():
    request = chat(unknown={"deep": [1]}, n=2)

    assert (request.model, request.n) == ("gpt-4o", 2)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (CALL | {"n": "2"}, "n"),
        (CALL | {"n": 0}, "n"),
        (CALL | {"n": -1}, "n"),
        (CALL | {"n": 10**30}, "n"),
        (CALL | {"n": 1.5}, "n"),
        (CALL | {"n": True}, "n"),
        (CALL | {"messages": []}, "messages"),
        (CALL | {"messages": "Hi"}, "messages"),
        (CALL | {"model": None}, "model"),
        (CALL | {"stream_options": {"include_usage": 5}}, "stream_options.include_usage"),
        ({"model": "gpt-4o"}, "messages"),
        ({}, "model"),
        ([], None),
        ("text", None),
        (None, None),
    ],
)
def test_f001_a_field_that_cannot_be_is_named(body, param):
    with pytest.raises(InvalidRequest) as error:
        decode(CHAT, json.dumps(body).encode())

    assert error.value.param == param
    assert "$" not in error.value.message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"model":',
        b"{}{}",
        b'{"a":1}x',
        b"\xff\xfe",
        b'{"model": "\xff"}',
        b"NaN",
        b"'{}'",
        b"\0",
        b'{"a":\n',
    ],
)
def test_f006_what_is_no_json_is_refused(body):
    with pytest.raises(InvalidRequest):
        decode(CHAT, body)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 10_000,
        b'{"model":' + b"[" * 10_000,
        b'{"x":' * 10_000,
        b'{"messages": [' + b'{"a":' * 10_000,
        b"[" * 10_000 + b"]" * 10_000,
    ],
)
def test_f007_what_is_nested_too_deep_is_refused(body):
    with pytest.raises(InvalidRequest):
        decode(CHAT, body)


@settings(max_examples=60)
@given(st.binary(max_size=60))
def test_s6_no_bytes_break_the_decoder(body):
    for operation in (CHAT, IMAGE):
        try:
            decode(operation, body)
        except InvalidRequest:
            continue


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.sampled_from(["model", "messages", "n", "stream", "prompt", "image", "model_name", "duration", "mode"]),
        json_values,
    )
)
def test_s6_no_values_break_the_decoder(fields):
    for served in REGISTRY.served.values():
        if "json" in served.operation.accepts and served.operation.usage is not None:
            try:
                request = decode(served.operation, json.dumps(fields).encode())
            except (InvalidRequest, UnsupportedMediaType):
                continue
            served.operation.usage(request)


# A caller does not choose the destination


@pytest.mark.parametrize("field", DESTINATION_FIELDS)
def test_f019_a_field_that_makes_some_clients_call_elsewhere_is_refused(field):
    with pytest.raises(InvalidRequest) as error:
        chat(**{field: "https://evil.example"})

    assert error.value.param == field


@pytest.mark.parametrize("field", DESTINATION_FIELDS)
def test_f019_spelling_it_with_escapes_does_not_help(field):
    spelt = "".join(f"\\u{ord(character):04x}" if number % 2 else character for number, character in enumerate(field))
    body = json.dumps(CALL)[:-1] + f', "{spelt}": "https://evil.example"}}'

    with pytest.raises(InvalidRequest) as error:
        decode(CHAT, body.encode())

    assert error.value.param == field


def test_f019_the_same_words_deeper_or_in_a_text_are_only_words():
    chat(messages=[{"role": "user", "content": 'set "base_url": to x', "headers": 1, "api_key": 2}])
    chat(messages=[{"role": "user", "content": "\u00e9 \u0061"}])


# Pictures in JSON


def test_a_picture_in_a_field_is_looked_at_before_anything_is_held(png):
    body = {"prompt": "a cat", "image": base64.b64encode(png).decode()}

    assert decode(IMAGE, json.dumps(body).encode()).prompt == "a cat"
    for hostile in ("not base64!", base64.b64encode(b"<html>").decode(), ""):
        with pytest.raises((InvalidRequest, UnsupportedMediaType)) as error:
            decode(IMAGE, json.dumps(body | {"image": hostile}).encode())
        assert error.value.param == "image"


def test_f011_a_picture_of_too_many_pixels_is_refused_by_its_header(png):
    import struct
    import zlib

    head = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = png[:12] + head + struct.pack(">I", zlib.crc32(head)) + png[33:]

    with pytest.raises(ImageTooLarge):
        decode(IMAGE, json.dumps({"prompt": "x", "image": base64.b64encode(bomb).decode()}).encode())


def test_a_link_to_a_picture_is_the_vendors_to_follow():
    assert decode(IMAGE, b'{"prompt": "x", "image": "https://a.example/cat.png"}').image


# Forms


def form_of(*parts) -> Form:
    one = form_reader(FORM_TYPE)
    one.feed(multipart(*parts))
    return one.form()


def picture(png, name="image_file"):
    return (name, png, "in.png", "image/png")


def test_a_form_is_decoded_from_its_json_part_or_from_its_fields(png):
    remix = decode(REMIX, form_of(picture(png), ("image_request", b'{"prompt": "x", "num_images": 2}')))
    flat = decode(V3, form_of(("prompt", b"x"), ("num_images", b"3")))

    assert (remix.prompt, remix.num_images) == ("x", 2)
    assert flat.num_images == 3


def test_a_json_part_may_be_sent_as_a_file(png):
    request = decode(REMIX, form_of(picture(png), ("image_request", b'{"prompt": "x"}', "blob", "application/json")))

    assert request.prompt == "x"


@pytest.mark.parametrize(
    ("parts", "param"),
    [
        ([], "image_file"),
        ([("image_file", b"", "a.png", "image/png")], "image_file"),
        ([("image_file", b"<html>", "a.png", "image/png")], "image_file"),
        ([("image_file", b"GIF89a", "a.png", "image/png")], "image_file"),
    ],
)
def test_f012_a_file_that_is_missing_or_no_picture_is_named(parts, param):
    with pytest.raises((InvalidRequest, UnsupportedMediaType)) as error:
        decode(DESCRIBE, form_of(*parts))

    assert error.value.param == param


def test_a_file_has_the_type_of_its_content(png):
    form = form_of(("image_file", png, "in.exe", "text/html"))

    decode(DESCRIBE, form)

    assert form.parts[0].content_type == "image/png"


def test_a_picture_in_a_field_without_a_file_name_is_a_file_too(png):
    form = form_of(("image_file", png))

    decode(DESCRIBE, form)

    assert form.parts[0].is_file


def test_too_many_or_too_large_files_are_refused_by_name(png):
    with pytest.raises(InvalidRequest) as error:
        decode(DESCRIBE, form_of(picture(png), picture(png)))
    assert error.value.param == "image_file"

    tight = replace(DESCRIBE, files=(replace(DESCRIBE.files[0], size_bytes_max=10),))
    with pytest.raises(PayloadTooLarge) as error:
        decode(tight, form_of(picture(png)))
    assert error.value.param == "image_file"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ([("num_images", b"0")], "num_images"),
        ([("num_images", b"x")], "num_images"),
        ([("num_images", b"\xff")], "num_images"),
    ],
)
def test_a_form_field_that_cannot_be_is_named(fields, param):
    with pytest.raises(InvalidRequest) as error:
        decode(V3, form_of(("prompt", b"x"), *fields))

    assert error.value.param == param


def test_of_a_repeated_field_the_first_counts():
    assert decode(V3, form_of(("num_images", b"2"), ("num_images", b"9"))).num_images == 2


def test_f019_a_form_does_not_choose_the_destination_either(png):
    for field in DESTINATION_FIELDS:
        inside = json.dumps({"prompt": "x", field: "https://evil.example"}).encode()
        for operation, parts in (
            (V3, [("prompt", b"x"), (field, b"https://evil.example")]),
            (REMIX, [picture(png), ("image_request", inside)]),
        ):
            with pytest.raises(InvalidRequest) as error:
                decode(operation, form_of(*parts))
            assert error.value.param == field


# Fingerprints


def test_a_fingerprint_is_of_what_is_said_and_not_of_how():
    one = fingerprint("POST", "/v1/x", b'{"a": 1, "b": [1, {"c": "\\u00e9"}]}')

    assert fingerprint("POST", "/v1/x", b'{ "b":[1,{"c":"\xc3\xa9"}],"a":1 }') == one


@pytest.mark.parametrize(
    ("method", "route", "body"),
    [
        ("PUT", "/v1/x", b'{"a":1}'),
        ("POST", "/v1/y", b'{"a":1}'),
        ("POST", "/v1/x", b'{"a":2}'),
        ("POST", "/v1/x", b'{"a":"1"}'),
        ("POST", "/v1/x", b'{"a":[1]}'),
        ("POST", "/v1/x", b'{"a":1,"b":null}'),
    ],
)
def test_f041_another_request_has_another_fingerprint(method, route, body):
    assert fingerprint(method, route, body) != fingerprint("POST", "/v1/x", b'{"a":1}')


def test_a_form_has_a_fingerprint_of_its_parts(png):
    assert fingerprint("POST", "/x", form_of(picture(png))) == fingerprint("POST", "/x", form_of(picture(png)))
    assert fingerprint("POST", "/x", form_of(picture(png))) != fingerprint("POST", "/x", form_of(("a", b"1")))

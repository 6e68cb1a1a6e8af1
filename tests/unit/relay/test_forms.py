"""Forms: read as they come, within their limits, and written anew under names of our own."""

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yiapi.errors import InvalidRequest
from yiapi.relay.forms import FIELD_BYTES_MAX, PARTS_MAX, Form

from .conftest import FORM_TYPE, form_reader, multipart

MEMORY = 1024


def read(body, *, content_type=FORM_TYPE, pieces=None) -> Form:
    one = form_reader(content_type, MEMORY)
    for piece in pieces or [body]:
        one.feed(piece)
    return one.form()


def shown(form):
    return [(part.name, part.is_file, part.content_type, content_of(part)) for part in form.parts]


def content_of(part):
    part.content.seek(0)
    return part.content.read()


def written(form):
    body = b"".join(form.chunks())
    assert len(body) == form.size_bytes, "the length that is declared is the length that is sent"
    return body


BODY = multipart(
    ("prompt", "ein Hütchen 帽子".encode()),
    ("image_file", b"\x89PNG\r\n\r\n--X", "in.png", "image/png"),
    ("empty", b""),
    ("prompt", b"again"),
)


def test_parts_are_read_in_their_order_with_what_they_are():
    assert shown(read(BODY)) == [
        ("prompt", False, None, "ein Hütchen 帽子".encode()),
        ("image_file", True, "image/png", b"\x89PNG\r\n\r\n--X"),
        ("empty", False, None, b""),
        ("prompt", False, None, b"again"),
    ]


@settings(max_examples=40)
@given(st.lists(st.integers(0, len(BODY)), max_size=8).map(sorted))
def test_where_the_packets_end_makes_no_difference(cuts):
    pieces = [BODY[start:end] for start, end in zip([0, *cuts], [*cuts, len(BODY)], strict=True)]

    assert shown(read(BODY, pieces=[piece for piece in pieces if piece])) == shown(read(BODY))


def test_a_form_that_comes_byte_by_byte_is_the_same():
    assert shown(read(BODY, pieces=[bytes([byte]) for byte in BODY])) == shown(read(BODY))


contents = st.binary(max_size=60) | st.sampled_from([b"\r\n--XX", b"--", b"\r\n", b"\r\n--XX--\r\n", b"\0" * 2000])
names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(
    lambda name: '"' not in name and "\\" not in name
)


@settings(max_examples=40)
@given(st.lists(st.tuples(names, contents, st.booleans()), max_size=5))
def test_what_is_written_for_the_vendor_says_the_same(parts):
    boundary = f"{random.getrandbits(64):x}"  # in no content
    given_parts = [
        (name, content, "f.png", "image/png") if is_file else (name, content) for name, content, is_file in parts
    ]
    form = read(multipart(*given_parts, boundary=boundary), content_type=f"multipart/form-data; boundary={boundary}")

    again = read(written(form), content_type=form.content_type.decode())

    assert shown(again) == shown(form)
    assert [(part.name, content_of(part)) for part in again.parts] == [(name, content) for name, content, _ in parts]


def test_a_form_can_be_sent_again():
    form = read(BODY)

    assert written(form) == written(form)


def test_the_boundary_is_our_own():
    forms = [read(BODY), read(BODY)]

    assert len({form.boundary for form in forms}) == 2
    assert b"--XX\r\n" not in written(forms[0])


# File names


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "a" * 4000, "shell.php", "x\\..\\y", "名前.png", "%00", "a;b=c", "con.png", "x\udc80y", " "],
)
def test_f013_a_files_name_is_never_the_callers(name):
    form = read(multipart(("image_file", b"\x89PNG", name, "image/png")))

    assert form.parts[0].is_file
    assert b'filename="file-0.png"' in written(form)
    assert name.encode("utf-8", "surrogateescape") not in written(form) or not name.strip()


def test_f013_a_name_with_a_nul_or_a_line_end_is_a_name_all_the_same():
    body = b'--XX\r\ncontent-disposition: form-data; name="image_file"; filename="a\x00b"\r\n\r\nx\r\n--XX--\r\n'

    assert b"a\x00b" not in written(read(body))


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        ("image/png", "image/png"),
        ("IMAGE/PNG; charset=x", "image/png"),
        ("image/svg+xml", "image/svg+xml"),
        ("application/vnd.api-1.0+json", "application/vnd.api-1.0+json"),
        ("image", None),
        ("image/", None),
        ("image/png/x", None),
        ("image/p ng", None),
        ('image/"png"', None),
        ("é/x", None),
        ("image/" + "x" * 200, None),
    ],
)
def test_a_parts_type_is_kept_where_it_is_one(kind, kept):
    form = read(multipart(("f", b"x", "a", kind)))

    assert form.parts[0].content_type == kept


def test_a_fields_name_is_written_so_that_it_ends_nothing():
    body = b'--XX\r\ncontent-disposition: form-data; name="a\\"; x=\\"b"\r\n\r\n1\r\n--XX--\r\n'
    form = read(body)

    again = read(written(form), content_type=form.content_type.decode())

    assert [part.name for part in again.parts] == [part.name for part in form.parts]
    assert not again.parts[0].is_file


# Limits


def refuses(body, **options):
    with pytest.raises(InvalidRequest) as error:
        read(body, **options)
    return error.value


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        f"multipart/form-data; boundary={'x' * 201}",
        "text/plain",
    ],
)
def test_a_form_without_a_usable_boundary_is_refused(content_type):
    refuses(BODY, content_type=content_type)


def test_f010_a_form_has_at_most_a_hundred_parts():
    parts = [(f"p{number}", b"1") for number in range(PARTS_MAX)]

    assert len(read(multipart(*parts)).parts) == 100
    refuses(multipart(*parts, ("one", b"more")))


def test_f010_a_parts_headers_have_an_end():
    refuses(b"--XX\r\n" + b"x" * 9000 + b": y\r\n\r\n1\r\n--XX--\r\n")
    refuses(b"--XX\r\nx: " + b"y" * 9000 + b"\r\n\r\n1\r\n--XX--\r\n")
    refuses(b"--XX\r\n" + b"x: y\r\n" * 5000 + b"\r\n1\r\n--XX--\r\n")


def test_f010_a_form_begins_with_its_boundary():
    refuses(b"x" * 50_000 + BODY)


def test_a_field_has_an_end_and_a_file_has_its_own():
    long = b"x" * (FIELD_BYTES_MAX + 1)

    assert refuses(multipart(("prompt", long))).param == "prompt"
    assert len(content_of(read(multipart(("f", long, "a", "image/png"))).parts[0])) == len(long)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--XX",
        b"--XX\r\n",
        BODY[:-4],
        BODY[: len(BODY) // 2],
        b"--YY\r\n\r\n1\r\n--YY--\r\n",
        b"--XX\r\ncontent-disposition: form-data\r\n\r\n1\r\n--XX--\r\n",
        b'--XX\r\ncontent-disposition: form-data; name=""\r\n\r\n1\r\n--XX--\r\n',
        b'--XX\r\ncontent-disposition: form-data; name="a\x01b"\r\n\r\n1\r\n--XX--\r\n',
        b"--XX\r\n\r\n1\r\n--XX--\r\n",
        b"--XX\r\nbad header\r\n\r\n1\r\n--XX--\r\n",
    ],
)
def test_what_is_no_form_or_cut_is_refused(body):
    refuses(body)


@settings(max_examples=60)
@given(st.binary(max_size=200), st.integers(0, len(BODY)), st.integers(0, len(BODY)))
def test_s6_no_bytes_break_the_reader(noise, start, end):
    for body in (noise, BODY[:start] + noise + BODY[end:]):
        one = form_reader(FORM_TYPE)
        try:
            one.feed(body)
            one.form()
        except InvalidRequest:
            pass
        finally:
            one.close()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'--XX\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n' * 100_000, id="parts"),
        pytest.param(b"--XX" + b"-" * 2**20, id="dashes"),
        pytest.param(b"x" * (10 * 2**20), id="preamble"),
        pytest.param(b"\r\n" * (2 * 2**20), id="line ends"),
        pytest.param(multipart(("f", b"\r\n--X" * 400_000, "a", "image/png")), id="almost boundaries"),
        pytest.param(multipart(("f", b"\r\n--" * 500_000, "a", "image/png")), id="dashes inside"),
        pytest.param(multipart(("f", b"\r" * 2_000_000, "a", "image/png")), id="carriage returns"),
    ],
)
def test_f010_a_hostile_form_costs_little_time_for_each_piece(body):
    """The event loop does other things between two pieces of 64 KiB."""
    one = form_reader(FORM_TYPE, 2**20)
    slowest_s = 0.0
    try:
        for at in range(0, len(body), 65536):
            began = time.process_time()
            one.feed(body[at : at + 65536])
            slowest_s = max(slowest_s, time.process_time() - began)
        one.form()
    except InvalidRequest:
        pass
    finally:
        one.close()
    assert slowest_s < 0.1


# Files


def test_a_large_file_goes_to_disk_and_a_small_one_does_not():
    small, large = read(
        multipart(("f", b"x" * MEMORY, "a", "image/png"), ("g", b"x" * (MEMORY + 1), "b", "image/png"))
    ).parts

    assert not small.content._rolled
    assert large.content._rolled


def test_closing_a_form_drops_its_files():
    form = read(BODY)

    form.close()

    assert all(part.content.closed for part in form.parts)


def test_a_refused_form_can_be_dropped():
    one = form_reader(FORM_TYPE)
    one.feed(BODY[:-10])

    one.close()

    assert all(part.content.closed for part in one._parts)


# Texts and fingerprints


def test_a_field_that_is_no_utf_8_is_refused_by_name():
    form = read(multipart(("prompt", b"\xff\xfe")))

    with pytest.raises(InvalidRequest) as error:
        form.parts[0].text()
    assert error.value.param == "prompt"


def test_a_fingerprint_is_of_the_parts_and_not_of_the_boundary():
    other = multipart(("a", b"1"), ("b", b"2"), boundary="YY")

    assert (
        read(multipart(("a", b"1"), ("b", b"2"))).fingerprint()
        == read(other, content_type="multipart/form-data; boundary=YY").fingerprint()
    )


@pytest.mark.parametrize(
    "parts",
    [
        [("a", b"1")],
        [("b", b"2"), ("a", b"1")],
        [("a", b"1"), ("b", b"3")],
        [("a", b"12"), ("b", b"")],
        [("a", b"1"), ("b", b"2", "f", "image/png")],
        [("a", b"1"), ("c", b"2")],
        [("a", b"1"), ("b", b"2"), ("b", b"2")],
    ],
)
def test_other_parts_have_another_fingerprint(parts):
    first = read(multipart(("a", b"1"), ("b", b"2")))

    assert read(multipart(*parts)).fingerprint() != first.fingerprint()

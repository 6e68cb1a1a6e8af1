"""Whatever a multipart body holds, in whatever packets: the same parts, or a refusal that names the caller's fault."""

from hypothesis import example, given
from hypothesis import strategies as st
from streams import CUTS, EDITS, edited, in_packets

from yiapi.errors import InvalidRequest
from yiapi.relay.forms import Form, FormReader

TYPE = b"multipart/form-data; boundary=XX"
OCTETS = "application/octet-stream"  # what a file is that nobody says anything of
WORDS = [
    *(b"--XX\r\n", b"--XX--\r\n", b"--XX--", b"--XX", b"\r\n--XX\r\n", b"\r\n--XX--\r\n", b"--X", b"--", b"XX"),
    *(b"\r\n\r\n", b"\r\n", b"\n", b"\r", b" ", b":", b"\x00", b"abc", b"\xff\xfe", b"x" * 300),
    b'content-disposition: form-data; name="a"\r\n',
    b'Content-Disposition: form-data; name="b"; filename="c.png"\r\n',
    b"content-disposition: form-data; name=d\r\n",
    b"content-disposition: form-data; name*=utf-8''e\r\n",
    b'content-disposition: form-data; name=""\r\n',
    b'content-disposition: form-data; name="f\\"g"; name="h"\r\n',
    b"content-disposition: form-data; name=\xc3\xa9\r\n",
    b"content-disposition:\r\n",
    b"content-type: image/png\r\n",
    b"content-type: text/plain; charset=utf-8\r\n",
    b"content-transfer-encoding: base64\r\n",
    b": \r\n",
]
GOOD = [
    b'--XX\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n',
    b'--XX\r\ncontent-disposition: form-data; name="f"; filename="x.png"\r\ncontent-type: image/png\r\n\r\n\r\n--X\r\n',
    b'--XX\r\ncontent-disposition: form-data; name="g"\r\n\r\n\r\n',
]
BODIES = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from(WORDS), max_size=20).map(b"".join),
    st.builds(
        edited, st.lists(st.sampled_from(GOOD), max_size=4).map(lambda parts: b"".join([*parts, b"--XX--\r\n"])), EDITS
    ),
)
NAMES = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
TYPES = st.one_of(
    st.binary(max_size=60).map(lambda more: b"multipart/form-data" + more),
    st.lists(
        st.sampled_from(
            [b"; ", b";", b"boundary", b"=", b'"', b"\\", b"XX", b"*", b"0", b" ", b"'", b"\xe9", b"y" * 99]
        ),
        max_size=12,
    ).map(lambda words: b"multipart/form-data" + b"".join(words)),
)

Parts = list[tuple[str, bool, str | None, bytes]]


def read(packets: list[bytes], content_type: bytes = TYPE) -> Parts | None:
    """Return what a form holds; None where it is refused. Its files are closed either way."""
    reader = None
    try:
        reader = FormReader(content_type, memory_bytes=100)
        for packet in packets:
            reader.feed(packet)
        return parts_of(reader.form())
    except InvalidRequest:
        return None
    finally:
        if reader is not None:
            reader.close()


def parts_of(form: Form) -> Parts:
    parts = []
    for part in form.parts:
        part.content.seek(0)
        content = part.content.read()
        assert len(content) == part.size_bytes
        parts.append((part.name, part.is_file, part.content_type, content))
    return parts


def written(form: Form) -> bytes:
    body = b"".join(form.chunks())
    assert len(body) == form.size_bytes
    return body


@given(BODIES, CUTS)
def test_where_the_packets_end_makes_no_difference(body, cuts):
    assert read(in_packets(body, cuts)) == read([body] if body else [])


@given(BODIES)
def test_what_goes_up_is_what_came(body):
    reader = FormReader(TYPE, memory_bytes=100)
    try:
        reader.feed(body)
        form = reader.form()
    except InvalidRequest:
        reader.close()
        return

    again = read([written(form)], form.content_type)
    came = parts_of(form)
    form.close()

    assert again == [
        (name, is_file, (kind or OCTETS) if is_file else kind, content) for name, is_file, kind, content in came
    ]


@given(TYPES, BODIES)
def test_no_content_type_breaks_the_reader(content_type, body):
    read([body], content_type)


@given(st.lists(st.tuples(NAMES, st.booleans(), st.binary(max_size=200)), max_size=5), CUTS)
@example([("a\\", False, b""), ('"', False, b""), ('\\"', True, b"")], [])
@example([("\\", True, b"")], [])  # its name ended in the file's name
def test_a_good_form_is_read_as_it_was_written(parts, cuts):
    lines = []
    for name, is_file, content in parts:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        more = '; filename="x"' if is_file else ""
        lines.append(f'--XX\r\ncontent-disposition: form-data; name="{quoted}"{more}\r\n\r\n'.encode() + content)
    body = b"\r\n".join([*lines, b"--XX--\r\n"])
    if b"--XX" in b"".join(content for _, _, content in parts):
        return

    assert read(in_packets(body, cuts)) == [(name, is_file, None, content) for name, is_file, content in parts]

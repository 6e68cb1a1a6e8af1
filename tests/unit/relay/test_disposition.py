"""Dispositions: the same name and kind for a part, in whatever way its client writes them; else one clear refusal."""

import time
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from yiapi.errors import InvalidRequest
from yiapi.relay.disposition import Disposition, read_disposition

from .conftest import FORM_TYPE, form_reader


def name_in(parameters):
    return read_disposition(f"form-data; {parameters}".encode()).name


def is_file(parameters):
    return read_disposition(f"form-data; {parameters}".encode()).is_file


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (r'"a\"b"', 'a"b'),
        (r'"\\"', "\\"),
        (r'"\\\\"', r"\\"),
        (r'"\\\""', r"\""),
        (r'"\"\\"', '"\\'),
        (r'"C:\dir\new"', r"C:\dir\new"),
        (r'"\\server\x"', r"\server\x"),
        (r'"\;\="', r"\;\="),
    ],
)
@pytest.mark.parametrize("more", ["", "; filename=x", '; filename="x"', r'; filename="\\"', "; x=y", ";", " "])
def test_in_quotes_a_backslash_escapes_a_quote_and_itself_only(written, name, more):
    assert name_in(f"name={written}{more}") == name
    assert is_file(f"name={written}{more}") == ("filename" in more)


def test_a_browsers_backslash_before_the_last_quote_is_itself():
    assert name_in(r'name="a\"') == "a\\"
    assert name_in('name="a\\" \t') == "a\\"


@pytest.mark.parametrize(
    "name", ["a%22b", "a%0D%0Ab", "100%", "%5C", "a=b", "a;b", "a; filename=b", " a ", "é", "帽子"]
)
def test_what_else_is_in_quotes_stays_as_it_came(name):
    assert read_disposition(f'form-data; name="{name}"'.encode()) == Disposition(name, is_file=False)


@pytest.mark.parametrize("name", ["a", "é", "a=b", r"a\b", r"a\\b", "a b", "a'b", "a%22"])
def test_a_name_without_quotes_ends_at_a_semicolon(name):
    assert read_disposition(f"form-data; name={name}; filename=x".encode()) == Disposition(name, is_file=True)


@pytest.mark.parametrize(
    "header",
    [
        b'form-data;name="a";filename="b"',
        b'form-data \t; \tname\t = \t"a"\t ; filename = b ; ',
        b'FORM-DATA; NAME="a"; FileName="b"',
        b'form-data; filename="b"; name="a"',
        b'form-data;; x; size=3; filename="b";; name="a";',
        b'attachment; name="a"; filename="b"',
        b"form-data; name=a; filename=",
        b'form-data; name=a; filename=""',
    ],
)
def test_order_case_and_blanks_make_no_difference(header):
    assert read_disposition(header) == Disposition("a", is_file=True)


@pytest.mark.parametrize(
    "written",
    [
        r'filename="C:\Users\me\in.png"',
        r'filename="C:\new\"',
        r'filename="a\"b\\.png"',
        'filename="my "best" picture.png"',
        'filename="a"b"',
        'filename="cut',
        'filename="a;b=c"',
        "filename=a b.png",
        "filename*=utf-8''%E5%B8%BD.png",
        "filename*=UTF-8'en'a%22b.png",
        "filename*=no-charset",
        "filename*0*=utf-8''a; filename*1=b",
        "filename=\"a.png\"; filename*=utf-8''b.png",
        "filename=a; filename=b",
    ],
)
def test_a_part_with_a_file_name_of_any_shape_is_a_file(written):
    assert read_disposition(f'form-data; name="a"; {written}'.encode()) == Disposition("a", is_file=True)


@pytest.mark.parametrize(
    "other", ["size=3", 'x="filename=a"', "filenames=a", "x-filename=a", "name*=utf-8''b", 'x="\\"; filename=a; \\""']
)
def test_other_parameters_are_not_looked_at(other):
    assert read_disposition(f'form-data; name="a"; {other}'.encode()) == Disposition("a", is_file=False)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"form-data",
        b'name="a"',
        b"form-data; name",
        b"form-data; name=",
        b'form-data; name=""',
        b'form-data; filename="a"',
        b"form-data; name*=utf-8''a",
        b'form-data; name="',
        b'form-data; name="a',
        b'form-data; name="a; filename="b"',
        rb'form-data; name="a\"; filename="b"',
        rb'form-data; name="a\\',
        b'form-data; name="a"b"',
        b'form-data; name="a" b',
        b'form-data; name=a"b"',
        b'form-data; name="a\x00"',
        b'form-data; name="a\nb"',
        b'form-data; name="a\x7f"',
    ],
)
def test_a_part_without_a_usable_name_is_refused(header):
    with pytest.raises(InvalidRequest, match="no usable name"):
        read_disposition(header)


@pytest.mark.parametrize("second", ['name="b"', 'name="a"', "NAME=b", "name="])
def test_a_part_with_two_names_is_refused(second):
    with pytest.raises(InvalidRequest, match="no usable name"):
        read_disposition(f'form-data; name="a"; {second}'.encode())


def test_what_no_parser_can_agree_on_is_the_callers_error_in_a_form_as_well():
    reader = form_reader(FORM_TYPE)

    with pytest.raises(InvalidRequest, match="no usable name"):
        reader.feed(b'--XX\r\ncontent-disposition: form-data; name="a"b"\r\n\r\n1\r\n--XX--\r\n')


WORDS = st.lists(st.sampled_from(['"', "\\", ";", "=", " ", "a", "é", "name", "filename", "*"]), max_size=12)


@given(WORDS.map("".join).filter(bool), WORDS.map("".join))
@example("\\", "\\")
def test_a_name_that_is_escaped_is_read_back(name, file_name):
    quoted, file_quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in (name, file_name))

    assert read_disposition(f'form-data; name="{quoted}"'.encode()) == Disposition(name, is_file=False)
    for header in (f'name="{quoted}"; filename="{file_quoted}"', f'filename="{file_quoted}"; name="{quoted}"'):
        assert read_disposition(f"form-data; {header}".encode()) == Disposition(name, is_file=True)


@given(WORDS.map("".join).map(str.encode) | st.binary(max_size=60))
def test_no_bytes_break_the_parser(noise):
    for header in (noise, b"form-data; " + noise, b'form-data; name="a"; ' + noise):
        with suppress(InvalidRequest):
            assert read_disposition(header).name


@pytest.mark.parametrize(
    "unit", ['"', "\\", '\\"', ";", "=", " ", '" ', '"a ', "; ", ";=", ';="', ';a="b"', ';a="', "\t", ";name=a"]
)
def test_f010_a_header_takes_time_for_its_length_only(unit):
    """A real header has 8 KiB; with sixty times that, anything that looks back takes far longer."""
    many = unit * (2**19 // len(unit))
    began = time.process_time()
    for header in (f'form-data; name="{many}', f"form-data; name=a; filename={many}x", f"form-data{many}; {many}x"):
        with suppress(InvalidRequest):
            read_disposition(header.encode())
    assert time.process_time() - began < 3

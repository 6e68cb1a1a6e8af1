"""Events come out whole and unchanged, however the bytes arrive."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yiapi.upstream import EventSplitter, EventTooLarge, data_of, name_of


def fed(*pieces: bytes) -> tuple[list[bytes], bytes]:
    splitter = EventSplitter()
    events = [event for piece in pieces for event in splitter.feed(piece)]
    return events + splitter.end(), splitter.rest()


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_an_empty_line_ends_an_event(end):
    first = b"event: a" + end + b"data: 1" + end + end
    second = b": ping" + end + end

    assert fed(first + second + b"data: 2" + end) == ([first, second], b"data: 2" + end)


def test_one_event_in_one_piece_comes_back_at_once():
    assert EventSplitter().feed(b"data: {}\n\n") == [b"data: {}\n\n"]


def test_an_event_of_crlf_lines_does_not_wait_for_more():
    assert EventSplitter().feed(b"data: {}\r\n\r\n") == [b"data: {}\r\n\r\n"]


def test_empty_lines_without_an_event_are_kept():
    assert fed(b"\n\r\n\r", b"\ndata: 1\n\n\n") == ([b"\n", b"\r\n", b"\r\n", b"data: 1\n\n", b"\n"], b"")


STREAMS = st.lists(
    st.sampled_from(
        [b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n", b"\r\r", b"data: x", b":", b"event: a", b"\xef\xbb\xbf", b" "]
    ),
    max_size=30,
).map(b"".join)


@given(STREAMS, st.lists(st.integers(0, 100), max_size=10))
def test_any_split_gives_the_same_events(stream, cuts):
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[start:end] for start, end in pairwise(places)]

    events, rest = fed(*pieces)

    assert (events, rest) == fed(stream)
    assert (events, rest) == fed(*(bytes([byte]) for byte in stream))
    assert b"".join(events) + rest == stream


@given(STREAMS)
def test_each_event_ends_with_its_only_empty_line(stream):
    events, rest = fed(stream)

    for event in events:
        lines = event.splitlines()
        assert lines[-1] == b""
        assert b"" not in lines[:-1]
    assert b"" not in rest.splitlines()


@pytest.mark.parametrize("piece_bytes", [1, 7, 100, 1000])
def test_an_event_that_is_too_large_is_refused(piece_bytes):
    splitter = EventSplitter(event_bytes_max=100)
    stream = b"data: " + b"x" * 200 + b"\n\n"

    def feed_all():
        for at in range(0, len(stream), piece_bytes):
            splitter.feed(stream[at : at + piece_bytes])

    with pytest.raises(EventTooLarge):
        feed_all()


def test_events_up_to_the_limit_pass():
    event = b"data: " + b"x" * 92 + b"\n\n"

    assert EventSplitter(event_bytes_max=100).feed(event * 3) == [event] * 3


@pytest.mark.parametrize(
    ("event", "name", "data"),
    [
        (b"data: {}\n\n", b"", b"{}"),
        (b"data:{}\r\n\r\n", b"", b"{}"),
        (b"data:  {}\r\r", b"", b" {}"),
        (b"event: message_start\ndata: {}\n\n", b"message_start", b"{}"),
        (b"data: a\ndata: b\n\n", b"", b"a\nb"),
        (b"data\ndata\n\n", b"", b"\n"),
        (b": comment\n\n", b"", b""),
        (b"\n", b"", b""),
        (b"\xef\xbb\xbfdata: a\n\n", b"", b"a"),
        (b"event: a\nevent: b\nid: 1\n\n", b"b", b""),
        (b"data: a\rdata: b\n\n", b"", b"a\nb"),
        (b"datax: a\n\n", b"", b""),
    ],
)
def test_name_and_data_are_read_as_the_standard_says(event, name, data):
    assert name_of(event) == name
    assert data_of(event) == data

"""A stream of events is cut where the standard says, whatever it holds and however it arrives, and no byte is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import CUTS, in_packets

from yiapi.upstream import EventSplitter, EventTooLarge, data_of, name_of

WORDS = [
    *(b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r", b" ", b":", b"\x00", b"\xef\xbb\xbf"),
    *(b"data", b"data:", b"data: x", b"data:{}", b"event: a", b"event", b": ping", b"id: 1", b"retry: 9", b"\xff"),
    b"y" * 40,
]
STREAMS = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from(WORDS), max_size=40).map(b"".join),
    st.lists(st.sampled_from([b"\n", b"\r"]), max_size=20).map(b"".join),
)


def lines_of(stream: bytes) -> list[bytes]:
    """Cut a stream behind every line end, one byte after the other."""
    lines, line = [], b""
    for place, byte in enumerate(stream):
        line += bytes([byte])
        if byte == 0x0A or (byte == 0x0D and stream[place + 1 : place + 2] != b"\n"):
            lines.append(line)
            line = b""
    return [*lines, line]


def events_of(stream: bytes) -> tuple[list[bytes], bytes]:
    """Return the events of a whole stream and what is left, by the words of the standard."""
    events, event = [], b""
    *lines, last = lines_of(stream)
    for line in lines:
        event += line
        if line in {b"\n", b"\r", b"\r\n"}:
            events.append(event)
            event = b""
    return events, event + last


def fields_of(event: bytes) -> list[tuple[bytes, bytes]]:
    fields = []
    for line in lines_of(event.removeprefix(b"\xef\xbb\xbf")):
        name, _, value = line.rstrip(b"\r\n").partition(b":")
        fields.append((name, value.removeprefix(b" ")))
    return fields


@given(STREAMS, CUTS)
def test_events_are_cut_where_the_standard_says(stream, cuts):
    splitter = EventSplitter()

    events = [event for piece in in_packets(stream, cuts) for event in splitter.feed(piece)] + splitter.end()

    assert (events, splitter.rest()) == events_of(stream)


@given(STREAMS)
def test_what_an_event_says_is_read_as_the_standard_says(stream):
    for event in events_of(stream)[0]:
        fields = fields_of(event)
        assert data_of(event) == b"\n".join(value for name, value in fields if name == b"data")
        assert name_of(event) == ([b""] + [value for name, value in fields if name == b"event"])[-1]


@given(STREAMS, CUTS, st.integers(1, 60))
def test_an_event_that_is_too_large_is_found_and_nothing_larger_is_kept(stream, cuts, limit):
    splitter = EventSplitter(event_bytes_max=limit)
    events, rest = events_of(stream)
    pieces, got = in_packets(stream, cuts), []
    is_too_large = False
    try:
        for piece in pieces:
            got += splitter.feed(piece)
            assert len(splitter.rest()) <= limit
        got += splitter.end()
    except EventTooLarge:
        is_too_large = True

    assert got == events[: len(got)]
    assert all(len(event) <= limit for event in got)
    assert is_too_large == any(len(event) > limit for event in [*events, rest])


@pytest.mark.long
@given(st.sampled_from(WORDS), st.sampled_from(WORDS), st.integers(1, 50))
def test_a_long_stream_takes_time_in_proportion(one, other, size):
    stream = (one * size + other) * (2**20 // (len(one) * size + len(other)))
    splitter = EventSplitter(event_bytes_max=2**21)

    for start in range(0, len(stream), 16):
        splitter.feed(stream[start : start + 16])

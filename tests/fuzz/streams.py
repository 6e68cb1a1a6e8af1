"""Bytes that are almost right, and the packets that they come in."""

from itertools import pairwise

from hypothesis import strategies as st

ODD_BYTES = b"\r\n\t :;,0123fxX\x00\x0b\x7f\xffGHT/.+-"

CUTS = st.lists(st.integers(0, 400), max_size=6)
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["put", "take", "swap"]),
        st.integers(0, 10_000),
        st.one_of(st.sampled_from([bytes([byte]) for byte in ODD_BYTES]), st.binary(min_size=1, max_size=4)),
    ),
    max_size=4,
)


def edited(raw: bytes, edits: list[tuple[str, int, bytes]]) -> bytes:
    """Put bytes in, take one out, or write over what is there."""
    for how, number, piece in edits:
        place = number % (len(raw) + 1)
        until = place if how == "put" else place + (1 if how == "take" else len(piece))
        raw = raw[:place] + (b"" if how == "take" else piece) + raw[until:]
    return raw


def in_packets(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    return [stream[start:end] for start, end in pairwise(places)]

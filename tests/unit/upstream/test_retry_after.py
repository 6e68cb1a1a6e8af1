"""How long a peer asks us to wait, in each way of saying it."""

from datetime import UTC, datetime

import pytest

from yiapi.upstream import retry_after_s

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        (b"3", 3.0),
        (b" 3 ", 3.0),
        (b"0", 0.0),
        (b"1.5", 1.5),
        (b"-4", 0.0),
        (b"99999", 300.0),
        (b"Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        (b"Thursday, 01-Jan-26 12:00:30 GMT", 30.0),
        (b"Thu Jan  1 12:00:30 2026", 30.0),
        (b"Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        (b"Fri, 01 Jan 2027 12:00:00 GMT", 300.0),
        (b"", None),
        (b"soon", None),
        (b"nan", None),
        (b"inf", None),
        (b"1e9", None),
        (b"0x10", None),
        (b"-", None),
        (b"9" * 400, None),
        (b"\xff", None),
        (b"Thu, 99 Jan 2026 12:00:30 GMT", None),
        (b"x" * 100_000, None),
    ],
)
def test_seconds_and_dates_are_read_and_nonsense_is_not(value, wait_s):
    assert retry_after_s([(b"retry-after", value)], now=NOW) == wait_s


def test_milliseconds_are_more_exact_and_win():
    assert retry_after_s([(b"retry-after", b"3"), (b"retry-after-ms", b"2500")]) == 2.5
    assert retry_after_s([(b"retry-after", b"3"), (b"retry-after-ms", b"x")]) == 3.0


def test_without_the_header_there_is_no_wait():
    assert retry_after_s([(b"x", b"3")]) is None

"""Clocks, and how times are written."""

import pytest

from yiapi.clock import ManualClock, SystemClock, rfc3339, rfc3339_or_none


def test_a_manual_clock_stands_still_until_it_is_turned():
    clock = ManualClock(wall_ms=1000)

    assert (clock.now_ms(), clock.monotonic()) == (1000, 0.0)

    clock.turn(1.5)

    assert (clock.now_ms(), clock.monotonic()) == (2500, 1.5)


def test_durations_do_not_follow_a_wall_clock_that_jumps(monkeypatch):
    clock = SystemClock()
    before = clock.monotonic()
    monkeypatch.setattr("time.time", lambda: 0.0)

    assert clock.now_ms() == 0
    assert clock.monotonic() >= before


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_795_420_800_120, "2026-11-23T08:00:00.120Z"),
        (1_772_323_199_999, "2026-02-28T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
    ],
)
def test_a_time_is_written_in_utc_to_the_millisecond(ms, text):
    assert rfc3339(ms) == text


def test_a_time_that_is_missing_stays_so():
    assert rfc3339_or_none(None) is None
    assert rfc3339_or_none(0) == rfc3339(0)

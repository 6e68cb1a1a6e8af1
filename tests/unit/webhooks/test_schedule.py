"""When an attempt is followed by another, and how long after."""

import pytest

from yiapi.webhooks.schedule import ATTEMPTS_MAX, Outcome, asks_for_time, outcome_of, pause_s

HOUR_S = 3600


def test_ten_attempts_take_75_hours_35_minutes():
    pauses = [pause_s(tries, None, lambda: 0.5) for tries in range(1, ATTEMPTS_MAX)]

    assert ATTEMPTS_MAX == 10
    assert pauses == [5, 300, 1800, 2 * HOUR_S, 5 * HOUR_S, 10 * HOUR_S, 14 * HOUR_S, 20 * HOUR_S, 24 * HOUR_S]
    assert sum(pauses) == 75 * HOUR_S + 35 * 60 + 5


def test_after_the_tenth_there_is_no_other():
    assert pause_s(10, None, lambda: 0.5) is None
    assert pause_s(10, 60.0, lambda: 0.5) is None


@pytest.mark.parametrize(("chance", "share"), [(0.0, 0.9), (0.5, 1.0), (1.0, 1.1)])
def test_jitter_is_a_tenth(chance, share):
    assert pause_s(2, None, lambda: chance) == pytest.approx(300 * share)


def test_a_receiver_gets_the_time_that_it_asks_for_but_never_less_than_the_schedule():
    assert pause_s(1, 120.0, lambda: 0.5) == 120
    assert pause_s(2, 1.0, lambda: 0.5) == 300


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.DELIVERED),
        (204, Outcome.DELIVERED),
        (299, Outcome.DELIVERED),
        (101, Outcome.FAILED),
        (301, Outcome.FAILED),
        (304, Outcome.FAILED),
        (400, Outcome.FAILED),
        (404, Outcome.FAILED),
        (410, Outcome.GONE),
        (429, Outcome.FAILED),
        (500, Outcome.FAILED),
        (None, Outcome.FAILED),
    ],
)
def test_f090_what_an_answer_says(status, outcome):
    assert outcome_of(status) is outcome


@pytest.mark.parametrize(
    ("status", "retry_after_s", "is_asked"),
    [
        (429, None, True),
        (502, None, True),
        (504, None, True),
        (500, None, False),
        (503, 5.0, True),
        (None, None, False),
    ],
)
def test_who_asks_for_time(status, retry_after_s, is_asked):
    assert asks_for_time(status, retry_after_s) is is_asked

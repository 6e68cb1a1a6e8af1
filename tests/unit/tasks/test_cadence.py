"""When to look, and when the time is over."""

import pytest

from yiapi.providers.contract import Status
from yiapi.tasks.cadence import Cadence, over_at

CADENCE = Cadence(0.5, 60.0)


@pytest.mark.parametrize(
    ("age_s", "pause_s"), [(0, 0.5), (1, 0.5), (4, 1.0), (40, 10.0), (240, 60.0), (7200, 60.0)], ids=str
)
def test_the_pause_is_a_quarter_of_the_age_between_floor_and_ceiling_with_jitter(age_s, pause_s):
    pauses = [CADENCE.pause_s(age_s, is_watched=False) for _ in range(200)]

    assert all(0.9 * pause_s <= pause <= 1.1 * pause_s for pause in pauses)
    assert max(pauses) - min(pauses) > 0.05 * pause_s


@pytest.mark.parametrize(("age_s", "most_s"), [(1, 0.55), (7200, 2.0)])
def test_a_task_that_a_caller_waits_for_is_looked_at_within_two_seconds(age_s, most_s):
    assert all(CADENCE.pause_s(age_s, is_watched=True) <= most_s for _ in range(200))


def over(status=Status.RUNNING, **times):
    given = {"created_at": 0, "started_at": 1_000, "succeeded_at": None, "finished_at": None, "deadline_at": 3_600_000}
    return over_at(status, **(given | times))


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (over(), 3_600_000),
        (over(Status.UNKNOWN), 301_000),
        (over(Status.UNKNOWN, started_at=None), 300_000),
        (over(Status.UNKNOWN, deadline_at=60_000), 60_000),
        (over(succeeded_at=3_599_000), 3_599_000 + 600_000),
        (over(succeeded_at=1_000_000), 3_600_000),
        (over(succeeded_at=3_600_001), 3_600_000),
        (over(Status.CANCELLED, finished_at=5_000), 5_000 + 3_600_000),
    ],
    ids=[
        "deadline",
        "unknown",
        "never started",
        "unknown with an early deadline",
        "seen just before",
        "seen early",
        "seen too late",
        "ended",
    ],
)
def test_a_task_ends_by_itself_at_its_time(case, expected):
    assert case == expected

"""Windows, where no database is needed: when one ends, that nobody asks for it, and what its vendor's word means."""

import pytest
from waiting_support import waiting

from yiapi.providers.contract import Status
from yiapi.providers.midjourney.answers import TASK
from yiapi.tasks.cadence import UNKNOWN_S, over_at
from yiapi.tasks.verdict import UNFILLED, Kind, verdict

TIMES = {"created_at": 0, "started_at": 1_000, "succeeded_at": None, "finished_at": None, "deadline_at": 3_600_000}


def test_only_an_open_window_is_not_asked_for():
    assert waiting(status="queued", window_until=60_000).is_window
    assert not waiting(status="unknown", window_until=60_000).is_window
    assert not waiting(status="queued").is_window


def test_a_filling_that_ended_unclear_is_asked_for_until_its_deadline():
    assert over_at(Status.UNKNOWN, **TIMES, window_until=900_000) == 3_600_000
    assert over_at(Status.UNKNOWN, **TIMES) == 1_000 + UNKNOWN_S * 1000


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("MODAL", Kind.UNFILLED),
        ("SUBMITTED", Kind.NEWS),
        ("IN_PROGRESS", Kind.NEWS),
        ("SUCCESS", Kind.SUCCEEDED),
        ("FAILURE", Kind.FAILED),
        ("?", Kind.ODD),
    ],
)
def test_anything_but_the_windows_word_means_that_it_was_filled(word, kind):
    found = verdict(
        TASK, {"id": "1", "status": word}, status=Status.UNKNOWN, progress=0, vendor_task_id="1", fills_window=True
    )

    assert found.kind is kind


def test_the_windows_word_of_another_task_is_no_window():
    found = verdict(TASK, {"id": "1", "status": "MODAL"}, status=Status.RUNNING, progress=0, vendor_task_id="1")

    assert found is not UNFILLED

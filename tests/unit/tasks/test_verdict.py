"""What an answer says about a task."""

import msgspec
import pytest

from yiapi.providers.contract import Status
from yiapi.providers.kling import TASK
from yiapi.tasks.verdict import ODD, SAME, Kind, percent_of, verdict
from yiapi.tasks.words import kept_text

RUNNING = {"status": Status.RUNNING, "progress": 0, "vendor_task_id": "v-1"}


def said(word, **data):
    return {"code": 0, "data": {"task_id": "v-1", "task_status": word} | data}


def test_an_answer_that_says_nothing_new_is_the_same():
    assert verdict(TASK, said("processing"), **RUNNING) is SAME


@pytest.mark.parametrize(
    "answer",
    [{}, {"data": None}, {"data": []}, said(None), said("dancing"), said(["processing"]), said({"a": 1}), said(7)],
    ids=str,
)
def test_an_answer_that_cannot_be_used_is_as_good_as_none(answer):
    assert verdict(TASK, answer, **RUNNING) is ODD


@pytest.mark.parametrize(
    ("word", "kind", "status"),
    [
        ("submitted", Kind.NEWS, Status.QUEUED),
        ("succeed", Kind.SUCCEEDED, Status.SUCCEEDED),
        ("failed", Kind.FAILED, Status.FAILED),
    ],
)
def test_a_word_of_the_vendor_is_one_of_our_states(word, kind, status):
    found = verdict(TASK, said(word), **RUNNING)

    assert (found.kind, found.status) == (kind, status)


def test_a_task_that_was_looked_for_is_found_with_the_vendors_id():
    unknown = {"status": Status.UNKNOWN, "progress": 0, "vendor_task_id": None}

    found = verdict(TASK, said("processing"), **unknown)

    assert (found.kind, found.vendor_task_id) == (Kind.NEWS, "v-1")
    for nothing in (None, "", {}, []):
        assert verdict(TASK, said("processing", task_id=nothing), **unknown) is ODD


@pytest.mark.parametrize(
    ("value", "percent"),
    [(46, 46), (46.9, 46), ("46%", 46), (" 46 ", 46), (100, 99), (10**30, 99), (-5, 0), ("100%", 99)],
)
def test_a_progress_is_read_as_number_or_text(value, percent):
    assert percent_of(value, 12) == percent


@pytest.mark.parametrize("value", [None, "", "soon", "4 6", "²", True, [], {}, float("nan"), "1e3", "-4"], ids=repr)
def test_a_progress_that_cannot_be_read_changes_nothing(value):
    assert percent_of(value, 12) == 12


def test_the_links_of_an_unfinished_task_are_not_kept():
    answer = said("processing", task_result={"videos": [{"url": "https://vendor"}]})

    kept = kept_text(TASK, answer, None, is_end=False)

    assert msgspec.json.decode(kept) == said("processing")

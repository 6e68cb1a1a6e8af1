"""Tasks in a dialect: every state has a word, and nothing of the vendor's shows before the end."""

import copy
import itertools

import msgspec
import pytest

from yiapi.providers.contract import Status, TaskView
from yiapi.providers.paths import read
from yiapi.providers.registry import Registry

SHAPES = {
    f"{served.name}": served.operation.task
    for served in Registry.discover().served.values()
    if served.operation.task is not None
}
LINK = "https://vendor.example/film.mp4"
OPEN = (Status.QUEUED, Status.SUBMITTING, Status.RUNNING, Status.UNKNOWN)


def view(status, answer=None, **fields):
    values = {
        "id": "our-id",
        "progress": 50,
        "external_id": None,
        "error_message": None,
        "created_at_ms": 1_795_000_000_000,
        "updated_at_ms": 1_795_000_001_000,
    }
    return TaskView(status=status, answer=answer, **(values | fields))


def test_states_are_open_or_final():
    assert [status for status in Status if not status.is_final] == list(OPEN)


@pytest.mark.parametrize("name", SHAPES)
def test_every_state_has_a_word_that_the_vendor_uses_itself(name):
    shape = SHAPES[name]

    assert set(shape.words) == set(Status)
    assert set(shape.words.values()) <= set(shape.statuses)
    assert shape.statuses[shape.words[Status.SUCCEEDED]] is Status.SUCCEEDED
    for status in (Status.FAILED, Status.CANCELLED, Status.EXPIRED):
        assert shape.statuses[shape.words[status]].is_final
        assert shape.words[status] != shape.words[Status.SUCCEEDED]
    for status in OPEN:
        assert not shape.statuses[shape.words[status]].is_final
    assert shape.words[Status.UNKNOWN] == shape.words[Status.SUBMITTING]


@pytest.mark.parametrize(("name", "status"), list(itertools.product(SHAPES, Status)))
def test_a_task_that_the_vendor_never_answered_for_can_be_shown(name, status):
    shape = SHAPES[name]

    body = shape.render(view(status), "req_1")

    assert read(body, shape.id) == "our-id"
    assert read(body, shape.status) == shape.words[status]
    msgspec.json.encode(body)


def put_file(holder, parts):
    """Put a link of the vendor at a path, making what is on the way."""
    first, *rest = parts
    if first == "[]":
        holder[:] = holder or [{} if rest else LINK]
    elif not rest:
        holder[first] = LINK
    else:
        holder.setdefault(first, [] if rest[0] == "[]" else {})
    if rest:
        put_file(holder[0] if first == "[]" else holder[first], rest)


@pytest.mark.parametrize(("name", "status"), list(itertools.product(SHAPES, Status)))
def test_results_are_shown_at_the_end_only(name, status):
    shape = SHAPES[name]
    answer = {}
    for path in shape.files:
        put_file(answer, path.replace("[]", ".[]").split("."))
    assert str(answer).count(LINK) == len(shape.files)

    body = shape.render(view(status, answer), "req_1")

    is_shown = LINK in msgspec.json.encode(body).decode()
    assert is_shown == (status is Status.SUCCEEDED)


@pytest.mark.parametrize("name", [name for name in SHAPES if SHAPES[name].reason])
def test_the_reason_of_an_end_is_shown_where_the_dialect_has_a_place_for_it(name):
    shape = SHAPES[name]

    body = shape.render(view(Status.FAILED, error_message="The result could not be fetched."), "req_1")

    assert read(body, shape.reason) == "The result could not be fetched."


@pytest.mark.parametrize("name", [name for name in SHAPES if SHAPES[name].external_id])
def test_a_callers_own_reference_is_echoed_and_ours_is_not_shown_in_its_place(name):
    shape = SHAPES[name]
    answer = shape.render(view(Status.QUEUED, external_id="theirs"), "req_1")
    assert read(answer, shape.external_id) == "theirs"

    body = shape.render(view(Status.QUEUED, copy.deepcopy(answer)), "req_1")

    assert read(body, shape.external_id) is None

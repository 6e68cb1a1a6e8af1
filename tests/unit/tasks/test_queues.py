"""Tasks come out of their queues in order, once, and at the cost of what is worth something."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting_support import waiting

from yiapi.tasks.queues import SLICE_S, Ends, NextLooks
from yiapi.tasks.waiting import GONE, NEVER

STEPS = st.lists(st.tuples(st.integers(0, 20), st.floats(0, 100), st.booleans()), max_size=200)


def play(queue, time, steps):
    """Push, push again and drop tasks; return those that wait, with their times."""
    tasks, last = {}, {}
    for number, at, is_gone in steps:
        task = tasks.setdefault(number, waiting(f"task-{number}"))
        if number in last:
            queue.stale()
        if is_gone:
            setattr(task, time, GONE)
            last.pop(number, None)
        else:
            last[number] = at
            setattr(task, time, at)
            queue.push(task)
    return {f"task-{number}": at for number, at in last.items()}


def drained(queue, until=1000.0):
    found = []
    while (task := queue.pop(until)) is not None:
        found.append(task)
    return found


@settings(deadline=None)
@given(STEPS)
def test_what_is_looked_at_comes_out_slice_by_slice_and_once(steps):
    queue = NextLooks()
    last = play(queue, "look_at", steps)

    assert queue.first() == min((at // SLICE_S * SLICE_S for at in last.values()), default=NEVER)
    found = drained(queue)
    assert sorted(task.id for task in found) == sorted(last)
    slices = [task.look_at // SLICE_S for task in found]
    assert slices == sorted(slices)
    assert len(queue) == 0


@settings(deadline=None)
@given(STEPS)
def test_what_ends_comes_out_in_order_and_once(steps):
    queue = Ends()
    last = play(queue, "ends_at", steps)

    assert queue.first() == min(last.values(), default=NEVER)
    found = {}
    ends = []
    for task in iter(lambda: queue.pop(1000.0), None):
        found[task.id] = task.ends_at
        ends.append(task.ends_at)
        task.ends_at = GONE
    assert found == last
    assert ends == sorted(ends)


@pytest.mark.parametrize(("queue", "time"), [(NextLooks(), "look_at"), (Ends(), "ends_at")])
def test_nothing_comes_out_before_its_time(queue, time):
    task = waiting()
    setattr(task, time, 5.0)
    queue.push(task)

    assert queue.pop(4.9) is None
    assert queue.pop(5.0) is task
    assert queue.pop(1000.0) is None


def test_a_task_that_is_asked_for_is_not_taken_out_a_second_time():
    queue, task = NextLooks(), waiting(look_at=5.0)
    queue.push(task)
    queue.push(task)

    assert queue.pop(5.0) is task
    assert task.is_busy
    assert queue.pop(5.0) is None


@pytest.mark.parametrize(("queue", "time"), [(NextLooks(), "look_at"), (Ends(), "ends_at")])
def test_what_has_ended_is_thrown_away_long_before_its_time(queue, time):
    for number in range(10_000):
        task = waiting(f"task-{number}")
        setattr(task, time, 50.0 + number)
        queue.push(task)
        setattr(task, time, GONE)
        queue.stale()

    assert len(queue) < 200

"""The heaps of waiting tasks: in order, without those that are gone, and without growing by what has passed."""

from hypothesis import given, settings
from hypothesis import strategies as st
from waiting_support import waiting

from yiapi.tasks.waiting import GONE, NEVER, Heap


def test_times_of_the_database_become_times_of_the_monotonic_clock():
    task = waiting(watched_until=15_000)

    assert (task.began_at, task.ends_at, task.watched_until) == (92.0, 150.0, 105.0)
    assert waiting(watched_until=9_000).watched_until == GONE


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.floats(0, 100), st.booleans()), max_size=200))
def test_what_waits_comes_out_in_order_and_once(steps):
    heap, tasks, last = Heap("look_at"), {}, {}
    for number, at, is_gone in steps:
        task = tasks.setdefault(number, waiting(f"task-{number}"))
        if number in last:
            heap.stale()
        if is_gone:
            task.look_at = GONE
            last.pop(number, None)
        else:
            task.look_at = at + number / 1000 + len(last) / 1e6
            last[number] = task.look_at
            heap.push(task)

    assert heap.first() == min(last.values(), default=NEVER)
    found = []
    while (task := heap.pop(1000.0)) is not None:
        found.append((task.look_at, task.id))
        task.look_at = GONE
    assert found == sorted((at, f"task-{number}") for number, at in last.items())


def test_nothing_comes_out_before_its_time():
    heap = Heap("look_at")
    heap.push(waiting(look_at=5.0))

    assert heap.pop(4.9) is None
    assert heap.pop(5.0).id == "task-1"
    assert heap.pop(1000.0) is None


def test_what_has_ended_is_thrown_away_long_before_its_time():
    heap = Heap("ends_at")
    for number in range(10_000):
        task = waiting(f"task-{number}")
        heap.push(task)
        task.ends_at = GONE
        heap.stale()

    assert len(heap) < 200

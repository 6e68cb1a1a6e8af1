"""The heaps of waiting tasks: in order, without those that are gone, and without growing by what has passed."""

from waiting_support import waiting

from yiapi.tasks.waiting import GONE


def test_times_of_the_database_become_times_of_the_monotonic_clock():
    task = waiting(watched_until=15_000)

    assert (task.began_at, task.ends_at, task.watched_until) == (92.0, 150.0, 105.0)
    assert waiting(watched_until=9_000).watched_until == GONE

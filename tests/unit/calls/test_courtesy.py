"""A settler lets others go first while it keeps up, and no longer when it is late."""

from pathlib import Path

import pytest

from yiapi.calls.courtesy import HURRY_S, HURRY_S_MAX, LATE_BATCHES, LATE_S, NICE, Courtesy


@pytest.fixture
def group(tmp_path):
    return tmp_path / "autogroup"


def be_late(courtesy, now):
    for _ in range(LATE_BATCHES):
        courtesy.note(LATE_S * 1.01, now)


def test_it_begins_behind_the_others(group):
    Courtesy(group)

    assert group.read_text() == str(NICE)


def test_one_that_keeps_up_stays_behind(group):
    courtesy = Courtesy(group)
    group.unlink()

    for now in range(100):
        courtesy.note(LATE_S, float(now))

    assert not group.exists()


def test_one_that_is_late_several_times_is_an_equal(group):
    courtesy = Courtesy(group)

    be_late(courtesy, 100.0)

    assert group.read_text() == "0"


def test_single_late_batches_change_nothing(group):
    courtesy = Courtesy(group)

    for now in range(100):
        courtesy.note(1.0 if now % LATE_BATCHES else 0.0, float(now))

    assert group.read_text() == str(NICE)


def test_it_goes_behind_again_after_a_while(group):
    courtesy = Courtesy(group)
    be_late(courtesy, 100.0)

    courtesy.note(0.0, 100.0 + HURRY_S - 0.1)
    before = group.read_text()
    courtesy.note(0.0, 100.0 + HURRY_S)

    assert (before, group.read_text()) == ("0", str(NICE))


def test_one_that_is_late_whenever_it_goes_behind_does_so_ever_more_seldom(group):
    courtesy, now, changes = Courtesy(group), 100.0, []

    while now < 1100.0:
        is_behind = group.read_text() == str(NICE)
        if is_behind:
            be_late(courtesy, now)
        else:
            courtesy.note(0.0, now)
        changes += [now] if (group.read_text() == str(NICE)) != is_behind else []
        now += 0.25

    hurries = [until - since for since, until in zip(changes[::2], changes[1::2], strict=False)]
    assert hurries[:7] == [1, 2, 4, 8, 16, 32, 64]
    assert set(hurries[7:]) == {HURRY_S_MAX}


def test_a_moment_long_after_the_last_one_is_as_the_first(group):
    courtesy = Courtesy(group)
    for now in (100.0, 101.0, 103.0, 107.0):
        be_late(courtesy, now)
        courtesy.note(0.0, now)

    courtesy.note(0.0, 200.0)
    be_late(courtesy, 300.0)
    courtesy.note(0.0, 300.0 + HURRY_S)

    assert group.read_text() == str(NICE)


def test_where_there_are_no_groups_nothing_happens(tmp_path):
    courtesy = Courtesy(tmp_path / "nowhere" / "autogroup")

    be_late(courtesy, 100.0)
    courtesy.note(0.0, 200.0)

    assert not (tmp_path / "nowhere").exists()


class Busy(type(Path())):
    """A group that takes no changes for now."""

    is_busy = True

    def write_text(self, text):
        if self.is_busy:
            raise BlockingIOError
        return super().write_text(text)


@pytest.mark.parametrize(("late_s", "nice"), [(0.0, str(NICE)), (1.0, "0")], ids=["behind", "equal"])
def test_a_change_that_came_too_soon_is_made_the_next_time(tmp_path, late_s, nice):
    group = Busy(tmp_path / "autogroup")
    group.is_busy = late_s == 0.0
    courtesy = Courtesy(group)
    group.is_busy = True
    be_late(courtesy, 100.0) if late_s else courtesy.note(0.0, 100.0)
    group.is_busy = False

    courtesy.note(0.0, 100.1)

    assert group.read_text() == nice

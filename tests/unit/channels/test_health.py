"""Which channel to try next: circuits, probes, cooling, places, weights and priorities, with a clock that is turned."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yiapi.channels import Health
from yiapi.channels.health import (
    ALL_OUT_EJECTION_S,
    CONSECUTIVE_FAILURES_MAX,
    EJECTION_MAX_S,
    EJECTION_S,
    JITTER_SHARE,
    WINDOW_REQUESTS_MIN,
)
from yiapi.clock import ManualClock

OUT_S = EJECTION_S * (1 + JITTER_SHARE)  # by then a first ejection is over


@pytest.fixture
def health(clock) -> Health:
    return Health(clock, Random(7))


@pytest.fixture
def call(health):
    """Make calls on a channel, one after the other, that end alike."""

    def make(channel, *outcomes):
        for outcome in outcomes:
            assert health.begin(channel)
            health.end(channel, outcome)

    return make


@pytest.fixture
def break_(call):
    """Take a channel out of use."""
    return lambda channel: call(channel, *["failure"] * CONSECUTIVE_FAILURES_MAX)


def ids(channels):
    return [channel.id for channel in channels]


def state(health, channel):
    return next(one for one in health.states() if one.channel_id == channel.id)


@pytest.fixture
def trio(new_channel):
    return [new_channel(f"chan_{letter}") for letter in "abc"]


# Circuits


def test_five_failures_in_a_row_take_a_channel_out(health, trio, call):
    call(trio[0], *["failure"] * 4)
    assert "chan_a" in ids(health.order(trio, tried=set()))

    call(trio[0], "failure")

    assert ids(sorted(health.order(trio, tried=set()), key=lambda one: one.id)) == ["chan_b", "chan_c"]
    assert state(health, trio[0]).circuit == "open"


def test_a_success_between_them_starts_the_row_anew(health, trio, call):
    call(trio[0], *["failure"] * 4, "success", *["failure"] * 4)

    assert state(health, trio[0]).circuit == "closed"


def test_what_says_nothing_about_a_channel_neither_breaks_nor_mends_a_row(health, trio, call):
    call(trio[0], *["neutral"] * 50)
    assert state(health, trio[0]).circuit == "closed"

    call(trio[0], *["failure"] * 4, "neutral", "failure")

    assert state(health, trio[0]).circuit == "open"


def test_f070_a_third_of_twenty_calls_takes_a_channel_out(health, trio, call):
    call(trio[0], *(["failure"] + ["success"] * 2) * 6)
    assert state(health, trio[0]).circuit == "closed", "eighteen calls are too few to judge by"

    call(trio[0], "success", "success")

    assert state(health, trio[0]).circuit == "open"


def test_fewer_failures_than_thirty_in_a_hundred_are_borne(health, trio, call):
    call(trio[0], *(["failure"] * 2 + ["success"] * 5) * 20)

    assert state(health, trio[0]).circuit == "closed"


def test_failures_of_more_than_thirty_seconds_ago_are_forgotten(health, trio, call, clock):
    call(trio[0], *["failure", "success"] * 9)
    clock.turn(31)

    call(trio[0], *["success"] * WINDOW_REQUESTS_MIN)

    assert state(health, trio[0]).circuit == "closed"


def test_a_channel_is_out_for_thirty_seconds_and_a_little(health, trio, break_, clock):
    break_(trio[0])
    returns_s = state(health, trio[0]).returns_s
    assert EJECTION_S <= returns_s <= OUT_S

    clock.turn(returns_s - 0.01)
    assert "chan_a" not in ids(health.order(trio, tried=set()))
    clock.turn(0.01)
    assert "chan_a" in ids(health.order(trio, tried=set()))


def test_p9_a_dead_channel_is_out_after_five_calls(health, trio, call):
    dead = trio[0]
    reached = 0
    for _ in range(200):
        channel = health.order(trio, tried=set())[0]
        reached += channel is dead
        call(channel, "failure" if channel is dead else "success")

    assert reached == CONSECUTIVE_FAILURES_MAX


# Probes


def test_one_probe_at_a_time_finds_out_whether_a_channel_is_back(health, trio, break_, clock):
    broken = trio[0]
    break_(broken)
    clock.turn(OUT_S)

    assert health.begin(broken)

    assert state(health, broken).circuit == "half_open"
    assert "chan_a" not in ids(health.order(trio, tried=set()))
    assert not health.begin(broken)


def test_a_probe_that_works_brings_the_channel_back(health, trio, break_, call, clock):
    break_(trio[0])
    clock.turn(OUT_S)

    call(trio[0], "success")

    assert state(health, trio[0]).circuit == "closed"
    assert "chan_a" in ids(health.order(trio, tried=set()))
    call(trio[0], *["failure"] * 4)
    assert state(health, trio[0]).circuit == "closed", "what was before is forgotten"


def test_a_probe_that_says_nothing_makes_room_for_the_next(health, trio, break_, call, clock):
    break_(trio[0])
    clock.turn(OUT_S)

    call(trio[0], "neutral")

    assert state(health, trio[0]).circuit == "half_open"
    assert health.begin(trio[0])


def test_each_probe_that_fails_keeps_a_channel_out_for_longer_up_to_five_minutes(health, trio, break_, call, clock):
    break_(trio[0])
    for number in range(2, 15):
        clock.turn(state(health, trio[0]).returns_s)
        call(trio[0], "failure")

        wait_s = min(EJECTION_S * number, EJECTION_MAX_S)
        assert wait_s <= state(health, trio[0]).returns_s <= wait_s * (1 + JITTER_SHARE)
        assert state(health, trio[0]).ejections == number


def test_a_channel_that_breaks_soon_after_its_return_is_out_for_longer(health, trio, break_, call, clock):
    break_(trio[0])
    clock.turn(OUT_S)
    call(trio[0], "success")
    clock.turn(10)

    break_(trio[0])

    assert state(health, trio[0]).ejections == 2


def test_a_channel_that_worked_for_a_while_begins_anew(health, trio, break_, call, clock):
    break_(trio[0])
    clock.turn(OUT_S)
    call(trio[0], "success")
    clock.turn(60)

    break_(trio[0])

    assert state(health, trio[0]).ejections == 1


def test_a_call_that_had_begun_before_is_no_probe(health, trio, break_, clock):
    slow = trio[0]
    health.begin(slow)
    break_(slow)

    health.end(slow, "success")

    assert state(health, slow).circuit == "open"
    assert state(health, slow).in_flight == 0


def test_jitter_parts_channels_that_broke_together(health, new_channel, break_):
    several = [new_channel(f"chan_{number}") for number in range(20)]
    for channel in several[:8]:
        break_(channel)

    assert len({one.returns_s for one in health.states()}) == 8


# When most are out


def test_if_more_than_half_are_out_all_are_used_again_those_last(health, trio, break_):
    break_(trio[0])
    break_(trio[1])

    order = ids(health.order(trio, tried=set()))

    assert order[0] == "chan_c"
    assert set(order[1:]) == {"chan_a", "chan_b"}
    assert all(health.begin(channel) for channel in trio * 3)


def test_half_is_not_most(health, new_channel, break_):
    pair = [new_channel("chan_a"), new_channel("chan_b")]
    break_(pair[0])

    assert ids(health.order(pair, tried=set())) == ["chan_b"]


def test_a_needed_channel_that_works_is_in_again(health, trio, break_, call):
    break_(trio[0])
    break_(trio[1])
    health.order(trio, tried=set())

    call(trio[0], "success")

    assert state(health, trio[0]).circuit == "closed"


def test_a_needed_channel_that_fails_again_is_not_out_for_longer(health, trio, break_, call):
    break_(trio[0])
    break_(trio[1])
    health.order(trio, tried=set())
    before = state(health, trio[0]).returns_s

    call(trio[0], "failure", "failure")

    assert state(health, trio[0]).returns_s == before
    assert state(health, trio[0]).ejections == 1


def test_f069_if_all_are_out_nobody_is_called_until_it_is_time(health, trio, break_, clock):
    for channel in trio:
        break_(channel)

    assert health.order(trio, tried=set()) == []
    assert ALL_OUT_EJECTION_S <= health.shortest_return(trio) <= ALL_OUT_EJECTION_S * (1 + JITTER_SHARE)


def test_if_all_are_out_each_gets_one_probe_before_thirty_seconds_are_over(health, trio, break_, call, clock):
    for channel in trio:
        break_(channel)
    clock.turn(ALL_OUT_EJECTION_S * (1 + JITTER_SHARE))

    probes = health.order(trio, tried=set())

    assert len(probes) == 3
    assert health.begin(probes[0])
    assert not health.begin(probes[0])
    health.end(probes[0], "success")
    assert state(health, probes[0]).circuit == "closed"


def test_the_only_channel_comes_back_by_a_probe_too(health, new_channel, break_, clock):
    only = new_channel()
    break_(only)
    assert health.order([only], tried=set()) == []

    clock.turn(ALL_OUT_EJECTION_S * (1 + JITTER_SHARE))

    assert ids(health.order([only], tried=set())) == ["chan_1"]


# Cooling


@pytest.mark.parametrize(("stated", "wait_s"), [(None, 1.0), (7.5, 7.5), (0.0, 0.0), (-3.0, 0.0), (9999.0, 300.0)])
def test_f058_a_channel_cools_for_the_stated_time(health, trio, clock, stated, wait_s):
    health.cool(trio[0], stated)

    assert state(health, trio[0]).cooled_s == wait_s
    assert ("chan_a" in ids(health.order(trio, tried=set()))) == (wait_s == 0)
    clock.turn(wait_s)
    assert "chan_a" in ids(health.order(trio, tried=set()))


def test_a_shorter_time_does_not_end_a_longer_one(health, trio):
    health.cool(trio[0], 30)
    health.cool(trio[0], 1)

    assert state(health, trio[0]).cooled_s == 30


def test_f058_if_all_cool_the_shortest_wait_is_told(health, trio):
    for channel, wait_s in zip(trio, (30, 4, 9), strict=True):
        health.cool(channel, wait_s)

    assert health.order(trio, tried=set()) == []
    assert health.shortest_wait(trio) == 4


def test_nobody_is_told_to_wait_while_one_does_not_cool(health, trio):
    health.cool(trio[0], 30)

    assert health.shortest_wait(trio) is None
    assert health.shortest_wait([]) is None


def test_cooling_does_not_count_against_a_channel(health, trio, call):
    for _ in range(50):
        call(trio[0], "neutral")
        health.cool(trio[0], 0)

    assert state(health, trio[0]).circuit == "closed"


# Places


def test_a_full_channel_is_passed_over_and_blocks_nobody(health, new_channel):
    narrow, wide = new_channel("chan_narrow", parallel_max=2, priority=1), new_channel("chan_wide")
    assert health.begin(narrow)
    assert health.begin(narrow)

    assert ids(health.order([narrow, wide], tried=set())) == ["chan_wide"]
    assert not health.begin(narrow)
    assert health.begin(wide)


def test_a_place_is_free_again_when_its_call_has_ended(health, new_channel):
    narrow = new_channel(parallel_max=1)
    health.begin(narrow)

    health.end(narrow, "neutral")

    assert health.begin(narrow)
    assert state(health, narrow).in_flight == 1


# Whom to try


def test_a_channel_that_was_tried_is_not_tried_again(health, trio):
    assert ids(health.order(trio, tried={"chan_a", "chan_c"})) == ["chan_b"]
    assert health.order(trio, tried={"chan_a", "chan_b", "chan_c"}) == []


def test_priority_goes_before_weight(health, new_channel):
    first, second = new_channel("chan_first", priority=5, weight=1), new_channel("chan_second", weight=1000)

    assert {tuple(ids(health.order([second, first], tried=set()))) for _ in range(50)} == {
        ("chan_first", "chan_second")
    }


def test_among_equals_calls_go_by_weight(health, new_channel):
    light, heavy = new_channel("chan_light", weight=1), new_channel("chan_heavy", weight=3)

    firsts = Counter(health.order([light, heavy], tried=set())[0].id for _ in range(4000))

    assert 0.70 < firsts["chan_heavy"] / 4000 < 0.80


def test_a_weight_of_zero_is_for_when_nobody_else_is_left(health, new_channel, break_):
    spare, others = new_channel("chan_spare", weight=0), [new_channel("chan_a"), new_channel("chan_b")]

    assert {health.order([spare, *others], tried=set())[-1].id for _ in range(50)} == {"chan_spare"}
    assert ids(health.order([spare, *others], tried={"chan_a", "chan_b"})) == ["chan_spare"]


# The sandbox


def test_a_sandbox_channel_has_no_memory(health, new_channel, call):
    sandbox = new_channel("chan_sandbox_openai", is_sandbox=True, mode="test", parallel_max=1)

    call(sandbox, *["failure"] * 50)
    health.cool(sandbox, 300)
    for _ in range(5):
        assert health.begin(sandbox)

    assert ids(health.order([sandbox], tried=set())) == ["chan_sandbox_openai"]
    assert health.shortest_wait([sandbox]) is None
    assert health.shortest_return([sandbox]) is None
    assert health.states() == []


# Whatever happens

steps = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["begin", "success", "failure", "neutral", "cool", "turn", "order"])),
    max_size=120,
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_whatever_happens_places_are_counted_and_somebody_comes_back(new_channel, steps):
    clock = ManualClock()
    health = Health(clock, Random(1))
    channels = [new_channel(f"chan_{number}", parallel_max=3) for number in range(3)]
    running = [0, 0, 0]
    for number, step in steps:
        channel = channels[number]
        if step == "begin":
            running[number] += health.begin(channel)
        elif step == "cool":
            health.cool(channel, 2)
        elif step == "turn":
            clock.turn(3)
        elif step == "order":
            order = health.order(channels, tried=set())
            assert len(set(ids(order))) == len(order)
        elif running[number]:
            running[number] -= 1
            health.end(channel, step)
    assert all(running[int(one.channel_id[-1])] == one.in_flight for one in health.states())
    for number, channel in enumerate(channels):
        for _ in range(running[number]):
            health.end(channel, "neutral")
    clock.turn(EJECTION_MAX_S * (1 + JITTER_SHARE))
    assert len(health.order(channels, tried=set())) == 3

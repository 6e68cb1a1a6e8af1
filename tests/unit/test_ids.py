"""Ids of our own."""

import re
import time

from yiapi.ids import new_id


def test_an_id_says_what_it_names_and_has_a_time_and_128_random_bits():
    assert re.fullmatch(r"req_[0-9a-f]{14}[0-9a-f]{32}", new_id("req"))


def test_ids_sort_as_they_were_made():
    made = [new_id("req") for _ in range(2000)]

    assert made == sorted(made)


def test_ids_sort_by_their_time_over_a_restart():
    earlier = f"req_{(time.time_ns() - 3600 * 10**9) >> 8:014x}" + "f" * 32

    assert earlier < new_id("req")


def test_a_clock_that_goes_back_does_not_turn_the_order_round(monkeypatch):
    before = new_id("req")
    monkeypatch.setattr(time, "time_ns", lambda: 0)

    assert before < new_id("req") < new_id("req")


def test_the_random_part_is_never_the_same():
    assert len({new_id("x")[-32:] for _ in range(1000)}) == 1000

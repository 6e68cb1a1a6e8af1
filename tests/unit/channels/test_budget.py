"""P10: retries make no storm."""

import pytest

from yiapi.channels import RetryBudget

GROUP = ("openai", "live")


@pytest.fixture
def budget(clock) -> RetryBudget:
    return RetryBudget(clock)


def test_retries_are_a_tenth_of_the_requests_of_the_last_minute(budget):
    for _ in range(1000):
        budget.note_request(GROUP)

    assert sum(budget.may_retry(GROUP) for _ in range(1000)) == 100


def test_without_many_requests_there_is_one_retry_a_second(budget, clock):
    budget.note_request(GROUP)

    assert [budget.may_retry(GROUP) for _ in range(3)] == [True, False, False]
    clock.turn(0.999)
    assert not budget.may_retry(GROUP)
    clock.turn(0.001)
    assert budget.may_retry(GROUP)


def test_p10_a_failing_provider_sees_no_more_than_a_tenth_above_what_callers_ask(budget, clock):
    """Twenty requests a second for three minutes, and every attempt fails."""
    retries = 0
    for _ in range(20 * 180):
        budget.note_request(GROUP)
        retries += budget.may_retry(GROUP)
        clock.turn(0.05)

    assert retries <= 0.1 * 20 * 180 + 60  # the floor counts until the first minute is full


def test_the_floor_adds_nothing_where_the_tenth_is_more(budget, clock):
    for _ in range(600):
        budget.note_request(GROUP)
        clock.turn(0.05)
    spent = sum(budget.may_retry(GROUP) for _ in range(1000))

    clock.turn(1)

    assert spent == 60
    assert not budget.may_retry(GROUP)


def test_what_is_a_minute_old_no_longer_counts(budget, clock):
    for _ in range(1000):
        budget.note_request(GROUP)
    for _ in range(100):
        assert budget.may_retry(GROUP)
    clock.turn(61)

    assert [budget.may_retry(GROUP), budget.may_retry(GROUP)] == [True, False]


def test_retries_that_were_spent_come_back_with_the_requests(budget, clock):
    for _ in range(100):
        budget.note_request(GROUP)
    assert sum(budget.may_retry(GROUP) for _ in range(50)) == 10
    clock.turn(61)
    for _ in range(100):
        budget.note_request(GROUP)

    assert sum(budget.may_retry(GROUP) for _ in range(50)) == 10


def test_each_provider_and_mode_has_a_budget_of_its_own(budget):
    assert budget.may_retry(GROUP)
    assert not budget.may_retry(GROUP)

    assert budget.may_retry(("kling", "live"))


def test_the_sandbox_budgets_nothing(budget):
    assert all(budget.may_retry(("openai", "test")) for _ in range(1000))
    assert budget.may_retry(GROUP), "and takes nothing from anybody"


def test_a_long_pause_is_no_trouble(budget, clock):
    budget.note_request(GROUP)
    clock.turn(10_000_000)

    assert budget.may_retry(GROUP)

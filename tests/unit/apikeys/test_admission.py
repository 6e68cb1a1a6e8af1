"""How much a key and its account may do at once and in a minute, with a clock that is turned."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yiapi.apikeys.admission import Admission
from yiapi.apikeys.models import Account, Key
from yiapi.clock import ManualClock
from yiapi.errors import RateLimited


@pytest.fixture
def admission(clock) -> Admission:
    return Admission(clock)


def refused(admission, key, tokens=0):
    with pytest.raises(RateLimited) as error:
        admission.admit(key, tokens)
    return error.value


def names(slot):
    return {name.decode(): value.decode() for name, value in slot.headers}


# At once


def test_an_account_runs_so_many_requests_at_once_and_not_one_more(admission, key_with, new_account):
    keys = [key_with(id=f"key_{number}", account=new_account(parallel_max=3)) for number in range(4)]
    slots = [admission.admit(key, 0) for key in keys[:3]]

    assert refused(admission, keys[3]).retry_after_s == 1.0
    slots[0].release()
    admission.admit(keys[3], 0)


def test_a_place_is_given_back_once(admission, key_with, new_account):
    key = key_with(account=new_account(parallel_max=2), parallel_max=2)
    slot = admission.admit(key, 0)
    admission.admit(key, 0)

    slot.release()
    slot.release()

    admission.admit(key, 0)
    refused(admission, key)


def test_live_and_test_are_counted_apart(admission, key_with, new_account):
    account = new_account(parallel_max=1)
    admission.admit(key_with(account=account), 0)

    admission.admit(key_with(id="key_2", account=account, mode="test"), 0)


def test_one_account_takes_nothing_from_another(admission, key_with, new_account):
    admission.admit(key_with(account=new_account(parallel_max=1)), 0)

    admission.admit(key_with(account=new_account(id="acct_2", parallel_max=1)), 0)


def test_a_keys_own_limit_counts_beside_the_accounts(admission, key_with, new_account):
    narrow = key_with(parallel_max=1)
    admission.admit(narrow, 0)

    assert "API key" in refused(admission, narrow).message
    admission.admit(key_with(id="key_2"), 0)


def test_a_refusal_takes_no_place_anywhere(admission, key_with, new_account):
    account = new_account(parallel_max=2)
    narrow = key_with(account=account, parallel_max=1)
    admission.admit(narrow, 0)
    for _ in range(5):
        refused(admission, narrow)

    admission.admit(key_with(id="key_2", account=account), 0)


def test_an_account_without_a_place_admits_nobody(admission, key_with, new_account):
    refused(admission, key_with(account=new_account(parallel_max=0)))


def test_a_key_of_the_operator_has_no_account_to_count(admission, key_with):
    assert admission.admit(key_with(account=None, mode="admin"), 0).headers == ()


# In a minute


def test_so_many_requests_a_minute_and_the_next_when_the_oldest_is_a_minute_old(admission, key_with, clock):
    key = key_with(requests_per_minute=2)
    admission.admit(key, 0)
    clock.turn(20)
    admission.admit(key, 0)
    clock.turn(10)

    assert refused(admission, key).retry_after_s == 30.0
    clock.turn(30)
    admission.admit(key, 0)
    assert refused(admission, key).retry_after_s == 20.0


def test_requests_are_counted_in_a_moving_minute_and_not_by_the_clock(admission, key_with, clock):
    key = key_with(requests_per_minute=10)
    clock.turn(59)
    for _ in range(10):
        admission.admit(key, 0)
    clock.turn(2)

    refused(admission, key)


def test_tokens_are_counted_by_what_a_call_may_use(admission, key_with, clock):
    key = key_with(tokens_per_minute=1000)
    admission.admit(key, 600)
    clock.turn(15)

    assert refused(admission, key, 401).retry_after_s == 45.0
    admission.admit(key, 400)


def test_a_wait_is_as_long_as_it_takes_until_enough_is_free(admission, key_with, clock):
    key = key_with(tokens_per_minute=100)
    for used in (10, 20, 70):
        admission.admit(key, used)
        clock.turn(10)

    assert refused(admission, key, 10).retry_after_s == 30.0
    assert refused(admission, key, 11).retry_after_s == 40.0
    assert refused(admission, key, 100).retry_after_s == 50.0


def test_a_call_above_the_whole_limit_is_not_told_to_wait(admission, key_with):
    error = refused(admission, key_with(tokens_per_minute=100), 101)

    assert error.retry_after_s is None
    assert "100 tokens per minute" in error.message


def test_a_call_takes_from_both_minutes_or_from_neither(admission, key_with):
    key = key_with(requests_per_minute=2, tokens_per_minute=100)
    for _ in range(5):
        refused(admission, key, 101)

    admission.admit(key, 50)
    admission.admit(key, 50)


def test_a_call_refused_for_its_rate_takes_no_place(admission, key_with, new_account, clock):
    key = key_with(account=new_account(parallel_max=2), requests_per_minute=1)
    admission.admit(key, 0)
    for _ in range(5):
        refused(admission, key)
    clock.turn(60)

    admission.admit(key, 0)


def test_two_keys_have_a_minute_each(admission, key_with):
    admission.admit(key_with(requests_per_minute=1), 0)

    admission.admit(key_with(id="key_2", requests_per_minute=1), 0)


def test_an_answer_says_what_is_left_of_each_limit(admission, key_with, clock):
    key = key_with(requests_per_minute=5, tokens_per_minute=1000)
    admission.admit(key, 300)
    clock.turn(20.5)

    assert names(admission.admit(key, 200)) == {
        "x-ratelimit-limit-requests": "5",
        "x-ratelimit-remaining-requests": "3",
        "x-ratelimit-reset-requests": "60s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "500",
        "x-ratelimit-reset-tokens": "60s",
    }


def test_an_answer_says_nothing_where_no_limit_applies(admission, key_with):
    assert admission.admit(key_with(parallel_max=1), 300).headers == ()


calls = st.lists(st.tuples(st.integers(0, 160).map(lambda quarters: quarters / 4), st.integers(0, 60)), max_size=40)


@settings(max_examples=50)
@given(calls)
def test_no_minute_ever_has_more_than_its_limits_and_no_call_is_refused_that_would_fit(calls):
    clock = ManualClock()
    admission = Admission(clock)
    account = Account("acct_1", "a", "active", "default", 1000, 1000)
    key = Key("key_1", account, "live", "key", "", requests_per_minute=4, tokens_per_minute=100)
    admitted: list[tuple[float, int]] = []
    for pause, tokens in calls:
        clock.turn(pause)
        now = clock.monotonic()
        recent = [used for at, used in admitted if at > now - 60]
        fits = len(recent) + 1 <= 4 and sum(recent) + tokens <= 100
        if fits:
            admission.admit(key, tokens)
            admitted.append((now, tokens))
        else:
            assert 0 < refused(admission, key, tokens).retry_after_s <= 60

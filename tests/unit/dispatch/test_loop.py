"""The attempt loop by the table of faults: where it is tried again, and what it does to the channel."""

import asyncio

import pytest

from yiapi.dispatch import ATTEMPTS_MAX, POLICIES, AttemptFailed, Dispatcher, Unclear
from yiapi.errors import (
    NoChannelAvailable,
    RateLimited,
    UpstreamFailed,
    UpstreamInvalid,
    UpstreamTimeout,
    VendorRefusal,
    VendorWords,
)
from yiapi.providers.contract import Fault

from .conftest import channel_of


@pytest.fixture
def pair(group):
    """Two channels; the first one has the higher priority."""
    group.channels = [channel_of("a", priority=1), channel_of("b")]
    return group.channels


@pytest.fixture
def only(group):
    group.channels = [channel_of("a")]
    return group.channels[0]


def state(dispatcher, channel_id):
    return next(one for one in dispatcher.health.states() if one.channel_id == channel_id)


def failures(dispatcher, channel_id):
    return dispatcher.health._states[channel_id].sum_failures


# What works


async def test_the_best_channel_is_asked_once(dispatcher, pair, vendors, errand):
    call = errand()

    won = await dispatcher.run(call, vendors)

    assert (won.value, won.channel.id) == ("answer of a", "a")
    assert vendors.asked == ["a"]
    assert [(one.channel_id, one.credential_id, one.fault) for one in call.attempts] == [("a", "cred_a", None)]
    assert state(dispatcher, "a").in_flight == 0


async def test_each_attempt_is_noted_with_what_went_wrong_and_how_long_it_took(
    dispatcher, pair, vendors, errand, clock
):
    call = errand()
    failed = AttemptFailed(Fault.UNAVAILABLE, status=503, words=VendorWords("busy" * 500))

    async def attempt(channel, credential):
        clock.turn(1.5)
        if channel.id == "a":
            raise failed
        return "answer"

    won = await dispatcher.run(call, attempt)

    first, second = call.attempts
    assert (first.fault, first.http_status, first.duration_ms) == (Fault.UNAVAILABLE, 503, 1500)
    assert first.detail.startswith("busybusy")
    assert len(first.detail) == 500
    assert (second.fault, second.duration_ms) == (None, 1500)
    assert won.attempt is second


async def test_credentials_of_a_channel_take_turns(dispatcher, group, vendors, errand):
    several = tuple(channel_of(name).credentials[0] for name in "xyz")
    group.channels = [channel_of("a", credentials=several)]

    for _ in range(6):
        await dispatcher.run(errand(), vendors)

    assert sorted(vendors.shown[:3]) == ["secret-of-x", "secret-of-y", "secret-of-z"]
    assert vendors.shown[3:] == vendors.shown[:3]


# By the table of faults

ELSEWHERE = [
    Fault.UNAVAILABLE,
    Fault.TIMEOUT,
    Fault.MALFORMED,
    Fault.RATE_LIMITED,
    Fault.CREDENTIAL,
    Fault.UPSTREAM_CREDIT,
]
NOWHERE = [Fault.INVALID_REQUEST, Fault.CONTENT_BLOCKED, Fault.NOT_FOUND, Fault.UNKNOWN]


def test_every_fault_has_its_row():
    assert set(POLICIES) == set(Fault) == {*ELSEWHERE, *NOWHERE}


@pytest.mark.parametrize("fault", ELSEWHERE)
async def test_what_is_the_channels_trouble_is_tried_elsewhere(dispatcher, pair, vendors, errand, fault):
    vendors.script = {"a": [fault]}

    won = await dispatcher.run(errand(), vendors)

    assert won.value == "answer of b"
    assert vendors.asked == ["a", "b"]


@pytest.mark.parametrize("fault", NOWHERE)
async def test_what_is_the_callers_trouble_is_tried_nowhere(dispatcher, pair, vendors, errand, fault):
    vendors.script = {"a": [fault]}

    with pytest.raises((VendorRefusal, UpstreamFailed)):
        await dispatcher.run(errand(), vendors)

    assert vendors.asked == ["a"]


@pytest.mark.parametrize(
    ("fault", "counts"),
    [(fault, fault in {Fault.UNAVAILABLE, Fault.TIMEOUT, Fault.MALFORMED}) for fault in Fault],
)
async def test_only_what_tells_of_a_broken_channel_counts_against_it(dispatcher, pair, vendors, errand, fault, counts):
    vendors.script = {"a": [fault]}

    await asyncio.gather(dispatcher.run(errand(), vendors), return_exceptions=True)

    assert failures(dispatcher, "a") == int(counts)
    assert state(dispatcher, "a").in_flight == 0


async def test_f058_a_channel_at_its_limit_cools_for_the_stated_time(dispatcher, pair, vendors, errand):
    vendors.script = {"a": [AttemptFailed(Fault.RATE_LIMITED, retry_after_s=30)]}

    for _ in range(3):
        await dispatcher.run(errand(), vendors)

    assert state(dispatcher, "a").cooled_s == 30
    assert vendors.asked == ["a", "b", "b", "b"]


@pytest.mark.parametrize("fault", [Fault.CREDENTIAL, Fault.UPSTREAM_CREDIT])
async def test_f059_a_credential_that_is_refused_is_used_no_more(dispatcher, pair, group, vendors, errand, fault):
    vendors.script = {"a": [fault]}

    for _ in range(3):
        await dispatcher.run(errand(), vendors)

    assert group.disabled == [("cred_a", fault.value)]
    assert vendors.asked == ["a", "b", "b", "b"]


async def test_f059_a_call_goes_on_although_the_bad_credential_cannot_be_written_down(
    dispatcher, pair, group, vendors, errand
):
    group.is_away = True
    vendors.script = {"a": [Fault.CREDENTIAL]}

    won = await dispatcher.run(errand(), vendors)

    assert won.value == "answer of b"


async def test_a_broken_channel_is_out_after_five_failures(dispatcher, pair, vendors, errand, clock):
    vendors.script = {"a": [Fault.UNAVAILABLE]}

    for _ in range(10):
        await dispatcher.run(errand(), vendors)
        clock.turn(1)  # a retry a second is free

    assert vendors.asked.count("a") == 5
    assert state(dispatcher, "a").circuit == "open"


# How often


async def test_no_call_makes_more_than_three_attempts(dispatcher, group, vendors, errand):
    group.channels = [channel_of(name) for name in "abcdef"]
    for _ in range(100):
        await dispatcher.run(errand(), vendors)  # so that there are retries to spend
    vendors.script = {name: [Fault.UNAVAILABLE] for name in "abcdef"}
    vendors.asked.clear()

    with pytest.raises(UpstreamFailed):
        await dispatcher.run(errand(), vendors)

    assert len(vendors.asked) == ATTEMPTS_MAX == 3
    assert len(set(vendors.asked)) == 3, "each on another channel"


async def test_p10_without_a_retry_left_the_failure_is_the_answer(dispatcher, group, vendors, errand):
    group.channels = [channel_of(name) for name in "abcdef"]
    vendors.script = {name: [Fault.UNAVAILABLE] for name in "abcdef"}

    for _ in range(10):
        with pytest.raises(UpstreamFailed):
            await dispatcher.run(errand(), vendors)

    assert len(vendors.asked) == 11, "one retry for all of them, in a moment without time"


async def test_the_sandbox_budgets_nothing(dispatcher, group, vendors, errand):
    group.channels = [channel_of(name, mode="test", is_sandbox=True) for name in "abc"]
    vendors.script = {"a": [Fault.UNAVAILABLE], "b": [Fault.UNAVAILABLE]}

    for _ in range(5):
        won = await dispatcher.run(errand(mode="test"), vendors)
        assert won.value == "answer of c"


@pytest.mark.parametrize("fault", [Fault.CREDENTIAL, Fault.RATE_LIMITED, Fault.UNAVAILABLE])
async def test_a_sandbox_channel_suffers_nothing(dispatcher, group, vendors, errand, fault):
    group.channels = [channel_of("a", mode="test", is_sandbox=True)]
    vendors.script = {"a": [fault, "answer"]}

    await asyncio.gather(dispatcher.run(errand(mode="test"), vendors), return_exceptions=True)

    assert group.disabled == []
    assert dispatcher.health.states() == []


# The same channel again


async def test_where_no_other_is_left_the_same_one_is_tried_again(dispatcher, only, vendors, errand):
    vendors.script = {"a": [Fault.UNAVAILABLE, "answer"]}

    won = await dispatcher.run(errand(), vendors)

    assert won.value == "answer of a"
    assert vendors.asked == ["a", "a"]


async def test_the_same_one_is_tried_again_after_the_time_that_it_stated(dispatcher, only, vendors, errand):
    vendors.script = {"a": [AttemptFailed(Fault.UNAVAILABLE, retry_after_s=0.05), "answer"]}
    loop = asyncio.get_running_loop()
    began = loop.time()

    await dispatcher.run(errand(), vendors)

    assert loop.time() - began >= 0.05


@pytest.mark.parametrize("fault", [Fault.RATE_LIMITED, Fault.UNAVAILABLE])
async def test_more_than_two_seconds_are_not_waited_for(dispatcher, only, vendors, errand, fault):
    vendors.script = {"a": [AttemptFailed(fault, retry_after_s=2.01)]}

    with pytest.raises((RateLimited, UpstreamFailed)):
        await asyncio.wait_for(dispatcher.run(errand(), vendors), 1)

    assert vendors.asked == ["a"]


async def test_no_wait_goes_beyond_the_deadline(dispatcher, only, vendors, errand, clock):
    vendors.script = {"a": [AttemptFailed(Fault.UNAVAILABLE, retry_after_s=1.5)]}

    with pytest.raises(UpstreamFailed):
        await asyncio.wait_for(dispatcher.run(errand(deadline_at=clock.monotonic() + 1), vendors), 1)

    assert vendors.asked == ["a"]


@pytest.mark.parametrize("fault", [Fault.CREDENTIAL, Fault.UPSTREAM_CREDIT])
async def test_the_same_one_is_not_tried_again_after_a_bad_credential_or_an_empty_account(
    dispatcher, group, vendors, errand, fault
):
    group.is_away = True  # so that it stays a candidate
    group.channels = [channel_of("a")]
    vendors.script = {"a": [fault]}

    with pytest.raises(NoChannelAvailable):
        await dispatcher.run(errand(), vendors)

    assert vendors.asked == ["a"]


# Deadlines


async def test_after_the_deadline_nothing_is_sent(dispatcher, pair, vendors, errand, clock):
    with pytest.raises(UpstreamTimeout):
        await dispatcher.run(errand(deadline_at=clock.monotonic()), vendors)

    assert vendors.asked == []


async def test_an_attempt_that_took_the_whole_time_is_the_last(dispatcher, pair, vendors, errand, clock):
    async def attempt(channel, credential):
        await vendors(channel, credential)
        clock.turn(600)
        raise AttemptFailed(Fault.UNAVAILABLE)

    with pytest.raises(UpstreamFailed):
        await dispatcher.run(errand(), attempt)

    assert vendors.asked == ["a"]


# What may not be repeated


async def test_a_chat_is_tried_again_after_a_timeout(dispatcher, pair, vendors, errand):
    vendors.script = {"a": [AttemptFailed(Fault.TIMEOUT)]}

    assert (await dispatcher.run(errand("chat"), vendors)).value == "answer of b"


async def test_f056_a_picture_in_the_making_is_not_asked_for_again_after_a_timeout(dispatcher, pair, vendors, errand):
    vendors.script = {"a": [AttemptFailed(Fault.TIMEOUT)]}

    with pytest.raises(UpstreamTimeout):
        await dispatcher.run(errand("making"), vendors)

    assert vendors.asked == ["a"]
    assert failures(dispatcher, "a") == 1


async def test_a_picture_is_asked_for_again_where_nothing_was_sent(dispatcher, pair, vendors, errand):
    vendors.script = {"a": [AttemptFailed(Fault.TIMEOUT, sent=False)]}

    assert (await dispatcher.run(errand("making"), vendors)).value == "answer of b"


async def test_f065_an_answer_that_was_too_large_is_not_asked_for_again(dispatcher, pair, vendors, errand):
    vendors.script = {"a": [AttemptFailed(Fault.MALFORMED, may_repeat=False)]}

    with pytest.raises(UpstreamInvalid):
        await dispatcher.run(errand(), vendors)

    assert vendors.asked == ["a"]


async def test_p7_an_unclear_submission_is_sent_nowhere_else(dispatcher, pair, vendors, errand):
    vendors.script = {"a": [AttemptFailed(Fault.UNAVAILABLE, is_unclear=True)]}
    call = errand("submission")

    with pytest.raises(Unclear) as unclear:
        await dispatcher.run(call, vendors)

    assert vendors.asked == ["a"]
    assert (unclear.value.channel.id, unclear.value.credential.id) == ("a", "cred_a")
    assert failures(dispatcher, "a") == 1
    assert call.attempts[0].fault is Fault.UNAVAILABLE


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.RATE_LIMITED, Fault.CREDENTIAL, Fault.TIMEOUT])
async def test_a_refused_submission_is_tried_elsewhere(dispatcher, pair, vendors, errand, fault):
    vendors.script = {"a": [AttemptFailed(fault, status=503)]}

    assert (await dispatcher.run(errand("submission"), vendors)).value == "answer of b"


# Nobody is left


async def test_without_a_channel_none_is_available(dispatcher, vendors, errand):
    with pytest.raises(NoChannelAvailable) as error:
        await dispatcher.run(errand(), vendors)

    assert error.value.retry_after_s == 30


async def test_f058_if_all_cool_the_shortest_wait_is_told(dispatcher, pair, vendors, errand):
    vendors.script = {
        "a": [AttemptFailed(Fault.RATE_LIMITED, retry_after_s=5)],
        "b": [AttemptFailed(Fault.RATE_LIMITED, retry_after_s=40)],
    }

    for _ in range(2):
        with pytest.raises(RateLimited) as error:
            await dispatcher.run(errand(), vendors)
        assert error.value.retry_after_s == 5
    assert vendors.asked == ["a", "b"], "the second call asks nobody"


async def test_f069_if_all_are_out_it_is_told_at_once_with_a_wait(dispatcher, group, vendors, errand):
    group.channels = [channel_of("a")]
    vendors.script = {"a": [AttemptFailed(Fault.UNAVAILABLE, retry_after_s=10)]}
    for _ in range(5):
        with pytest.raises(UpstreamFailed):
            await dispatcher.run(errand(), vendors)

    with pytest.raises(NoChannelAvailable) as error:
        await dispatcher.run(errand(), vendors)

    assert len(vendors.asked) == 5
    assert 20 < error.value.retry_after_s <= 30


async def test_f059_if_every_credential_is_bad_it_is_never_the_callers_fault(dispatcher, pair, vendors, errand):
    vendors.script = {
        "a": [AttemptFailed(Fault.CREDENTIAL, status=401, words=VendorWords("bad key"))],
        "b": [AttemptFailed(Fault.UPSTREAM_CREDIT, status=402)],
    }

    with pytest.raises(NoChannelAvailable) as error:
        await dispatcher.run(errand(), vendors)

    assert error.value.status == 503
    assert error.value.vendor is None
    assert "bad key" not in error.value.message


async def test_a_follow_up_goes_to_its_own_channel_only(dispatcher, pair, vendors, errand):
    await dispatcher.run(errand(only_channel="b"), vendors)
    assert vendors.asked == ["b"]

    with pytest.raises(NoChannelAvailable):
        await dispatcher.run(errand(only_channel="gone"), vendors)


async def test_a_full_channel_is_passed_over(dispatcher, group, vendors, errand):
    group.channels = [channel_of("a", priority=1, parallel_max=1), channel_of("b")]
    first = await dispatcher.run(errand(), vendors, holds_channel=True)

    second = await dispatcher.run(errand(), vendors)

    assert (first.channel.id, second.channel.id) == ("a", "b")
    dispatcher.ended(first, None)
    assert (await dispatcher.run(errand(), vendors)).channel.id == "a"


# Streams and callers that leave


async def test_a_stream_keeps_its_place_until_it_has_ended(dispatcher, only, vendors, errand):
    won = await dispatcher.run(errand(), vendors, holds_channel=True)
    assert state(dispatcher, "a").in_flight == 1

    dispatcher.ended(won, None)

    assert state(dispatcher, "a").in_flight == 0
    assert failures(dispatcher, "a") == 0


async def test_f072_a_stream_that_broke_counts_against_its_channel(dispatcher, only, vendors, errand):
    won = await dispatcher.run(errand(), vendors, holds_channel=True)

    dispatcher.ended(won, Fault.UNAVAILABLE)

    assert failures(dispatcher, "a") == 1
    assert won.attempt.fault is Fault.UNAVAILABLE


async def test_f078_a_caller_that_leaves_says_nothing_about_the_channel(dispatcher, only, vendors, errand):
    won = await dispatcher.run(errand(), vendors, holds_channel=True)
    dispatcher.ended(won, Fault.UNAVAILABLE, is_our_fault=False)

    async def hang(channel, credential):
        await asyncio.Event().wait()

    leaving = asyncio.create_task(dispatcher.run(errand(), hang))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving

    assert failures(dispatcher, "a") == 0
    assert state(dispatcher, "a").in_flight == 0


async def test_a_mistake_of_ours_gives_the_place_back(dispatcher, only, vendors, errand):
    vendors.script = {"a": [ZeroDivisionError()]}

    with pytest.raises(ZeroDivisionError):
        await dispatcher.run(errand(), vendors)

    assert state(dispatcher, "a").in_flight == 0
    assert failures(dispatcher, "a") == 0


async def test_a_dispatcher_may_be_held_to_fewer_attempts(group, clock, vendors, errand):
    group.channels = [channel_of("a"), channel_of("b")]
    vendors.script = {"a": [Fault.UNAVAILABLE], "b": [Fault.UNAVAILABLE]}

    with pytest.raises(UpstreamFailed):
        await Dispatcher(group, clock, attempts_max=1).run(errand(), vendors)

    assert len(vendors.asked) == 1

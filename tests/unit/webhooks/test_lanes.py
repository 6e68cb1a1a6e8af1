"""Places go round among tenants; a receiver that fails has few of them (F095)."""

import pytest

from yiapi.clock import ManualClock
from yiapi.webhooks.lanes import (
    AT_ONCE_MAX,
    FAILING_AT_ONCE_MAX,
    HOOK_LANES,
    LANE_AT_ONCE_MAX,
    REST_S,
    REST_S_MAX,
    TENANT_AT_ONCE_MAX,
    TENANT_FAILING_AT_ONCE_MAX,
    Lane,
    Lanes,
    hook_lane,
)

A, B = ("acct_a", "live"), ("acct_b", "live")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def lanes(clock) -> Lanes:
    return Lanes(clock)


def lane(name: str, tenant=A, due: int = 10_000, due_at: int = 0) -> Lane:
    return Lane(name, tenant, due, due_at)


def begin(lanes: Lanes, places: dict[str, int], tenant=A) -> None:
    for name, count in places.items():
        for _ in range(count):
            lanes.began(name, tenant)


def test_a_lane_gets_what_is_due_up_to_its_share(lanes):
    assert lanes.share([lane("one", due=3)]) == {"one": 3}
    assert lanes.share([lane("one")]) == {"one": LANE_AT_ONCE_MAX}


def test_nothing_is_due(lanes):
    assert lanes.share([lane("one", due=0)]) == {}


def test_a_tenant_gets_no_more_than_its_share_in_all_its_lanes(lanes):
    places = lanes.share([lane(str(number)) for number in range(20)])

    assert sum(places.values()) == TENANT_AT_ONCE_MAX
    assert max(places.values()) - min(places.values()) <= 1


def test_c20_what_a_tenant_has_in_hand_counts(lanes):
    begin(lanes, lanes.share([lane("one"), lane("two"), lane("three")]))

    assert lanes.share([lane("one"), lane("four"), lane("other", B)]) == {"other": LANE_AT_ONCE_MAX}


def test_when_places_are_rare_who_has_fewest_comes_first(lanes):
    tenants = [(f"acct_{number}", "live") for number in range(AT_ONCE_MAX // TENANT_AT_ONCE_MAX)]
    crowd = [lane(f"{tenant[0]}-{number}", tenant) for tenant in tenants for number in range(2)]
    for one in crowd:
        begin(lanes, {one.name: TENANT_AT_ONCE_MAX // 2}, one.tenant)
    assert lanes.share([*crowd, lane("new", B)]) == {}

    lanes.ended(crowd[0].name, crowd[0].tenant, was_failing=False)

    assert lanes.share([*crowd, lane("new", B)]) == {"new": 1}


def test_a_failing_lane_keeps_few_places_until_something_arrives(lanes):
    lanes.failed("one", asks_for_time=False, retry_after_s=None)
    assert lanes.share([lane("one")]) == {"one": FAILING_AT_ONCE_MAX}

    lanes.succeeded("one")

    assert lanes.share([lane("one")]) == {"one": LANE_AT_ONCE_MAX}


def test_all_failing_lanes_of_a_tenant_together_keep_few_places(lanes):
    names = [str(number) for number in range(10)]
    for name in names:
        lanes.failed(name, asks_for_time=False, retry_after_s=None)

    places = lanes.share([*map(lane, names), lane("healthy")])

    assert sum(places[name] for name in names if name in places) == TENANT_FAILING_AT_ONCE_MAX
    assert places["healthy"] == LANE_AT_ONCE_MAX


def test_a_receiver_that_asks_for_time_rests_and_comes_back_one_by_one(lanes, clock):
    lanes.failed("one", asks_for_time=True, retry_after_s=60.0)
    clock.turn(59)
    assert lanes.share([lane("one")]) == {}

    clock.turn(2)

    assert lanes.share([lane("one")]) == {"one": 1}


def test_without_a_stated_time_it_rests_longer_each_time(lanes, clock):
    rests = []
    for _ in range(8):
        lanes.failed("one", asks_for_time=True, retry_after_s=None)
        began = clock.monotonic()
        while not lanes.share([lane("one")]):
            clock.turn(1)
        rests.append(clock.monotonic() - began)

    assert rests == [REST_S, 10, 20, 40, 80, 160, REST_S_MAX, REST_S_MAX]


def test_who_failed_an_hour_ago_begins_anew_so_that_nothing_is_known_for_ever(lanes, clock):
    for number in range(100):
        lanes.failed(str(number), asks_for_time=False, retry_after_s=None)
        clock.turn(60)

    assert len(lanes._failing) <= 2 * 60
    assert lanes.share([lane("0")]) == {"0": LANE_AT_ONCE_MAX}
    assert lanes.share([lane("99")]) == {"99": FAILING_AT_ONCE_MAX}


def test_places_come_back(lanes):
    begin(lanes, {"one": LANE_AT_ONCE_MAX})
    assert lanes.share([lane("one")]) == {}

    for _ in range(LANE_AT_ONCE_MAX):
        lanes.ended("one", A, was_failing=False)

    assert lanes.under_way == 0
    assert lanes.share([lane("one")]) == {"one": LANE_AT_ONCE_MAX}


def test_hooks_of_one_host_share_a_lane_and_a_tenant_has_few_of_them():
    urls = [f"https://host-{number}.example.com/{number}" for number in range(1000)]

    assert hook_lane(*A, "https://a.example.com/1") == hook_lane(*A, "https://A.example.com/2")
    assert hook_lane(*A, urls[0]) != hook_lane(*B, urls[0])
    assert len({hook_lane(*A, url) for url in urls}) == HOOK_LANES

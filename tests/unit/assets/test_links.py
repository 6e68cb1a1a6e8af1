"""Signed links: accepted in the one form that was signed."""

from dataclasses import replace
from urllib.parse import parse_qsl, quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yiapi.assets import Asset, Links
from yiapi.clock import ManualClock
from yiapi.errors import PermissionDenied, UrlExpired

NOW_MS = 1_790_000_000_000
ASSET = Asset(
    id="asset_1",
    account_id="acct_a",
    mode="test",
    request_id=None,
    task_id=None,
    type="image",
    content_type="image/png",
    size_bytes=10,
    sha256="ab" * 32,
    width=None,
    height=None,
    duration_s=None,
    original_url=None,
    created_at=NOW_MS,
    expires_at=NOW_MS + 86_400_000,
    deleted_at=None,
    is_gone=False,
)
CLOCK = ManualClock(wall_ms=NOW_MS)
BASE_URL = "https://station.example"
LINKS = Links(BASE_URL, b"k" * 32, clock=CLOCK)
SIGNED = LINKS.link_for(ASSET).removeprefix(BASE_URL)
PATH, _, QUERY = SIGNED.partition("?")


def check(target: str, links: Links = LINKS):
    path, _, query = target.partition("?")
    return links.check(path, query)


def test_a_link_says_what_was_signed():
    facts = LINKS.check(PATH, QUERY)

    assert (facts.account_id, facts.mode, facts.asset_id) == ("acct_a", "test", "asset_1")
    assert (facts.filename, facts.disposition) == ("image.png", "inline")
    assert facts.expires_at_s == ASSET.expires_at // 1000


def test_a_link_leads_to_the_station_and_carries_no_api_key():
    assert LINKS.link_for(ASSET).startswith("https://station.example/files/v1/asset_1/image.png?v=1&k=1&tenant=")


def test_what_a_browser_could_execute_is_signed_as_an_attachment():
    link = LINKS.link_for(replace(ASSET, content_type="image/svg+xml")).removeprefix(BASE_URL)

    assert check(link).disposition == "attachment"


def test_a_link_lives_as_long_as_its_asset():
    facts = check(SIGNED)

    Links(BASE_URL, b"", clock=ManualClock(wall_ms=ASSET.expires_at)).check_time(facts)


@pytest.mark.parametrize(("asked_s", "life_s"), [(60, 60), (10**9, 86_400)])
def test_a_shorter_link_says_so_and_none_is_longer_than_its_asset(asked_s, life_s):
    facts = check(LINKS.link_for(ASSET, expires_s=asked_s).removeprefix(BASE_URL))

    assert facts.expires_at_s == NOW_MS // 1000 + life_s


def test_f087_a_link_expires_with_a_minute_of_leeway():
    clock = ManualClock(wall_ms=NOW_MS)
    links = Links(BASE_URL, b"k" * 32, clock=clock)
    facts = check(links.link_for(ASSET, expires_s=10).removeprefix(BASE_URL), links)

    clock.turn(69.9)
    links.check_time(facts)
    clock.turn(0.1)

    with pytest.raises(UrlExpired):
        links.check_time(facts)


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_f087_any_single_change_to_a_link_is_refused(data):
    at = data.draw(st.integers(0, len(SIGNED)))
    other = data.draw(st.characters(max_codepoint=0x2FF) | st.sampled_from("0123456789abcdefABC-_=&?/.%+;#"))
    what = data.draw(st.sampled_from(["replace", "insert", "remove", "swap", "case", "encode"]))
    before, here, after = SIGNED[:at], SIGNED[at : at + 1], SIGNED[at + 1 :]
    changed = {
        "replace": before + other + after,
        "insert": before + other + here + after,
        "remove": before + after,
        "swap": before + after[:1] + here + after[1:],
        "case": before + here.swapcase() + after,
        "encode": before + (f"%{ord(here):02X}" if here else "") + after,
    }[what]

    if changed == SIGNED:
        return
    with pytest.raises(PermissionDenied):
        check(changed)


@given(st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_f087_reordered_repeated_added_and_missing_parameters_are_refused(data):
    pairs = parse_qsl(QUERY)
    changed = {
        "order": data.draw(st.permutations(pairs)),
        "repeat": [*pairs, data.draw(st.sampled_from(pairs))],
        "first": [data.draw(st.sampled_from(pairs)), *pairs],
        "add": [*pairs, data.draw(st.tuples(st.text(), st.text()))],
        "drop": data.draw(st.lists(st.sampled_from(pairs), unique=True, max_size=len(pairs) - 1)),
    }[data.draw(st.sampled_from(["order", "repeat", "first", "add", "drop"]))]

    if urlencode(changed) == QUERY:
        return
    with pytest.raises(PermissionDenied):
        LINKS.check(PATH, urlencode(changed))


@pytest.mark.parametrize(
    "other",
    [
        {"id": "asset_2"},
        {"account_id": "acct_b"},
        {"mode": "live"},
        {"expires_at": NOW_MS + 2 * 86_400_000},
        {"type": "video"},
    ],
)
def test_f087_a_signature_is_good_for_nothing_else(other):
    signature = QUERY.rpartition("=")[2]
    link = LINKS.link_for(replace(ASSET, **other)).removeprefix(BASE_URL)

    with pytest.raises(PermissionDenied):
        check(link.rpartition("=")[0] + "=" + signature)


@pytest.mark.parametrize(("key", "key_id"), [(b"o" * 32, "1"), (b"k" * 32, "2")])
def test_f087_another_key_or_a_rotated_key_id_ends_every_link(key, key_id):
    links = Links(BASE_URL, key, clock=CLOCK, key_id=key_id)

    with pytest.raises(PermissionDenied):
        check(SIGNED, links)


@pytest.mark.parametrize(
    "target", ["", "?", PATH, PATH + "?", SIGNED + "&", SIGNED + "\n", quote(SIGNED), "x" * 100_000, SIGNED + "é"]
)
def test_f087_what_is_no_link_at_all_is_refused(target):
    with pytest.raises(PermissionDenied):
        check(target)

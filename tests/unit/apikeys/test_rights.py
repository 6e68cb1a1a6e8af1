"""What a key may do, by operation, model, address and period."""

from datetime import UTC, datetime

import pytest

from yiapi.apikeys import budget_period_of
from yiapi.apikeys.rights import permit
from yiapi.errors import ModelNotAllowed, PermissionDenied
from yiapi.money import Money


def allows(key, operation="kling.text2video", model="kling-v1", peer="192.0.2.1"):
    try:
        permit(key, operation, model, peer)
    except PermissionDenied:
        return False
    return True


def test_a_key_without_restrictions_may_do_everything(key_with):
    assert allows(key_with())
    assert allows(key_with(), "openai.chat", "gpt-4o", None)


@pytest.mark.parametrize(
    ("patterns", "operation", "allowed"),
    [
        (("kling.text2video",), "kling.text2video", True),
        (("kling.text2video",), "kling.text2video.get", False),
        (("kling.text2video",), "kling.image", False),
        (("kling.*",), "kling.image", True),
        (("kling.*",), "klingon.image", False),
        (("kling",), "kling.text2video", True),
        (("kling",), "klingon.image", False),
        (("kling",), "openai.chat", False),
        (("*.chat",), "openai.chat", True),
        (("KLING.*",), "kling.image", False),
        (("openai", "kling.image"), "kling.image", True),
        (("openai", "kling.image"), "kling.try-on", False),
        (("kling.",), "kling.image", False),
        (("k",), "kling.image", False),
        ((".*",), "kling.image", False),
    ],
)
def test_a_key_is_held_to_operations(key_with, patterns, operation, allowed):
    assert allows(key_with(operations=patterns), operation) is allowed


@pytest.mark.parametrize(
    ("patterns", "model", "allowed"),
    [
        (("kling-v1",), "kling-v1", True),
        (("kling-v1",), "kling-v1-6", False),
        (("kling-v*",), "kling-v1-6", True),
        (("kling/kling-v1",), "kling-v1", True),
        (("kling/*",), "anything", True),
        (("openai/*",), "kling-v1", False),
        (("gpt-4o", "kling-v2*"), "kling-v2-1", True),
        (("gpt-4o",), "", False),
        (("*",), "", True),
        (("v1",), "kling-v1", False),
    ],
)
def test_a_key_is_held_to_models(key_with, patterns, model, allowed):
    assert allows(key_with(models=patterns), model=model) is allowed


def test_f018_a_model_that_a_key_may_not_use_has_an_error_of_its_own(key_with):
    with pytest.raises(ModelNotAllowed):
        permit(key_with(models=("gpt-4o",)), "kling.image", "kling-v1", None)


def test_a_call_that_uses_no_model_needs_no_right_to_one(key_with):
    permit(key_with(models=("gpt-4o",)), "kling.text2video.get", None, None)


@pytest.mark.parametrize(
    ("networks", "peer", "allowed"),
    [
        (("192.0.2.0/24",), "192.0.2.255", True),
        (("192.0.2.0/24",), "192.0.3.0", False),
        (("192.0.2.7/32",), "192.0.2.7", True),
        (("192.0.2.7/32", "2001:db8::/32"), "2001:db8:1::1", True),
        (("2001:db8::/32",), "2001:db9::1", False),
        (("192.0.2.0/24",), "::ffff:192.0.2.9", True),
        (("192.0.2.0/24",), "::ffff:198.51.100.9", False),
        (("::ffff:0:0/96",), "192.0.2.9", False),
        (("0.0.0.0/0",), "2001:db8::1", False),
        (("0.0.0.0/0", "::/0"), "", False),
        (("0.0.0.0/0", "::/0"), None, False),
        (("0.0.0.0/0", "::/0"), "station.example", False),
        (("0.0.0.0/0", "::/0"), "192.0.2.1, 198.51.100.1", False),
    ],
)
def test_f023_a_key_is_held_to_addresses(key_with, networks, peer, allowed):
    assert allows(key_with(ip_networks=networks), peer=peer) is allowed


def test_every_restriction_has_to_be_kept(key_with):
    key = key_with(operations=("kling",), models=("kling-v1",), ip_networks=("192.0.2.0/24",))

    assert allows(key)
    assert not allows(key, operation="openai.chat")
    assert not allows(key, model="kling-v2")
    assert not allows(key, peer="198.51.100.1")


def at(text):
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("period", "now", "name"),
    [
        ("day", "2026-11-23T00:00:00", "2026-11-23"),
        ("day", "2026-11-23T23:59:59.999", "2026-11-23"),
        ("day", "2026-11-24T00:00:00", "2026-11-24"),
        ("month", "2026-11-30T23:59:59.999", "2026-11"),
        ("month", "2026-12-01T00:00:00", "2026-12"),
        ("total", "2026-12-01T00:00:00", "total"),
        (None, "2026-12-01T00:00:00", "total"),
    ],
)
def test_a_budget_is_of_a_day_or_a_month_in_utc_or_of_all_time(key_with, period, now, name):
    key = key_with(budget=Money(1), budget_period=period)

    assert budget_period_of(key, at(now)) == name

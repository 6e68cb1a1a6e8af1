"""F028: no key makes a key that may do more than itself."""

from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yiapi.apikeys import Account, Key, Restrictions, within
from yiapi.apikeys.rights import permit
from yiapi.errors import PermissionDenied
from yiapi.money import Money

ACCOUNT = Account("acct_1", "customer", "active", "default", 1000, 1000)


def maker(**restrictions):
    return Key("key_1", ACCOUNT, "live", "key", "", **restrictions)


def is_within(wanted, own, *, account_id="acct_1", mode="live"):
    try:
        within(wanted, own, account_id=account_id, mode=mode)
    except PermissionDenied:
        return False
    return True


def networks(*texts):
    return tuple(ip_network(text) for text in texts)


def test_a_key_may_make_one_like_itself():
    own = {
        "operations": ("kling.*", "openai"),
        "models": ("gpt-4?",),
        "ip_networks": networks("192.0.2.0/24"),
        "budget": Money(10),
        "budget_period": "day",
        "requests_per_minute": 5,
        "tokens_per_minute": 5,
        "parallel_max": 5,
        "expires_at_ms": 5,
    }

    assert is_within(Restrictions(**own), maker(**own))


def test_a_key_without_restrictions_may_make_any_of_its_tenant():
    assert is_within(Restrictions(), maker())
    assert is_within(Restrictions(models=("*",), budget=Money(10**18), budget_period="day"), maker())


@pytest.mark.parametrize(
    ("account_id", "mode"),
    [("acct_2", "live"), (None, "live"), (None, "admin"), ("acct_1", "test"), ("acct_1", "admin")],
)
def test_f028_a_key_makes_none_of_another_tenant_or_mode(account_id, mode):
    assert not is_within(Restrictions(), maker(), account_id=account_id, mode=mode)


def test_a_key_of_the_operator_may_make_any():
    operator = Key("key_0", None, "admin", "operator", "")

    assert is_within(Restrictions(), operator, account_id="acct_7", mode="live")
    assert is_within(Restrictions(), operator, account_id=None, mode="admin")


@pytest.mark.parametrize(
    ("field", "own", "narrower", "wider"),
    [
        ("requests_per_minute", 10, [1, 10], [11, None]),
        ("tokens_per_minute", 10, [1, 10], [11, None]),
        ("parallel_max", 10, [1, 10], [11, None]),
        ("expires_at_ms", 1000, [1, 1000], [1001, None]),
        ("operations", ("kling.*",), [("kling.image",), ("kling.*",), ("kling.text*",)], [None, ("*",), ("k*",)]),
        ("operations", ("kling.*",), [], [("kling.image", "openai.chat")]),
        (
            "operations",
            ("kling",),
            [("kling",), ("kling.image",), ("kling.*",)],
            [("klin?",), ("kling*",), ("*.image",)],
        ),
        ("operations", ("kling",), [], [("kling[.x]image",)]),
        ("models", ("gpt-4o", "o1*"), [("gpt-4o",), ("o1-mini", "o1*")], [None, ("gpt-4o*",), ("o*",), ("[o]1",)]),
        ("models", ("openai/*",), [("openai/gpt-4o",), ("openai/o1*",)], [("gpt-4o",), ("*/gpt-4o",), ("o*/x",)]),
        ("models", ("[ab]1",), [("[ab]1",), ("a1",)], [("[a]1",), ("?1",)]),
        ("ip_networks", networks("192.0.2.0/24"), [networks("192.0.2.0/25"), networks("192.0.2.9")], [None]),
        ("ip_networks", networks("192.0.2.0/24"), [], [networks("192.0.2.0/23"), networks("::/0")]),
        ("ip_networks", networks("192.0.2.0/24"), [], [networks("192.0.2.1", "198.51.100.1")]),
        ("ip_networks", networks("::/0"), [networks("2001:db8::/32")], [networks("192.0.2.1"), None]),
    ],
)
def test_f028_a_restriction_may_become_narrower_and_not_wider(field, own, narrower, wider):
    for value in narrower:
        assert is_within(Restrictions(**{field: value}), maker(**{field: own})), value
    for value in wider:
        assert not is_within(Restrictions(**{field: value}), maker(**{field: own})), value


@pytest.mark.parametrize(
    ("own", "wanted", "allowed"),
    [
        ((10, "day"), (10, "day"), True),
        ((10, "day"), (9, "day"), True),
        ((10, "day"), (11, "day"), False),
        ((10, "day"), (10, "total"), True),
        ((10, "day"), (10, "month"), False),
        ((10, "month"), (10, "day"), False),
        ((10, "month"), (10, "total"), True),
        ((10, "total"), (10, "total"), True),
        ((10, "total"), (1, "day"), False),
        ((10, "total"), (1, "month"), False),
        ((10, "day"), (None, None), False),
    ],
)
def test_f028_a_budget_may_not_be_above_the_makers_in_any_period(own, wanted, allowed):
    budget, period = wanted
    new = Restrictions(budget=None if budget is None else Money(budget), budget_period=period)

    assert is_within(new, maker(budget=Money(own[0]), budget_period=own[1])) is allowed


names = st.text("ab.", min_size=1, max_size=5)
patterns = st.lists(st.text("ab.*?[]!-", min_size=1, max_size=5), min_size=1, max_size=2).map(tuple)


def permits_operation(patterns, operation):
    try:
        permit(maker(operations=patterns), operation, None, None)
    except PermissionDenied:
        return False
    return True


def permits_model(patterns, provider, model):
    try:
        permit(maker(models=patterns), f"{provider}.x", model, None)
    except PermissionDenied:
        return False
    return True


@settings(max_examples=150)
@given(patterns, patterns, st.lists(names, max_size=10))
def test_f028_whatever_operations_a_made_key_may_use_its_maker_may_use(wanted, own, operations):
    if is_within(Restrictions(operations=wanted), maker(operations=own)):
        for operation in operations:
            assert not permits_operation(wanted, operation) or permits_operation(own, operation)


model_patterns = st.lists(st.text("ab/*?[]!", min_size=1, max_size=5), min_size=1, max_size=2).map(tuple)


@settings(max_examples=150)
@given(
    model_patterns,
    model_patterns,
    st.text("ab", min_size=1, max_size=2),
    st.lists(st.text("ab/", max_size=4), max_size=10),
)
def test_f028_whatever_models_a_made_key_may_use_its_maker_may_use(wanted, own, provider, models):
    if is_within(Restrictions(models=wanted), maker(models=own)):
        for model in models:
            assert not permits_model(wanted, provider, model) or permits_model(own, provider, model)

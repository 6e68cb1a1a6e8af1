"""Accounts and keys as they are stored and known: who is let in, how soon a change counts, what is kept of a key."""

from dataclasses import replace
from ipaddress import ip_network

import pytest

from yiapi.apikeys import ApiKeys, Restrictions
from yiapi.apikeys.text import make_text
from yiapi.clock import ManualClock
from yiapi.db.sql import query_of
from yiapi.errors import InvalidApiKey, InvalidRequest, NotFound, PermissionDenied
from yiapi.money import Money
from yiapi.secrets import ServerSecret

ROWS = {name: query_of(name, f"SELECT * FROM {name}") for name in ("accounts", "api_keys", "audit")}
ALL = Restrictions(
    operations=("kling.*", "openai.chat"),
    models=("gpt-4o",),
    ip_networks=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")),
    budget=Money(5_000_000_000),
    budget_period="month",
    requests_per_minute=10,
    tokens_per_minute=1000,
    parallel_max=3,
    expires_at_ms=2_000_000_000_000,
)


async def rows(database, name):
    return [dict(row) for row in await database.read(lambda tx: tx.all(ROWS[name]))]


async def actions(database):
    return [row["action"] for row in sorted(await rows(database, "audit"), key=lambda row: row["id"])]


@pytest.fixture
def tenant(apikeys):
    """Make an account with a key; return both and the key's text."""

    async def make(**restrictions):
        account = await apikeys.create_account("customer")
        key, text = await apikeys.create_key(account.id, "live", name="key", restrictions=Restrictions(**restrictions))
        return account, key, text

    return make


def knows(apikeys, text):
    try:
        apikeys.authenticate(text)
    except (InvalidApiKey, PermissionDenied):
        return False
    return True


# Letting in


async def test_a_key_is_known_by_its_text(apikeys, tenant):
    account, key, text = await tenant()

    assert apikeys.authenticate(text) == key
    assert (key.account, key.mode) == (account, "live")


async def test_a_key_comes_back_with_all_that_it_is_held_to(apikeys, other_node, tenant):
    account, _, _ = await tenant()
    made, text = await apikeys.create_key(account.id, "test", name="held", restrictions=ALL)

    await other_node.refresh()

    assert made.restrictions == ALL
    assert other_node.authenticate(text) == made == await apikeys.get_key(made.id)


async def test_an_operators_key_belongs_to_no_account(apikeys):
    key, text = await apikeys.create_key(None, "admin", name="console")

    assert text.startswith("sk-admin-")
    assert apikeys.authenticate(text).account is None
    assert key.account_id is None


async def test_f022_a_key_that_nobody_made_is_refused_although_its_checksum_is_right(apikeys, tenant):
    await tenant()

    with pytest.raises(InvalidApiKey):
        apikeys.authenticate(make_text("live"))


def test_f022_letting_in_asks_no_database(secret, clock):
    class NoDatabase:
        def __getattr__(self, name):
            raise AssertionError(name)

    apikeys = ApiKeys(NoDatabase(), secret, clock)

    for given in (None, "", "sk-live-x", "sk-live-" + "0" * 38, make_text("live"), "' OR 1=1", "x" * 8192):
        with pytest.raises(InvalidApiKey):
            apikeys.authenticate(given)


async def test_a_key_made_under_another_secret_is_not_known(apikeys, tenant, database, clock):
    _, _, text = await tenant()
    stranger = ApiKeys(database, ServerSecret("another-secret-of-the-tests-9876543210"), clock)
    await stranger.load()

    assert not knows(stranger, text)


async def test_an_expired_key_is_refused_from_its_millisecond_on(apikeys, tenant, clock):
    _, _, text = await tenant(expires_at_ms=clock.now_ms() + 5000)
    clock.turn(4.999)
    assert knows(apikeys, text)

    clock.turn(0.001)

    with pytest.raises(InvalidApiKey, match="expired"):
        apikeys.authenticate(text)


# What is kept


async def test_s1_of_a_key_only_a_keyed_hash_and_a_hint_are_kept(apikeys, tenant, database):
    _, key, text = await tenant()
    await apikeys.update_key(key.id, name="other")
    await apikeys.revoke_key(key.id)

    kept = str([await rows(database, name) for name in ROWS]) + str(vars(apikeys)) + repr(key)

    assert text not in kept
    assert text.removeprefix("sk-live-")[:8] not in kept
    assert (await rows(database, "api_keys"))[0]["hint"] == f"sk-live-…{text[-4:]}"


async def test_s1_two_stations_hash_one_key_differently(apikeys, clock):
    other = ApiKeys(None, ServerSecret("another-secret-of-the-tests-9876543210"), clock)
    hashes = {station._pepper for station in (apikeys, other)}

    assert len(hashes) == 2


async def test_the_repr_of_a_new_key_does_not_show_its_hash(apikeys):
    new, text = apikeys.new_key("acct_1", "live", name="key")

    assert new.hash not in repr(new)
    assert text not in repr(new)


# How soon a change counts


async def test_s2_a_revoked_key_is_refused_here_at_once_and_elsewhere_after_a_refresh(apikeys, other_node, tenant):
    _, key, text = await tenant()
    await other_node.refresh()
    assert knows(other_node, text)

    await apikeys.revoke_key(key.id)

    assert not knows(apikeys, text)
    assert await other_node.refresh()
    with pytest.raises(InvalidApiKey):
        other_node.authenticate(text)


async def test_s2_a_suspended_account_is_refused_with_every_key_until_it_is_resumed(apikeys, other_node, tenant):
    account, _, text = await tenant()
    _, second = await apikeys.create_key(account.id, "test", name="second")
    await other_node.refresh()

    await apikeys.suspend_account(account.id)
    await other_node.refresh()

    for node in (apikeys, other_node):
        for given in (text, second):
            with pytest.raises(PermissionDenied, match="suspended"):
                node.authenticate(given)
    await apikeys.resume_account(account.id)
    await other_node.refresh()
    assert knows(apikeys, text)
    assert knows(other_node, second)


async def test_s2_other_restrictions_count_elsewhere_after_a_refresh(apikeys, other_node, tenant):
    _, key, text = await tenant()
    await other_node.refresh()

    await apikeys.update_key(key.id, restrictions=ALL)
    await other_node.refresh()

    assert other_node.authenticate(text).restrictions == ALL


async def test_a_changed_account_is_seen_through_its_keys(apikeys, other_node, tenant):
    account, _, text = await tenant()
    await other_node.refresh()

    await apikeys.update_account(replace(account, name="renamed", parallel_max=7, open_tasks_max=8))
    await other_node.refresh()

    known = other_node.authenticate(text).account
    assert (known.name, known.parallel_max, known.open_tasks_max) == ("renamed", 7, 8)


async def test_a_refresh_without_a_change_says_so_and_keeps_what_is_known(other_node, tenant):
    _, _, text = await tenant()

    assert await other_node.refresh()
    assert not await other_node.refresh()
    assert knows(other_node, text)


async def test_a_refresh_reads_only_what_changed(apikeys, other_node, tenant, database):
    """A row that was changed behind the version's back is not read again."""
    _, key, text = await tenant()
    _, _, second = await tenant()
    await other_node.refresh()
    await database.write(
        lambda tx: tx.run(query_of("x", "UPDATE api_keys SET name = 'unseen' WHERE id = :id"), id=key.id)
    )

    await apikeys.update_key((await apikeys.list_keys())[0].id, name="seen")
    await other_node.refresh()

    assert other_node.authenticate(text).name == "key"
    assert other_node.authenticate(second).name == "seen"


async def test_a_revoked_key_stays_revoked(apikeys, tenant):
    _, key, text = await tenant()

    first = await apikeys.revoke_key(key.id)
    second = await apikeys.revoke_key(key.id)

    assert first.revoked_at_ms == second.revoked_at_ms is not None
    await apikeys.update_key(key.id, name="again")
    assert not knows(apikeys, text)


async def test_a_node_that_starts_knows_no_revoked_key(apikeys, tenant, database, secret, clock):
    _, key, text = await tenant()
    await apikeys.revoke_key(key.id)
    node = ApiKeys(database, secret, clock)

    await node.load()

    assert not knows(node, text)


# What is refused


async def test_f028_a_key_makes_none_that_may_do_more(apikeys, tenant):
    account, maker, _ = await tenant(models=("gpt-4o",))

    with pytest.raises(PermissionDenied, match="models"):
        await apikeys.create_key(account.id, "live", name="more", maker=maker)
    made, _ = await apikeys.create_key(
        account.id, "live", name="same", restrictions=Restrictions(models=("gpt-4o",)), maker=maker
    )
    with pytest.raises(PermissionDenied, match="models"):
        await apikeys.update_key(made.id, restrictions=Restrictions(), maker=maker)

    assert len(await apikeys.list_keys(account.id)) == 2


async def test_f028_a_key_does_not_change_one_that_may_do_more(apikeys, tenant):
    account, maker, _ = await tenant(models=("gpt-4o",))
    wide, _ = await apikeys.create_key(account.id, "live", name="wide")

    with pytest.raises(PermissionDenied):
        await apikeys.update_key(wide.id, name="mine now", maker=maker)


async def test_what_a_key_made_is_noted_under_its_id(apikeys, tenant, database):
    account, maker, _ = await tenant()

    made, _ = await apikeys.create_key(account.id, "live", name="made", maker=maker)

    noted = [row for row in await rows(database, "audit") if row["subject"] == made.id]
    assert [(row["actor"], row["action"]) for row in noted] == [(maker.id, "key.create")]


async def test_an_admin_key_belongs_to_no_account_and_any_other_to_one(apikeys):
    for account_id, mode in ((None, "live"), (None, "test"), ("acct_1", "admin")):
        with pytest.raises(InvalidRequest):
            await apikeys.create_key(account_id, mode, name="key")


REFUSED = (
    ("operations", {"operations": ()}),
    ("models", {"models": ("gpt-4o", "")}),
    ("ip_networks", {"ip_networks": ()}),
    ("requests_per_minute", {"requests_per_minute": 0}),
    ("tokens_per_minute", {"tokens_per_minute": 2**31}),
    ("parallel_max", {"parallel_max": -1}),
    ("budget_period", {"budget": Money(1)}),
    ("budget_period", {"budget_period": "day"}),
    ("budget_period", {"budget": Money(1), "budget_period": "week"}),
    ("budget", {"budget": Money(-1), "budget_period": "day"}),
    ("budget", {"budget": Money(2**63), "budget_period": "day"}),
    ("expires_at_ms", {"expires_at_ms": 2**63}),
    ("expires_at_ms", {"expires_at_ms": -1}),
)


async def test_restrictions_that_cannot_be_meant_are_refused_by_name(apikeys, tenant):
    account, key, _ = await tenant()

    for param, fields in REFUSED:
        wanted = Restrictions(**fields)
        with pytest.raises(InvalidRequest) as error:
            await apikeys.create_key(account.id, "live", name="key", restrictions=wanted)
        assert error.value.param == param
        with pytest.raises(InvalidRequest):
            await apikeys.update_key(key.id, restrictions=wanted)


async def test_f020_a_name_that_cannot_be_stored_or_shown_is_refused(apikeys, tenant):
    account, key, _ = await tenant()

    for name in ("", "  ", "a\0b", "a\nb", "\ud800", "x" * 201):
        for attempt in (
            lambda given=name: apikeys.create_account(given),
            lambda given=name: apikeys.update_account(replace(account, name=given)),
            lambda given=name: apikeys.create_key(account.id, "live", name=given),
            lambda given=name: apikeys.update_key(key.id, name=given),
        ):
            with pytest.raises(InvalidRequest) as error:
                await attempt()
            assert error.value.param == "name"


async def test_an_account_that_cannot_be_is_refused_by_name(apikeys, tenant):
    account, _, _ = await tenant()

    for param, value in (("price_group", "nobody"), ("parallel_max", -1), ("open_tasks_max", 2**31)):
        for attempt in (
            lambda given={param: value}: apikeys.create_account("a", **given),
            lambda given={param: value}: apikeys.update_account(replace(account, **given)),
        ):
            with pytest.raises(InvalidRequest) as error:
                await attempt()
            assert error.value.param == param


async def test_what_is_not_there_is_not_found(apikeys, new_account):
    for attempt in (
        lambda: apikeys.get_account("acct_x"),
        lambda: apikeys.suspend_account("acct_x"),
        lambda: apikeys.update_account(new_account(id="acct_x")),
        lambda: apikeys.create_key("acct_x", "live", name="key"),
        lambda: apikeys.get_key("key_x"),
        lambda: apikeys.update_key("key_x", name="n"),
        lambda: apikeys.revoke_key("key_x"),
    ):
        with pytest.raises(NotFound):
            await attempt()


async def test_a_refused_change_leaves_nothing_behind(apikeys, database):
    with pytest.raises(NotFound):
        await apikeys.create_key("acct_x", "live", name="key")

    assert await rows(database, "api_keys") == []
    assert await rows(database, "audit") == []


# Lists


async def test_lists_are_newest_first_in_pages(apikeys, tenant):
    made = [await tenant() for _ in range(5)]
    accounts = [account.id for account, _, _ in made][::-1]
    keys = [key.id for _, key, _ in made][::-1]

    assert [account.id for account in await apikeys.list_accounts()] == accounts
    assert [account.id for account in await apikeys.list_accounts(limit=2, before=accounts[1])] == accounts[2:4]
    assert [key.id for key in await apikeys.list_keys()] == keys
    assert [key.id for key in await apikeys.list_keys(limit=2, before=keys[2])] == keys[3:]


async def test_keys_of_an_account_are_listed_with_the_revoked_ones(apikeys, tenant):
    account, key, _ = await tenant()
    await tenant()
    await apikeys.revoke_key(key.id)

    listed = await apikeys.list_keys(account.id)

    assert [one.id for one in listed] == [key.id]
    assert listed[0].revoked_at_ms is not None
    assert listed[0].account == account


async def test_s8_each_change_is_noted_once(apikeys, tenant, database):
    account, key, _ = await tenant()
    await apikeys.update_account(replace(account, name="other"))
    await apikeys.suspend_account(account.id)
    await apikeys.resume_account(account.id)
    await apikeys.update_key(key.id, name="other")
    await apikeys.revoke_key(key.id)
    await apikeys.revoke_key(key.id)

    assert await actions(database) == [
        "account.create",
        "key.create",
        "account.update",
        "account.suspend",
        "account.resume",
        "key.update",
        "key.revoke",
    ]


async def test_a_clock_of_its_own_decides_on_expiry(apikeys, database, secret, tenant, clock):
    """P19: a node whose wall clock is an hour ahead refuses sooner; it lets nobody in for longer than the key lives."""
    _, _, text = await tenant(expires_at_ms=clock.now_ms() + 60_000)
    ahead = ApiKeys(database, secret, ManualClock(wall_ms=clock.now_ms() + 3_600_000))
    await ahead.load()

    assert not knows(ahead, text)
    assert knows(apikeys, text)

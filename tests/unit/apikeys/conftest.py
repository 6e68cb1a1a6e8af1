"""What the tests of keys share: accounts and keys, with everything filled in that a test is not about."""

from collections.abc import Callable
from ipaddress import ip_network

import pytest

from yiapi.apikeys import Account, ApiKeys, Key
from yiapi.db import Database


@pytest.fixture
async def apikeys(database: Database, secret, clock) -> ApiKeys:
    apikeys = ApiKeys(database, secret, clock)
    await apikeys.load()
    return apikeys


@pytest.fixture
async def other_node(database: Database, secret, clock, apikeys: ApiKeys) -> ApiKeys:
    """Another node on the same database; it sees what changed when it refreshes."""
    other = ApiKeys(database, secret, clock)
    await other.load()
    return other


@pytest.fixture
def new_account() -> Callable[..., Account]:
    def make(**fields) -> Account:
        values = {
            "id": "acct_1",
            "name": "customer",
            "status": "active",
            "price_group": "default",
            "parallel_max": 1000,
            "open_tasks_max": 1000,
        }
        return Account(**(values | fields))

    return make


@pytest.fixture
def key_with(new_account) -> Callable[..., Key]:
    """A key of one account in mode live; networks may be given as texts."""

    def make(**fields) -> Key:
        values = {"id": "key_1", "account": new_account(), "mode": "live", "name": "key", "hint": "sk-live-…abcd"}
        if fields.get("ip_networks") is not None:
            fields["ip_networks"] = tuple(ip_network(text) for text in fields["ip_networks"])
        return Key(**(values | fields))

    return make

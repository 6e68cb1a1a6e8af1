"""What the tests of channels share: channels by hand for decisions, and the room itself on either database."""

from collections.abc import Callable
from types import MappingProxyType

import pytest

from yiapi.channels import Channel, Channels, Credential
from yiapi.db import Database
from yiapi.secrets import Seal
from yiapi.upstream import Redactor, target_of

PERMITTED = ("vendor.example:8000", "vendor.example:444")


@pytest.fixture(scope="session")
def new_channel() -> Callable[..., Channel]:
    """A live channel; what a test does not say is of no matter to it."""

    def make(channel_id: str = "chan_1", **fields) -> Channel:
        values = {
            "id": channel_id,
            "provider": "openai",
            "name": channel_id,
            "mode": "live",
            "base_url": "https://vendor.example",
            "target": target_of("https://vendor.example"),
            "weight": 1,
            "priority": 0,
            "price_groups": None,
            "models": None,
            "model_names": MappingProxyType({}),
            "settings": MappingProxyType({}),
            "parallel_max": None,
            "credentials": (Credential("cred_1", "secret", "…"),),
            "is_sandbox": False,
            "redactor": Redactor([]),
        }
        return Channel(**(values | fields))

    return make


@pytest.fixture
async def channels(database: Database, secret, clock) -> Channels:
    channels = Channels(database, Seal(secret, "credentials"), clock, permitted=PERMITTED)
    await channels.load()
    return channels


@pytest.fixture
async def other_node(database: Database, secret, clock, channels: Channels) -> Channels:
    """Another node on the same database; it sees what changed when it refreshes."""
    other = Channels(database, Seal(secret, "credentials"), clock, permitted=PERMITTED)
    await other.load()
    return other

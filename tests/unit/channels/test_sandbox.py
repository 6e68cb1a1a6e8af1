"""The sandbox's channels: one per provider, written by the station at each start, changed by nobody else."""

import pytest

from yiapi.channels import Channels, Routing
from yiapi.errors import NotFound
from yiapi.providers.registry import Registry
from yiapi.secrets import Seal, ServerSecret

URL = "http://127.0.0.1:8090"
KEY = "sandbox-key-0123456789"
REGISTRY = Registry.discover()


@pytest.fixture
async def made(channels: Channels) -> Channels:
    assert await channels.ensure_sandbox_channels(REGISTRY, URL, KEY)
    return channels


async def test_each_provider_has_a_channel_in_mode_test_at_its_own_path(made):
    for slug, provider in REGISTRY.providers.items():
        [channel] = made.candidates(slug, "test", "default", "any")

        assert channel.is_sandbox
        assert channel.base_url == f"{URL}/{slug}"
        assert channel.credentials[0].secret == provider.sandbox_credential.format(key=KEY)
        assert made.candidates(slug, "live", "default", "any") == [], "a live key never falls through to the sandbox"


async def test_the_next_start_changes_nothing(made, other_node):
    await other_node.refresh()

    assert not await made.ensure_sandbox_channels(REGISTRY, URL, KEY)

    assert not await other_node.refresh()


@pytest.mark.parametrize(("address", "key"), [("http://127.0.0.1:9999", KEY), (URL, "another-key-0123456789")])
async def test_another_address_or_key_is_taken_over_under_the_same_id(made, address, key):
    before = {channel.id for channel in await made.list_channels()}

    assert await made.ensure_sandbox_channels(REGISTRY, address, key)

    [channel] = made.candidates("openai", "test", "default", "any")
    assert channel.base_url == f"{address}/openai"
    assert key in channel.credentials[0].secret
    assert {channel.id for channel in await made.list_channels()} == before


async def test_a_station_without_its_sandbox_switches_them_off_and_on_again(made):
    assert await made.ensure_sandbox_channels(REGISTRY, None, KEY)
    assert made.candidates("openai", "test", "default", "any") == []
    assert not await made.ensure_sandbox_channels(REGISTRY, None, KEY)

    await made.ensure_sandbox_channels(REGISTRY, URL, KEY)

    assert len(made.candidates("openai", "test", "default", "any")) == 1


async def test_a_station_with_another_secret_seals_them_anew(made, database, clock):
    seal = Seal(ServerSecret("another-secret-of-the-tests-9876543210"), "credentials")
    another = Channels(database, seal, clock)

    assert await another.ensure_sandbox_channels(REGISTRY, URL, KEY)

    assert len(another.candidates("openai", "test", "default", "any")) == 1


async def test_nobody_changes_or_disables_them(made):
    [channel] = made.candidates("kling", "test", "default", "any")

    for attempt in (
        lambda: made.update_channel(channel.id, routing=Routing(weight=5)),
        lambda: made.enable_channel(channel.id),
    ):
        with pytest.raises(NotFound):
            await attempt()
    assert not await made.disable_channel(channel.id, "reason")
    assert not await made.disable_credential(channel.credentials[0].id, "credential")

    assert list(made.candidates("kling", "test", "default", "any")) == [channel]


async def test_only_the_sandboxs_own_address_is_permitted_to_them(made):
    [channel] = made.candidates("openai", "test", "default", "any")

    assert channel.target.permitted == frozenset({"127.0.0.1:8090"})

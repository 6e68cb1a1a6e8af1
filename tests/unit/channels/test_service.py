"""Channels as they are stored and known: sealed credentials, what an operator may enter, how soon a change counts."""

import pytest

from yiapi.channels import Channels, Routing, pick_credential
from yiapi.db.sql import query_of
from yiapi.errors import InvalidRequest, NotFound
from yiapi.secrets import Seal, ServerSecret

URL = "https://vendor.example"
SECRET = "sk-vendor-0123456789abcdef"
OTHER = "sk-vendor-fedcba9876543210"
TABLES = ("channels", "channel_credentials", "audit")


async def rows(database, name):
    query = query_of(name, f"SELECT * FROM {name}")
    return [dict(row) for row in await database.read(lambda tx: tx.all(query))]


async def run(database, sql, **params):
    await database.write(lambda tx: tx.run(query_of("x", sql), **params))


@pytest.fixture
def create(channels):
    """Make a channel to OpenAI and return its id."""

    async def make(*credentials, provider="openai", url=URL, name="first", **routing):
        return await channels.create_channel(
            provider, name, url, list(credentials) or [SECRET], routing=Routing(**routing), actor="ann"
        )

    return make


def candidates(channels, model="gpt-4o", group="default", provider="openai"):
    return [channel.id for channel in channels.candidates(provider, "live", group, model)]


# Credentials


async def test_a_credential_is_kept_sealed_and_never_shown(channels, create, database):
    channel_id = await create(SECRET)
    await channels.update_channel(channel_id, credentials=[SECRET, OTHER])
    await channels.disable_credential((await rows(database, "channel_credentials"))[0]["id"], "credential")

    seen = str([await rows(database, table) for table in TABLES]) + repr(await channels.list_channels())
    seen += repr(channels.get(channel_id))

    assert SECRET not in seen
    assert OTHER not in seen
    assert [one.hint for one in (await channels.list_channels())[0].credentials] == ["…cdef", "…3210"]


async def test_a_short_credential_shows_nothing_of_itself(channels, create):
    await create("short-secret")

    assert (await channels.list_channels())[0].credentials[0].hint == "…"


async def test_a_credential_is_opened_for_its_own_row_only(channels, create, other_node, database):
    first = await create(SECRET)
    second = await create(OTHER, name="second")
    await run(
        database,
        "UPDATE channel_credentials SET sealed = (SELECT sealed FROM channel_credentials WHERE channel_id = :other)"
        " WHERE channel_id = :own",
        other=first,
        own=second,
    )

    await other_node.refresh()

    assert candidates(other_node) == [first]
    assert other_node.get(second).credentials == ()


async def test_nothing_opens_under_another_secret(channels, create, database, clock):
    await create(SECRET)
    stranger = Channels(database, Seal(ServerSecret("another-secret-of-the-tests-9876543210"), "credentials"), clock)

    await stranger.load()

    assert candidates(stranger) == []


async def test_a_text_that_was_never_sealed_is_no_credential(channels, create, other_node, database):
    await create(SECRET)
    await run(database, "UPDATE channel_credentials SET sealed = 'sk-vendor-in-plain'")

    await other_node.refresh()

    assert candidates(other_node) == []


async def test_credentials_take_turns(channels, create):
    channel_id = await create("secret-number-one", "secret-number-two", "secret-number-three")
    channel = channels.get(channel_id)

    shown = [pick_credential(channel, spread).secret for spread in range(6)]

    assert shown[:3] == ["secret-number-one", "secret-number-two", "secret-number-three"]
    assert shown[3:] == shown[:3]


SECRETS_REFUSED = (
    *([], [""], [" key"], ["key "], ["k\ney"], ["k\0ey"], ["schlüssel"], ["key", "key"]),
    *(["k" * 8193], ["\ud800"]),
)


async def test_a_credential_that_could_not_go_up_in_a_header_is_refused(channels, create):
    channel_id = await create()

    for secrets in SECRETS_REFUSED:
        for attempt in (
            lambda given=secrets: channels.create_channel("openai", "second", URL, given),
            lambda given=secrets: channels.update_channel(channel_id, credentials=given),
        ):
            with pytest.raises(InvalidRequest) as error:
                await attempt()
            assert error.value.param == "credentials"
            assert not any(len(secret) > 3 and secret in error.value.message for secret in secrets)


# A credential that the provider refuses


async def test_a_bad_credential_is_out_and_the_others_go_on(channels, create, other_node, database):
    channel_id = await create(SECRET, OTHER)
    bad = channels.get(channel_id).credentials[0].id

    assert await channels.disable_credential(bad, "credential")
    await other_node.refresh()

    for node in (channels, other_node):
        assert [one.secret for one in node.get(channel_id).credentials] == [OTHER]
        assert candidates(node) == [channel_id]
    noted = (await channels.list_channels())[0].credentials[0]
    assert (noted.enabled, noted.reason) == (False, "credential")


async def test_a_channel_without_a_credential_left_is_switched_off_and_says_why(channels, create, database):
    channel_id = await create(SECRET)

    await channels.disable_credential(channels.get(channel_id).credentials[0].id, "upstream_credit")

    row = (await channels.list_channels())[0]
    assert (row.enabled, row.reason) == (False, "no credential is left: upstream_credit")
    assert candidates(channels) == []
    assert {"credential.disable", "channel.disable"} <= {one["action"] for one in await rows(database, "audit")}


async def test_disabling_a_credential_again_changes_and_notes_nothing(channels, create, database):
    channel_id = await create(SECRET, OTHER)
    bad = channels.get(channel_id).credentials[0].id
    await channels.disable_credential(bad, "credential")
    before = await rows(database, "audit")

    assert not await channels.disable_credential(bad, "credential")
    assert not await channels.disable_credential("cred_x", "credential")

    assert await rows(database, "audit") == before


async def test_enabling_a_channel_uses_all_its_credentials_again(channels, create):
    channel_id = await create(SECRET, OTHER)
    for credential in channels.get(channel_id).credentials:
        await channels.disable_credential(credential.id, "credential")

    await channels.enable_channel(channel_id)

    assert candidates(channels) == [channel_id]
    assert len(channels.get(channel_id).credentials) == 2


async def test_what_a_disabled_credential_was_is_still_redacted(channels, create):
    plain = "of-no-shape-that-anybody-knows"
    channel_id = await create(plain, OTHER)
    await channels.disable_credential(channels.get(channel_id).credentials[0].id, "credential")

    cleaned = channels.get(channel_id).redactor.clean(f"bad key {plain} of {URL}", 500)

    assert plain not in cleaned
    assert "vendor.example" not in cleaned


# Addresses


ADDRESSES_REFUSED = (
    *("http://vendor.example", "https://10.0.0.7", "https://127.0.0.2", "https://[::1]", "http://169.254.169.254/x"),
    *("https://user:pass@vendor.example", "https://vendor.example?key=1", "https://vendor.example/#x"),
    *("ftp://vendor.example", "vendor.example", "", "https://", "https://vendor.example\n", "https://\ud800.example"),
)


async def test_s5_a_base_url_that_is_not_public_is_refused(channels, create):
    channel_id = await create()

    for address in ADDRESSES_REFUSED:
        for attempt in (
            lambda given=address: create(url=given),
            lambda given=address: channels.update_channel(channel_id, base_url=given),
        ):
            with pytest.raises(InvalidRequest) as error:
                await attempt()
            assert error.value.param == "base_url", address


async def test_a_permitted_host_may_be_private_and_without_tls(channels, create):
    channel_id = await create(url="http://vendor.example:8000/v1/")

    assert channels.get(channel_id).base_url == "http://vendor.example:8000/v1"


async def test_a_secret_does_not_follow_to_another_host(channels, create):
    for address in ("https://other.example", "https://vendor.example:444", "http://vendor.example:8000"):
        channel_id = await create()

        with pytest.raises(InvalidRequest) as error:
            await channels.update_channel(channel_id, base_url=address)

        assert error.value.param == "credentials"
        await channels.update_channel(channel_id, base_url=address, credentials=[OTHER])
        assert channels.get(channel_id).base_url == address


async def test_another_path_of_the_same_host_keeps_the_secret(channels, create):
    channel_id = await create()

    await channels.update_channel(channel_id, base_url=f"{URL}/europe")

    assert channels.get(channel_id).credentials[0].secret == SECRET


# Routing


ROUTING_REFUSED = (
    ("weight", {"weight": -1}),
    ("weight", {"weight": 2**31}),
    ("priority", {"priority": 2**31}),
    ("parallel_max", {"parallel_max": 0}),
    ("price_groups", {"price_groups": ()}),
    ("models", {"models": ("gpt-4o", "")}),
)


async def test_routing_that_cannot_be_meant_is_refused_by_name(create):
    for param, routing in ROUTING_REFUSED:
        with pytest.raises(InvalidRequest) as error:
            await create(**routing)
        assert error.value.param == param


async def test_a_name_that_cannot_be_stored_or_shown_is_refused(create):
    for name in ("", "  ", "x" * 201, "a\0b", "\ud800"):
        with pytest.raises(InvalidRequest):
            await create(name=name)


async def test_routing_comes_back_as_it_was_entered(channels, create, other_node):
    routing = {
        "weight": 3,
        "priority": 2,
        "price_groups": ("partners",),
        "models": ("gpt-*",),
        "model_names": {"gpt-4o": "deployment-1"},
        "settings": {"usual_s": 40, "organization": "org-0123456789"},
        "parallel_max": 9,
    }
    channel_id = await create(**routing)

    await other_node.refresh()

    assert (await channels.list_channels())[0].routing == Routing(**routing)
    channel = other_node.get(channel_id)
    assert (channel.weight, channel.priority, channel.parallel_max) == (3, 2, 9)
    assert channel.model_names["gpt-4o"] == "deployment-1"
    assert "org-0123456789" not in channel.redactor.clean("quota of org-0123456789", 500)


async def test_a_channel_serves_its_models_and_price_groups(channels, create):
    everything = await create()
    partners = await create(name="partners", price_groups=("partners",))
    small = await create(name="small", models=("gpt-4o-mini", "o?-*"))

    assert set(candidates(channels)) == {everything}
    assert set(candidates(channels, group="partners")) == {everything, partners}
    assert set(candidates(channels, model="gpt-4o-mini")) == {everything, small}
    assert set(candidates(channels, model="o1-pro")) == {everything, small}
    assert set(candidates(channels, model="gpt-4o-mini-2")) == {everything}


async def test_channels_of_one_provider_and_mode_are_no_candidates_of_another(channels, create):
    await create()

    assert candidates(channels, provider="kling") == []
    assert channels.candidates("openai", "test", "default", "gpt-4o") == []


# How soon a change counts


async def test_a_change_counts_here_at_once_and_elsewhere_after_a_refresh(channels, create, other_node):
    channel_id = await create()
    assert candidates(channels) == [channel_id]
    assert candidates(other_node) == []
    assert await other_node.refresh()
    assert candidates(other_node) == [channel_id]

    await channels.disable_channel(channel_id, "too dear", actor="ann")

    assert candidates(channels) == []
    assert await other_node.refresh()
    assert candidates(other_node) == []


async def test_a_refresh_without_a_change_says_so(create, other_node):
    await create()

    assert await other_node.refresh()
    assert not await other_node.refresh()


async def test_a_channel_that_is_off_can_still_be_asked_for_its_tasks(channels, create):
    channel_id = await create()
    await channels.disable_channel(channel_id, "too dear")

    assert channels.get(channel_id).credentials[0].secret == SECRET


async def test_switching_off_again_changes_nothing(channels, create, other_node):
    channel_id = await create()
    assert await channels.disable_channel(channel_id, "too dear")
    await other_node.refresh()

    assert not await channels.disable_channel(channel_id, "another reason")
    assert not await channels.disable_channel("chan_x", "not there")

    assert not await other_node.refresh()
    assert (await channels.list_channels())[0].reason == "too dear"


async def test_what_is_not_there_is_not_found(channels):
    for attempt in (
        lambda: channels.update_channel("chan_x", name="n"),
        lambda: channels.enable_channel("chan_x"),
    ):
        with pytest.raises(NotFound):
            await attempt()
    assert channels.get("chan_x") is None


async def test_one_unusable_channel_does_not_keep_the_others_from_being_known(channels, create, other_node, database):
    good = await create()
    bad = await create(name="bad")
    await run(database, "UPDATE channels SET base_url = 'nonsense' WHERE id = :id", id=bad)

    await other_node.refresh()

    assert candidates(other_node) == [good]


async def test_s8_each_change_is_noted_without_a_secret(channels, create, database):
    channel_id = await create()
    await channels.update_channel(channel_id, name="other", credentials=[OTHER], actor="ann")
    await channels.disable_channel(channel_id, "too dear", actor="ann")
    await channels.enable_channel(channel_id, actor="ann")

    noted = sorted(await rows(database, "audit"), key=lambda row: row["id"])

    assert [(row["actor"], row["action"], row["subject"]) for row in noted] == [
        ("ann", f"channel.{verb}", channel_id) for verb in ("create", "update", "disable", "enable")
    ]
    assert OTHER not in str(noted)

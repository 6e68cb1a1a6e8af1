"""What the operator has switched off, and whose files stay where they are."""

import pytest

from yiapi.db.sql import query_of
from yiapi.errors import InvalidRequest, OperationDisabled
from yiapi.pricing import Switches
from yiapi.providers.registry import Registry


def refused(switches, operation="kling.text2video", model="kling-v1"):
    provider = operation.partition(".")[0]
    try:
        switches.refuse(operation, provider, model)
    except OperationDisabled as error:
        return error.message
    return None


@pytest.fixture
async def other_node(database, switches):
    other = Switches(database)
    await other.load()
    return other


async def test_what_has_no_switch_is_on_and_its_files_are_mirrored(switches):
    assert refused(switches) is None
    assert switches.is_enabled("kling.text2video")
    assert switches.assets("kling.text2video") == "mirror"


async def test_an_operation_that_is_off_says_what_the_operator_wrote(switches):
    await switches.set("operation:kling.text2video", enabled=False, message="back on Monday", author="ann")

    assert refused(switches) == "back on Monday"
    assert not switches.is_enabled("kling.text2video")
    assert refused(switches, "kling.image") is None


async def test_without_words_of_the_operator_it_says_what_is_off(switches):
    await switches.set("operation:kling.text2video", enabled=False, author="ann")

    assert refused(switches) == "kling.text2video is switched off."


async def test_a_model_is_off_for_every_operation_of_its_provider(switches):
    await switches.set("model:kling/kling-v1", enabled=False, message="old", author="ann")

    assert refused(switches) == refused(switches, "kling.image") == "old"
    assert refused(switches, model="kling-v1-6") is None
    assert refused(switches, "openai.chat") is None
    assert refused(switches, model=None) is None


async def test_a_pattern_switches_models_off(switches):
    await switches.set("model:kling/kling-v1*", enabled=False, message="old", author="ann")

    assert refused(switches, model="kling-v1-6") == "old"
    assert refused(switches, model="kling-v2") is None


async def test_an_exact_name_does_not_switch_on_what_a_pattern_switched_off(switches):
    await switches.set("model:kling/kling-v*", enabled=False, message="all off", author="ann")
    await switches.set("model:kling/kling-v1", enabled=True, author="ann")

    assert refused(switches) == "all off"


async def test_a_switch_is_turned_on_again(switches):
    await switches.set("operation:kling.text2video", enabled=False, author="ann")
    await switches.set("operation:kling.text2video", enabled=True, author="ann")

    assert refused(switches) is None


async def test_files_stay_where_they_are_for_one_operation(switches):
    await switches.set("operation:ideogram.generate", enabled=True, assets="original", author="ann")

    assert switches.assets("ideogram.generate") == "original"
    assert switches.assets("ideogram.remix") == "mirror"
    assert refused(switches, "ideogram.generate") is None


async def test_a_change_counts_here_at_once_and_elsewhere_after_a_refresh(switches, other_node):
    await switches.set("operation:kling.text2video", enabled=False, author="ann")

    assert refused(other_node) is None
    assert await other_node.refresh()
    assert refused(other_node) is not None
    assert not await other_node.refresh()


async def test_repeating_a_switch_changes_and_notes_nothing(switches, other_node, database):
    await switches.set("operation:kling.text2video", enabled=False, author="ann")
    await other_node.refresh()

    await switches.set("operation:kling.text2video", enabled=False, author="bob")

    assert not await other_node.refresh()
    noted = await database.read(lambda tx: tx.all(query_of("audit", "SELECT * FROM audit")))
    assert [(row["actor"], row["action"], row["subject"]) for row in noted] == [
        ("ann", "switch.set", "operation:kling.text2video")
    ]


async def test_what_names_nothing_is_refused(switches):
    for name in ("", "kling", "operation:kling", "operation:Kling.x", "model:kling", "model:kling/", "model:kling/a b"):
        with pytest.raises(InvalidRequest):
            await switches.set(name, enabled=False, author="ann")
    for name in ("model:kling/a\0b", "model:kling/\ud800", f"model:kling/{'x' * 201}"):
        with pytest.raises(InvalidRequest):
            await switches.set(name, enabled=False, author="ann")
    with pytest.raises(InvalidRequest):
        await switches.set("model:kling/kling-v1", enabled=True, assets="original", author="ann")
    with pytest.raises(InvalidRequest):
        await switches.set("operation:kling.image", enabled=False, message="a\0b", author="ann")

    assert await switches.list() == []


async def test_every_operation_can_be_switched_off(switches):
    names = sorted(Registry.discover().served)

    for name in names:
        await switches.set(f"operation:{name}", enabled=False, author="ann")

    assert not any(switches.is_enabled(name) for name in names)


async def test_switches_are_listed_by_name(switches):
    for name in ("operation:kling.image", "model:openai/gpt-4o"):
        await switches.set(name, enabled=False, author="ann")

    assert [switch.name for switch in await switches.list()] == ["model:openai/gpt-4o", "operation:kling.image"]

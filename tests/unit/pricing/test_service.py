"""Books in the database: edits and imports make new versions, old ones stay, and every node takes the new one over."""

import asyncio
import json

import pytest

from yiapi.db.sql import query_of
from yiapi.errors import InvalidRequest, ModelNotFound, NotFound, Overloaded
from yiapi.money import Money
from yiapi.pricing import MULTIPLIER_ONE, PriceFileInvalid, PriceFilter, Pricing, price_of
from yiapi.providers.contract import Unit, Usage
from yiapi.providers.registry import Registry

FILE = """
[[price]]
sku = "kling-v1"
image = { sell = "0.004", cost = "0.003" }

[[price]]
sku = "kling-v2"
image = { sell = "0.02", cost = "0.02" }
"""
USED = json.dumps([{"sku": "kling-v1", "unit": "image", "quantity": 3}])


def sell(pricing, sku="kling-v1", unit=Unit.IMAGE):
    found = pricing.book.row("kling", sku, unit)
    return None if found is None else found.sell


@pytest.fixture
async def imported(pricing, files):
    files.write(FILE)
    await pricing.import_files(files.registry, folder=files.folder)
    return pricing


@pytest.fixture
def edit(pricing):
    async def make(sku="kling-v1", sell=7, **fields):
        values = {"cost": 1, "author": "ann"} | fields
        return await pricing.edit("kling", sku, Unit.IMAGE, sell=sell, **values)

    return make


# Import


async def test_an_import_makes_one_book_and_the_next_changes_nothing(imported, files):
    assert imported.book.version == 1
    assert sell(imported) == 4_000_000_000_000

    assert await imported.import_files(files.registry, folder=files.folder) is None
    assert imported.book.version == 1


async def test_two_nodes_that_start_together_import_once(pricing, other_node, files):
    files.write(FILE)

    versions = await asyncio.gather(
        *(node.import_files(files.registry, folder=files.folder) for node in (pricing, other_node))
    )

    assert sorted(versions, key=str) == [1, None]


async def test_a_changed_file_changes_ends_and_begins_prices(imported, files):
    files.write(FILE.replace("0.004", "0.005").replace("kling-v2", "kling-v3"))

    assert await imported.import_files(files.registry, folder=files.folder) == 2

    assert sell(imported) == 5_000_000_000_000
    assert sell(imported, "kling-v2") is None
    assert sell(imported, "kling-v3") is not None


async def test_an_import_leaves_the_operators_rows_alone(imported, files, edit):
    await edit("kling-v1", sell=9)
    await edit("kling-own", sell=5)
    files.write(FILE.replace("0.004", "0.005"))

    assert await imported.import_files(files.registry, folder=files.folder) is None

    assert (sell(imported), sell(imported, "kling-own")) == (9, 5)


async def test_a_file_that_is_no_price_file_changes_nothing(imported, files):
    files.write(FILE + "\n[[price]]\nsku = 5")

    with pytest.raises(PriceFileInvalid):
        await imported.import_files(files.registry, folder=files.folder)

    assert imported.book.version == 1


async def test_a_file_that_is_gone_ends_its_prices(imported, files):
    (files.folder / "kling.toml").unlink()

    assert await imported.import_files(files.registry, folder=files.folder) == 2
    assert sell(imported) is None


async def test_prices_of_a_provider_that_is_gone_stay(imported, files):
    """A recorded task of it can still be priced and settled."""
    assert await imported.import_files(Registry([]), folder=files.folder) is None
    assert sell(imported) is not None


# Edits


async def test_an_edit_is_a_new_book_and_the_old_one_stays(imported, edit):
    assert await edit(sell=9) == 2

    assert sell(imported) == 9
    old = await imported.book_at(1)
    assert old.row("kling", "kling-v1", Unit.IMAGE).sell == 4_000_000_000_000
    assert imported.book.row("kling", "kling-v2", Unit.IMAGE) is not None


async def test_repeating_an_edit_changes_nothing(imported, edit):
    assert await edit(sell=9) == 2
    assert await edit(sell=9) == 2


async def test_an_edit_takes_a_files_row_over_although_the_price_is_the_same(imported, files):
    version = await imported.edit(
        "kling", "kling-v1", Unit.IMAGE, sell=4_000_000_000_000, cost=3_000_000_000_000, author="ann"
    )
    files.write(FILE.replace("0.004", "0.005"))
    await imported.import_files(files.registry, folder=files.folder)

    assert version == 2
    assert sell(imported) == 4_000_000_000_000


async def test_a_removed_price_comes_back_with_the_next_import(imported, files):
    assert await imported.remove("kling", "kling-v1", Unit.IMAGE, author="ann") == 2
    assert sell(imported) is None

    assert await imported.import_files(files.registry, folder=files.folder) == 3
    assert sell(imported) is not None


async def test_a_price_that_is_not_there_cannot_be_removed(imported):
    with pytest.raises(NotFound):
        await imported.remove("kling", "kling-v1", Unit.SECOND, author="ann")


async def test_what_cannot_be_a_price_is_refused(imported, edit):
    for fields in (
        {"sell": -1},
        {"sell": 2**63},
        {"cost": -1},
        {"sell": 0},
        {"sell": 5, "is_free": True},
        {"quantity_max": 0},
        {"sku": ""},
        {"sku": "a b"},
        {"sku": "x" * 201},
        {"sku": "a\0b"},
        {"sku": "\ud800"},
        {"author": ""},
        {"author": "file"},
    ):
        with pytest.raises(InvalidRequest):
            await edit(**fields)
    assert imported.book.version == 1


async def test_the_largest_price_is_kept_exactly(imported, edit):
    await edit(sell=2**63 - 1, cost=2**63 - 1, quantity_max=2**63 - 1)

    assert sell(imported) == 2**63 - 1


async def test_s8_each_edit_is_noted_with_before_and_after(imported, edit, database):
    await edit(sell=9, note="dearer now")
    await imported.remove("kling", "kling-v1", Unit.IMAGE, author="bob")

    noted = await database.read(lambda tx: tx.all(query_of("audit", "SELECT * FROM audit ORDER BY id")))

    assert [(row["actor"], row["action"], row["subject"]) for row in noted] == [
        ("ann", "price.edit", "kling/kling-v1 image"),
        ("bob", "price.remove", "kling/kling-v1 image"),
    ]
    detail = json.loads(noted[0]["detail"])
    assert (detail["before"]["sell"], detail["after"]["sell"], detail["note"]) == (4_000_000_000_000, 9, "dearer now")


# Every node


async def test_another_node_takes_a_new_book_over_when_it_refreshes(imported, other_node, edit, clock):
    await other_node.refresh()
    await edit(sell=9)
    assert sell(other_node) == 4_000_000_000_000

    clock.turn(1)
    assert await other_node.refresh()

    assert (sell(other_node), other_node.book.version) == (9, 2)
    assert other_node.refreshed_at_ms == clock.now_ms()
    assert not await other_node.refresh()


async def test_a_call_keeps_the_book_that_it_was_accepted_with(imported, edit):
    pinned = imported.book

    await edit(sell=9)

    assert pinned.row("kling", "kling-v1", Unit.IMAGE).sell == 4_000_000_000_000
    assert imported.book is not pinned


async def test_the_book_is_not_read_again_for_a_multiplier(imported):
    before = imported.book

    await imported.set_multiplier("partners", 900_000, author="ann")

    assert imported.book is before
    assert imported.multiplier("partners") == 900_000


# Older books


async def test_a_recorded_request_is_priced_at_its_pinned_version(imported, edit, database):
    await edit(sell=9_000_000)

    prices = [
        await database.read(lambda tx, version=version: price_of(tx, "kling", USED, version, MULTIPLIER_ONE))
        for version in (1, 2)
    ]

    assert prices == [Money(12_000_000), Money(27)]


async def test_a_request_that_used_nothing_costs_nothing_at_any_version(imported, database):
    assert await database.read(lambda tx: price_of(tx, "kling", "[]", 99, MULTIPLIER_ONE)) == Money(0)


async def test_what_was_never_written_cannot_be_priced(imported, database):
    with pytest.raises(NotFound):
        await imported.book_at(99)
    with pytest.raises(NotFound):
        await database.read(lambda tx: price_of(tx, "kling", USED, 99, MULTIPLIER_ONE))
    with pytest.raises(ModelNotFound):
        await database.read(lambda tx: price_of(tx, "kling", USED.replace("v1", "v9"), 1, MULTIPLIER_ONE))
    with pytest.raises(ValueError, match="Expected `str`"):
        await database.read(lambda tx: price_of(tx, "kling", '[{"sku": 5}]', 1, MULTIPLIER_ONE))


async def test_older_books_in_memory_have_an_end(imported, edit):
    for number in range(20):
        await edit(sell=100 + number)

    for version in range(1, 22):
        assert (await imported.book_at(version)).version == version
    assert len(imported._older) <= 16


# Multipliers


async def test_a_group_pays_its_multiple(imported):
    await imported.set_multiplier("partners", 1_500_000, author="ann")

    price = imported.book.price("kling", [Usage("kling-v1", Unit.IMAGE, 1)], imported.multiplier("partners"))

    assert price == Money(6_000_000)
    assert imported.multiplier("default") == MULTIPLIER_ONE


async def test_nobody_pays_a_price_that_was_not_agreed(imported):
    with pytest.raises(Overloaded):
        imported.multiplier("unheard-of")


async def test_what_cannot_be_a_multiplier_is_refused(imported):
    for group, millionths in (("partners", -1), ("partners", 10**9 + 1), ("", 1), ("a\0b", 1)):
        with pytest.raises(InvalidRequest):
            await imported.set_multiplier(group, millionths, author="ann")


async def test_repeating_a_multiplier_notes_nothing(imported, database):
    for _ in range(2):
        await imported.set_multiplier("partners", 1_500_000, author="ann")

    noted = await database.read(lambda tx: tx.all(query_of("audit", "SELECT * FROM audit")))
    assert [row["action"] for row in noted] == ["price_group.set"]


# Lists


async def test_prices_are_listed_by_provider_text_and_author_with_or_without_history(imported, edit):
    await edit(sell=9)
    await edit("kling-own", sell=5)

    async def listed(**wanted):
        return [(one.row.sku, one.row.sell) for one in await imported.list_prices(PriceFilter(**wanted))]

    assert await listed() == [("kling-own", 5), ("kling-v1", 9), ("kling-v2", 20_000_000_000_000)]
    assert await listed(text="v1") == [("kling-v1", 9)]
    assert await listed(text="v1", with_history=True) == [("kling-v1", 4_000_000_000_000), ("kling-v1", 9)]
    assert await listed(author="ann") == [("kling-own", 5), ("kling-v1", 9)]
    assert await listed(author="file") == [("kling-v2", 20_000_000_000_000)]
    assert await listed(provider="openai") == []
    assert await listed(text="%") == []


async def test_a_node_without_a_book_prices_nothing(database, clock):
    empty = Pricing(database, clock)
    await empty.load()

    assert empty.book.version == 0
    with pytest.raises(ModelNotFound):
        empty.book.price("kling", [Usage("kling-v1", Unit.IMAGE, 1)], MULTIPLIER_ONE)

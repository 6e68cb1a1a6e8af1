"""Rows of assets, on both databases."""

import pytest

from yiapi.assets import store
from yiapi.assets.models import Asset
from yiapi.db import Database, DuplicateRow

DAY_S = 24 * 3600


@pytest.fixture
def insert(either_database: Database, kept):
    async def row(life_s: float = DAY_S, position: int = 0, task_id: str | None = None, **facts) -> Asset:
        file = kept(**facts)
        return await either_database.write(
            lambda tx: store.insert(tx, file, request_id="req_1", task_id=task_id, life_s=life_s, position=position)
        )

    return row


async def get(database: Database, asset: Asset, **other: str) -> Asset | None:
    where = {"account_id": asset.account_id, "mode": asset.mode, "asset_id": asset.id} | other
    return await database.read(lambda tx: store.get(tx, **where))


async def test_a_row_comes_back_as_it_was_written(either_database, insert, clock):
    asset = await insert(type="video", content_type="video/mp4", width=64, height=48, duration_s=2.0, task_id="t1")

    assert await get(either_database, asset) == asset
    assert (asset.created_at, asset.expires_at) == (clock.now_ms(), clock.now_ms() + DAY_S * 1000)
    assert isinstance(asset.duration_s, float)
    assert not asset.is_gone


async def test_a_file_has_one_row(either_database, kept):
    file = kept()

    def insert(tx):
        store.insert(tx, file, request_id=None, task_id=None, life_s=1)

    await either_database.write(insert)

    with pytest.raises(DuplicateRow):
        await either_database.write(insert)


async def test_a_row_is_gone_with_the_transaction_that_fails(either_database, kept):
    file = kept()

    def fail(tx):
        store.insert(tx, file, request_id=None, task_id=None, life_s=1)
        raise LookupError

    with pytest.raises(LookupError):
        await either_database.write(fail)

    assert await either_database.read(lambda tx: store.get(tx, "acct_a", "test", file.id)) is None


@pytest.mark.parametrize("other", [{"account_id": "acct_b"}, {"mode": "live"}, {"asset_id": "asset_none"}])
async def test_f025_another_tenants_row_is_not_found(either_database, insert, other):
    asset = await insert()

    assert await get(either_database, asset, **other) is None


async def test_files_of_a_task_list_in_the_order_of_the_vendor(either_database, insert):
    written = [await insert(position=position, task_id="task_1") for position in range(5)]
    await insert(task_id="task_2")

    listed = await either_database.read(lambda tx: store.of_task(tx, "task_1"))

    assert [asset.id for asset in listed] == [asset.id for asset in written]


async def test_a_row_is_gone_when_its_time_is_over(either_database, insert, clock):
    asset = await insert(life_s=60)

    clock.turn(60)

    assert (await get(either_database, asset)).is_gone


async def test_a_row_is_gone_when_it_was_deleted_and_only_once(either_database, insert):
    asset = await insert()

    first = await either_database.write(lambda tx: store.mark_deleted(tx, asset.id))
    second = await either_database.write(lambda tx: store.mark_deleted(tx, asset.id))

    assert (first, second) == (True, False)
    assert (await get(either_database, asset)).is_gone


async def test_aged_out_rows_come_oldest_first_and_once(either_database, insert, clock):
    late, early, _ = await insert(life_s=20), await insert(life_s=10), await insert(life_s=1000)
    clock.turn(30)

    aged = await either_database.read(lambda tx: store.expired(tx, 10))
    await either_database.write(lambda tx: store.mark_deleted(tx, early.id))
    left = await either_database.read(lambda tx: store.expired(tx, 10))

    assert [asset.id for asset in aged] == [early.id, late.id]
    assert [asset.id for asset in left] == [late.id]


async def test_a_vendors_link_is_kept_instead_of_a_file(either_database):
    asset = await either_database.write(
        lambda tx: store.insert_original(
            tx,
            asset_id="asset_o",
            account_id="acct_a",
            mode="live",
            type_="image",
            content_type="image/png",
            original_url="https://vendor.example/x.png",
            request_id=None,
            task_id="task_1",
            life_s=DAY_S,
        )
    )

    assert await get(either_database, asset) == asset
    assert (asset.original_url, asset.size_bytes, asset.sha256) == ("https://vendor.example/x.png", 0, "")


async def test_what_a_tenant_stores_is_counted(either_database, insert, clock):
    await insert(size_bytes=100)
    await insert(size_bytes=2**40)
    await insert(size_bytes=7, mode="live")
    await insert(size_bytes=9, account_id="acct_b")
    deleted, _ = await insert(size_bytes=50), await insert(size_bytes=60, life_s=1)
    await either_database.write(lambda tx: store.mark_deleted(tx, deleted.id))
    clock.turn(2)

    assert await either_database.read(lambda tx: store.stored_bytes(tx, "acct_a", "test")) == 100 + 2**40
    assert await either_database.read(lambda tx: store.stored_bytes(tx, "acct_c", "test")) == 0

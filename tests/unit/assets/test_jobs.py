"""Forgetting files: repeatable, and safe to stop between any two steps."""

import os

import pytest

from yiapi.assets.files import LISTED_MAX
from yiapi.assets.jobs import Sweeper
from yiapi.errors import StorageUnavailable

DAY_S = 24 * 3600


@pytest.fixture
def sweeper(database, folder_files, clock) -> Sweeper:
    return Sweeper(database, folder_files, clock=clock)


async def names(files) -> list[str]:
    return [file.key for file in await files.listed(None)]


async def test_aged_out_files_are_deleted_and_others_stay(assets, make, folder_files, clock):
    await make()
    live = await make(mode="live")
    clock.turn(DAY_S)

    assert await assets.sweep() == 1

    assert await names(folder_files) == [f"acct_a/{live.id}"]
    assert await assets.sweep() == 0


async def test_a_sweep_takes_as_many_as_it_was_told(assets, make, clock):
    for _ in range(3):
        await make()
    clock.turn(DAY_S)

    assert [await assets.sweep(2), await assets.sweep(2), await assets.sweep(2)] == [2, 1, 0]


async def test_a_sweep_that_was_stopped_between_file_and_row_is_completed_by_the_next(
    assets, make, folder_files, clock
):
    asset = await make()
    clock.turn(DAY_S)
    await folder_files.delete(f"acct_a/{asset.id}")

    assert await assets.sweep() == 1
    assert await assets.sweep() == 0


async def test_a_sweep_whose_store_fails_marks_what_it_deleted_and_goes_on_later(database, make, folder_files, clock):
    class Failing:
        def __init__(self, files, left: int) -> None:
            self.files, self.left = files, left

        async def delete(self, key: str) -> None:
            if self.left == 0:
                raise StorageUnavailable("away")
            self.left -= 1
            await self.files.delete(key)

    for _ in range(3):
        await make()
    clock.turn(DAY_S)

    with pytest.raises(StorageUnavailable):
        await Sweeper(database, Failing(folder_files, 2), clock=clock).sweep()

    assert len(await names(folder_files)) == 1
    assert await Sweeper(database, folder_files, clock=clock).sweep() == 1


async def test_a_vendors_link_ages_out_without_a_file(assets, database, clock):
    await database.write(
        lambda tx: assets.record_original(
            tx, account_id="acct_a", mode="test", type_="image", url="https://v.example", request_id=None, task_id=None
        )
    )
    clock.turn(DAY_S)

    assert await assets.sweep() == 1


async def test_an_old_file_without_a_row_is_deleted_and_a_young_one_waits(
    assets, sweeper, make, folder_files, clock, picture
):
    with_row = await make(mode="live")
    orphan = await assets.keep_bytes("acct_b", "test", picture())

    assert await sweeper.sweep_orphans() == 0
    clock.turn(DAY_S + 3600)

    assert await sweeper.sweep_orphans() == 1
    assert await names(folder_files) == [f"acct_a/{with_row.id}"]
    assert orphan.id not in str(await names(folder_files))


async def test_orphans_are_found_behind_the_first_page(sweeper, folder_files, clock):
    for account_id in ("acct_a", "acct_b", "acct_c"):
        folder = folder_files.incoming.parent / account_id
        folder.mkdir()
        for count in range(LISTED_MAX // 2):
            (folder / f"asset_{count}").touch()
    clock.turn(DAY_S + 3600)

    assert await sweeper.sweep_orphans() == LISTED_MAX // 2 * 3
    assert await names(folder_files) == []


async def test_half_gathered_files_of_a_stopped_process_are_removed_when_they_are_old(sweeper, folder_files, clock):
    old, young = folder_files.incoming / "old", folder_files.incoming / "young"
    for path in (old, young):
        path.write_bytes(b"half")
    seven_hours_ago = clock.now_ms() / 1000 - 7 * 3600
    os.utime(old, (seven_hours_ago, seven_hours_ago))

    assert await sweeper.sweep_incoming() == 1

    assert (old.exists(), young.exists()) == (False, True)

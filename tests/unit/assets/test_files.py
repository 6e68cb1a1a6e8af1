"""The store of files: the same in a folder and in an object store."""

import os
from pathlib import Path

import httpx
import pytest

from yiapi.assets import FileMissing, files_at
from yiapi.errors import StorageUnavailable

KEY = "acct_a/asset_1"


@pytest.fixture
def put(files):
    async def one(key: str = KEY, content: bytes = b"0123456789") -> None:
        path = files.incoming / "gathered"
        path.write_bytes(content)
        await files.put(key, path, content_type="image/png")

    return one


async def content(files, key: str = KEY, start: int = 0, stop: int = 10) -> bytes:
    return b"".join([chunk async for chunk in await files.read(key, start, stop)])


async def test_what_was_put_is_read(files, put):
    await put()

    assert await content(files) == b"0123456789"
    assert await content(files, start=3, stop=5) == b"34"
    assert await content(files, start=9, stop=10) == b"9"


async def test_a_large_file_comes_in_pieces(folder_files):
    whole = os.urandom(1_000_000)
    path = folder_files.incoming / "gathered"
    path.write_bytes(whole)
    await folder_files.put(KEY, path, content_type="image/png")

    pieces = [chunk async for chunk in await folder_files.read(KEY, 0, len(whole))]

    assert b"".join(pieces) == whole
    assert len(pieces) > 1


async def test_a_bucket_takes_a_large_file_in_parts_and_says_what_it_is(s3, tmp_path: Path):
    files = files_at("s3://bucket/prefix", folder=tmp_path)
    whole = os.urandom(9 * 1024 * 1024)
    path = files.incoming / "gathered"
    path.write_bytes(whole)

    await files.put(KEY, path, content_type="image/png")

    assert await content(files, stop=len(whole)) == whole
    assert s3.objects[f"prefix/{KEY}"] == (whole, {"content-type": "image/png", "content-disposition": "inline"})
    assert all(s3.signed)
    async with httpx.AsyncClient() as anybody:
        assert (await anybody.get(await files.presigned(KEY, life_s=300))).content == whole


async def test_nothing_can_be_read_of_an_empty_file(files, put):
    await put(content=b"")

    assert await content(files, stop=0) == b""


@pytest.mark.parametrize("stop", [0, 10])
async def test_a_missing_file_is_said_to_be_missing_before_its_first_byte(files, stop):
    with pytest.raises(FileMissing):
        await files.read(KEY, 0, stop)


async def test_a_deleted_file_is_gone_and_deleting_again_changes_nothing(files, put):
    await put()

    await files.delete(KEY)
    await files.delete(KEY)

    with pytest.raises(FileMissing):
        await files.read(KEY, 0, 10)


async def test_f089_a_download_that_began_completes_although_the_file_is_deleted(folder_files):
    path = folder_files.incoming / "gathered"
    path.write_bytes(bytes(1_000_000))
    await folder_files.put(KEY, path, content_type="image/png")
    chunks = await folder_files.read(KEY, 0, 1_000_000)
    first = await anext(chunks)

    await folder_files.delete(KEY)

    assert len(first) + sum([len(chunk) async for chunk in chunks]) == 1_000_000


@pytest.mark.parametrize("key", ["../x/y", "a/../b", "a/b/c", "a", "/a/b", "a/b\0", ".incoming/x", "a/", "a/b#1"])
async def test_f013_only_keys_of_our_own_making_are_used(files, put, key):
    with pytest.raises(ValueError, match="not a key"):
        await put(key)
    with pytest.raises(ValueError, match="not a key"):
        await files.read(key, 0, 1)
    with pytest.raises(ValueError, match="not a key"):
        await files.delete(key)


async def test_listing_goes_on_behind_a_key_and_shows_no_file_on_its_way_in(files, put):
    keys = ["acct/asset_1", "acct/asset_2", "acct-1/asset_1", "acct_b/asset_9"]
    for key in keys:
        await put(key)
    (files.incoming / "half").write_bytes(b"x")

    listed = [file.key for file in await files.listed(None)]

    assert sorted(listed) == sorted(keys)
    for at, key in enumerate(listed):
        assert [file.key for file in await files.listed(key)] == listed[at + 1 :]


async def test_a_listing_says_size_and_age(files, put):
    await put()

    (file,) = await files.listed(None)

    assert file.size_bytes == 10
    assert file.modified_ms > 1_700_000_000_000


async def test_a_file_in_a_folder_is_readable_by_the_station_alone(folder_files, tmp_path: Path):
    path = folder_files.incoming / "gathered"
    path.write_bytes(b"x")

    await folder_files.put(KEY, path, content_type="image/png")

    assert (tmp_path / "assets" / KEY).read_bytes() == b"x"
    assert not path.exists()
    assert (tmp_path / "assets").stat().st_mode & 0o077 == 0
    assert (tmp_path / "assets" / "acct_a").stat().st_mode & 0o077 == 0


async def test_f086_a_store_that_cannot_take_a_file_says_so_and_shows_nothing(folder_files, tmp_path: Path):
    path = folder_files.incoming / "gathered"
    path.write_bytes(b"x")
    (tmp_path / "assets" / "acct_a").write_bytes(b"in the way")

    with pytest.raises(StorageUnavailable):
        await folder_files.put(KEY, path, content_type="image/png")

    assert path.exists()


async def test_f086_a_gathered_file_that_vanished_is_our_trouble(files):
    with pytest.raises(StorageUnavailable):
        await files.put(KEY, files.incoming / "vanished", content_type="image/png")


def test_a_store_is_chosen_by_its_url(tmp_path: Path):
    folder = files_at(f"file://{tmp_path}/with%20space", folder=tmp_path)
    folder.close()

    assert (tmp_path / "with space" / ".incoming").is_dir()
    with pytest.raises(ValueError, match="unknown asset store"):
        files_at("ftp://x", folder=tmp_path)


async def test_only_a_bucket_makes_links_of_its_own(folder_files, bucket):
    link = await bucket.presigned(KEY, life_s=300)

    assert await folder_files.presigned(KEY, life_s=300) is None
    assert f"/prefix/{KEY}?" in link
    assert "X-Amz-Expires=300" in link

"""The room as a whole: keep, write the row, show, forget."""

import pytest

from yiapi.assets import Assets, Source
from yiapi.errors import Gone, NotFound, PermissionDenied, UrlExpired


def link_of(assets: Assets, asset, **options) -> tuple[str, str]:
    path, _, query = assets.link(asset, **options).removeprefix("https://station.example").partition("?")
    return path, query


@pytest.mark.parametrize(("mode", "days"), [("live", 7), ("test", 1)])
async def test_files_are_kept_a_week_in_live_and_a_day_in_test(make, clock, mode, days):
    asset = await make(mode=mode)

    assert asset.expires_at == clock.now_ms() + days * 86_400_000


async def test_a_view_has_what_callers_read(assets, make, picture):
    asset = await make(picture("PNG", 65, 33))

    view = assets.view(asset)

    assert list(view) == [
        "id", "type", "content_type", "url", "expires_at", "size_bytes", "sha256", "width", "height", "duration_s"
    ]  # fmt: skip
    assert view["expires_at"].endswith("Z")
    assert (view["width"], view["height"], view["duration_s"]) == (65, 33, None)


async def test_a_vendors_link_is_shown_where_the_operator_leaves_it(assets, database, clock):
    asset = await database.write(
        lambda tx: assets.record_original(
            tx,
            account_id="acct_a",
            mode="live",
            type_="image",
            url="https://vendor.example/x.png",
            request_id=None,
            task_id="task_1",
        )
    )

    view = assets.view(asset, expires_s=60)

    assert (view["url"], view["size_bytes"], view["sha256"]) == ("https://vendor.example/x.png", None, None)
    assert asset.expires_at == clock.now_ms() + 86_400_000
    assert await assets.redirect(asset) == "https://vendor.example/x.png"


async def test_a_link_finds_its_asset(assets, make):
    asset = await make()

    found, facts = await assets.by_link(*link_of(assets, asset))

    assert (found, facts.asset_id) == (asset, asset.id)


async def test_a_link_is_asked_for_its_signature_then_for_its_asset_then_for_its_time(assets, make, clock):
    asset = await make()
    path, query = link_of(assets, asset, expires_s=10)
    clock.turn(100)

    with pytest.raises(UrlExpired):
        await assets.by_link(path, query)

    await assets.delete("acct_a", "test", asset.id)
    with pytest.raises(Gone):
        await assets.by_link(path, query)
    with pytest.raises(PermissionDenied):
        await assets.by_link(path, query[:-1])


async def test_an_asset_that_aged_out_is_gone_for_links_and_not_found_for_its_tenant(assets, make, clock):
    asset = await make()
    link = link_of(assets, asset)
    clock.turn(86_400)

    with pytest.raises(Gone):
        await assets.by_link(*link)
    with pytest.raises(NotFound):
        await assets.get("acct_a", "test", asset.id)


async def test_a_link_to_a_row_that_is_not_there_is_gone(assets, make, database, kept):
    def never_committed(tx):
        asset = assets.record(tx, kept(), request_id=None, task_id=None)
        raise LookupError(assets.link(asset))

    with pytest.raises(LookupError) as caught:
        await database.write(never_committed)

    path, _, query = str(caught.value).removeprefix("https://station.example").partition("?")
    with pytest.raises(Gone):
        await assets.by_link(path, query)


async def test_deleting_deletes_the_file_and_is_not_found_again(assets, make, folder_files):
    asset = await make()

    await assets.delete("acct_a", "test", asset.id)

    assert await folder_files.listed(None) == []
    with pytest.raises(NotFound):
        await assets.delete("acct_a", "test", asset.id)


async def test_f025_a_stranger_deletes_nothing(assets, make, folder_files):
    asset = await make()

    for account_id, mode in [("acct_b", "test"), ("acct_a", "live")]:
        with pytest.raises(NotFound):
            await assets.delete(account_id, mode, asset.id)

    assert len(await folder_files.listed(None)) == 1


async def test_a_kept_file_that_gets_no_row_can_be_discarded(assets, folder_files, picture):
    kept = await assets.keep("acct_a", "test", Source(content=picture()))

    await assets.discard(kept)

    assert await folder_files.listed(None) == []


async def test_a_bucket_answers_itself_where_the_operator_says_so(database, fetcher, links, clock, make, bucket):
    asset = await make()
    assets = Assets(database, bucket, fetcher, links, clock=clock, redirects=True)

    assert f"/acct_a/{asset.id}?" in await assets.redirect(asset)
    assert "X-Amz-Expires=300" in await assets.redirect(asset)
    assert await assets.redirect(asset, method="HEAD") is None
    assert await Assets(database, bucket, fetcher, links, clock=clock).redirect(asset) is None


async def test_files_of_a_task_keep_their_order(assets, database, picture):
    kept = [await assets.keep_bytes("acct_a", "test", picture("PNG", side, side)) for side in (5, 4, 3, 2)]

    def write(tx):
        for position, file in reversed(list(enumerate(kept))):
            assets.record(tx, file, request_id="r", task_id="t", position=position)

    await database.write(write)

    listed = await database.read(lambda tx: assets.of_task(tx, "t"))
    assert [asset.width for asset in listed] == [5, 4, 3, 2]
    assert await database.read(lambda tx: assets.stored_bytes(tx, "acct_a", "test")) == sum(
        file.size_bytes for file in kept
    )

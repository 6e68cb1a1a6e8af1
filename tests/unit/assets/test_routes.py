"""The room over HTTP."""

import asyncio
import hashlib
import json
import os

import pytest
from starlette.requests import ClientDisconnect

from yiapi.assets.serving import FileAnswer, Part, content_disposition

OWNER = "acct_a.test"


@pytest.fixture
async def asset(make, picture):
    return await make(picture("PNG", 65, 33))


@pytest.fixture
def url(assets, asset) -> str:
    return assets.link(asset)


@pytest.fixture
def whole(asset, folder_files) -> bytes:
    return (folder_files.incoming.parent / "acct_a" / asset.id).read_bytes()


# The signed link


async def test_a_link_serves_the_file_to_anyone(ask, url, asset, whole):
    answer = await ask(url)

    assert (answer.status, answer.body) == (200, whole)
    assert hashlib.sha256(answer.body).hexdigest() == asset.sha256
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == str(asset.size_bytes)
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["cache-control"] == "private"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["etag"] == f'"{asset.sha256}"'
    assert answer.headers["content-disposition"] == 'inline; filename="image.png"'
    assert "sandbox" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("content", [b"<svg><script>alert(1)</script></svg>", b"plain words", b"%PDF-1.7 script"])
async def test_f012_what_a_browser_could_execute_is_an_attachment(ask, assets, make, content):
    asset = await make(content)

    for answer in (await ask(assets.link(asset)), await ask(f"/v1/assets/{asset.id}/content", key=OWNER)):
        assert answer.status == 200
        assert answer.headers["content-disposition"].startswith("attachment;")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=8-15", 8, 16),
        ("bytes=0-0", 0, 1),
        ("bytes=10-", 10, None),
        ("bytes=-7", -7, None),
        ("bytes=5-999999999", 5, None),
        ("bytes=-999999999", 0, None),
    ],
)
async def test_a_part_can_be_fetched(ask, url, whole, wanted, start, stop):
    answer = await ask(url, headers={"range": wanted})

    part = whole[start:stop]
    first = start if start >= 0 else len(whole) + start
    assert (answer.status, answer.body) == (206, part)
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(part) - 1}/{len(whole)}"
    assert answer.headers["content-length"] == str(len(part))


@pytest.mark.parametrize("wanted", ["bytes={size}-", "bytes={size}-{size}", "bytes=-0", "bytes=999999999999-"])
async def test_f088_a_range_beyond_the_end_is_416(ask, url, whole, wanted):
    answer = await ask(url, headers={"range": wanted.format(size=len(whole))})

    assert (answer.status, answer.body) == (416, b"")
    assert answer.headers["content-range"] == f"bytes */{len(whole)}"


@pytest.mark.parametrize("wanted", ["bytes=0-", "bytes=0-0", "bytes=-1"])
async def test_f088_a_range_of_an_empty_asset_is_416(ask, assets, database, folder_files, kept, wanted):
    file = kept(size_bytes=0)
    path = folder_files.incoming / "empty"
    path.write_bytes(b"")
    await folder_files.put(f"acct_a/{file.id}", path, content_type="image/png")
    asset = await database.write(lambda tx: assets.record(tx, file, request_id=None, task_id=None))

    answer = await ask(assets.link(asset), headers={"range": wanted})
    without = await ask(assets.link(asset))

    assert (answer.status, answer.headers["content-range"]) == (416, "bytes */0")
    assert (without.status, without.body, without.headers["content-length"]) == (200, b"", "0")


@pytest.mark.parametrize("wanted", ["bytes=a-b", "items=0-1", "bytes=5-2", "bytes=0-1,4-5", "bytes=-", "", "bytes=--1"])
async def test_what_is_no_single_range_gets_the_whole(ask, url, whole, wanted):
    answer = await ask(url, headers={"range": wanted})

    assert (answer.status, answer.body) == (200, whole)


@pytest.mark.parametrize("headers", [{}, {"range": "bytes=0-1"}, {"range": "bytes=999999-"}])
async def test_f088_the_head_is_200_without_a_body(ask, url, whole, headers):
    answer = await ask(url, method="HEAD", headers=headers)

    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-length"] == str(len(whole))
    assert answer.headers["accept-ranges"] == "bytes"


async def test_a_range_of_another_version_gets_the_whole(ask, url, asset):
    same = await ask(url, headers={"range": "bytes=0-1", "if-range": f'"{asset.sha256}"'})
    other = await ask(url, headers={"range": "bytes=0-1", "if-range": '"other"'})
    dated = await ask(url, headers={"range": "bytes=0-1", "if-range": "Wed, 21 Oct 2026 07:28:00 GMT"})

    assert [same.status, other.status, dated.status] == [206, 200, 200]


@pytest.mark.parametrize("known", ['"{etag}"', 'W/"{etag}"', '"x", "{etag}"', "*"])
async def test_who_has_the_file_already_gets_no_body(ask, url, asset, known):
    answer = await ask(url, headers={"if-none-match": known.format(etag=asset.sha256)})

    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["etag"] == f'"{asset.sha256}"'


async def test_f087_a_changed_link_is_403(ask, url):
    changed = [url + "&x=1", url[:-1] + "_", url.replace("test", "live"), url.split("?")[0], url.replace("?", "/?")]

    answers = [await ask(link) for link in changed]

    assert [answer.status for answer in answers] == [403] * 5
    assert json.loads(answers[0].body)["error"]["code"] == "permission_denied"


async def test_f087_a_link_for_another_asset_is_403(ask, url, asset, make):
    other = await make()

    assert (await ask(url.replace(asset.id, other.id))).status == 403


async def test_f087_a_shorter_link_expires(ask, asset, clock):
    record = json.loads((await ask(f"/v1/assets/{asset.id}?expires_s=60", key=OWNER)).body)
    assert (await ask(record["url"])).status == 200

    clock.turn(121)

    answer = await ask(record["url"])
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (403, "url_expired")


async def test_a_deleted_and_an_aged_out_file_are_410(ask, assets, make, url, asset, clock):
    aging = assets.link(await make())
    await ask(f"/v1/assets/{asset.id}", method="DELETE", key=OWNER)

    assert (await ask(url)).status == 410
    clock.turn(86_400)
    assert (await ask(aging)).status == 410


async def test_a_file_that_is_lost_is_410(ask, url, asset, folder_files):
    await folder_files.delete(f"acct_a/{asset.id}")

    assert (await ask(url)).status == 410
    assert (await ask(url, method="HEAD")).status == 410
    assert (await ask(f"/v1/assets/{asset.id}/content", key=OWNER)).status == 404


async def test_a_link_is_for_reading_alone(ask, url):
    for method in ("POST", "PUT", "DELETE"):
        assert (await ask(url, method=method)).status == 405


# Streaming


@pytest.fixture
async def large(make, assets, picture):
    """A file of many pieces: a picture with a long tail."""
    return assets.link(await make(picture() + os.urandom(4_000_000)))


@pytest.fixture
def answer(asset):
    """An answer of ten pieces that counts how many of them were read."""
    read: list[int] = []

    async def pieces():
        for at in range(10):
            read.append(at)
            yield b"x"

    def make_answer(**options) -> FileAnswer:
        return FileAnswer(pieces(), asset, Part(200, 0, 10), {}, **options)

    make_answer.read = read
    return make_answer


async def test_nothing_is_read_ahead_of_a_slow_reader(answer, scope):
    taken = 0

    async def send(message) -> None:
        nonlocal taken
        taken += len(message.get("body", b""))
        assert len(answer.read) <= taken + 1

    await answer()(scope("/"), asyncio.Event().wait, send)

    assert taken == 10


async def test_a_reader_that_takes_nothing_is_left(answer, scope):
    async def send(message) -> None:
        await asyncio.Event().wait()

    with pytest.raises(ClientDisconnect):
        await answer(stalled_s=0.01)(scope("/"), asyncio.Event().wait, send)

    assert answer.read == []


async def test_a_reader_that_leaves_ends_the_reading(app, scope, large):
    left = asyncio.Event()
    sent: list[dict] = []

    async def send(message) -> None:
        sent.append(message)
        if len(sent) == 3:
            left.set()
            await asyncio.Event().wait()

    async def receive() -> dict:
        await left.wait()
        return {"type": "http.disconnect"}

    await asyncio.wait_for(app(scope(large), receive, send), timeout=5)

    assert len(sent) == 3


# Records


async def test_the_record_has_a_fresh_link(ask, asset, whole):
    answer = await ask(f"/v1/assets/{asset.id}", key=OWNER)

    record = json.loads(answer.body)
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    assert (record["object"], record["id"], record["mode"], record["request_id"]) == (
        "asset",
        asset.id,
        "test",
        "req_1",
    )
    assert (record["width"], record["height"], record["size_bytes"]) == (65, 33, len(whole))
    assert (await ask(record["url"])).body == whole


@pytest.mark.parametrize("expires_s", ["0", "-1", "1.5", "x", "", "9999999999", "１", "60&expires_s=60"])
async def test_a_life_that_is_no_number_of_seconds_is_refused(ask, asset, expires_s):
    answer = await ask(f"/v1/assets/{asset.id}?expires_s={expires_s}", key=OWNER)

    assert (answer.status, json.loads(answer.body)["error"]["param"]) == (400, "expires_s")


async def test_the_tenant_fetches_the_content_with_its_key(ask, asset, whole):
    answer = await ask(f"/v1/assets/{asset.id}/content", key=OWNER, headers={"range": "bytes=0-3"})

    assert (answer.status, answer.body) == (206, whole[:4])


async def test_a_deleted_asset_is_not_found_by_its_tenant(ask, asset):
    first = await ask(f"/v1/assets/{asset.id}", method="DELETE", key=OWNER)

    assert (first.status, json.loads(first.body)["deleted"]) == (200, True)
    for method, path in [("GET", ""), ("DELETE", ""), ("GET", "/content")]:
        assert (await ask(f"/v1/assets/{asset.id}{path}", method=method, key=OWNER)).status == 404


@pytest.mark.parametrize("key", ["acct_b.test", "acct_a.live"])
@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("GET", "/content")])
async def test_f025_another_tenants_asset_answers_as_a_missing_one(ask, asset, key, method, path):
    others = await ask(f"/v1/assets/{asset.id}{path}", method=method, key=key)
    missing = await ask(f"/v1/assets/asset_{'0' * 43}{path}", method=method, key=key)

    assert (others.status, others.body, others.headers) == (missing.status, missing.body, missing.headers)
    assert others.status == 404


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("GET", "/content")])
async def test_without_a_key_there_is_neither_record_nor_content(ask, asset, method, path):
    assert (await ask(f"/v1/assets/{asset.id}{path}", method=method)).status == 401


async def test_a_vendors_link_is_where_its_content_is(ask, assets, database):
    asset = await database.write(
        lambda tx: assets.record_original(
            tx,
            account_id="acct_a",
            mode="test",
            type_="image",
            url="https://v.example",
            request_id=None,
            task_id=None,
        )
    )

    answer = await ask(f"/v1/assets/{asset.id}/content", key=OWNER)

    assert (answer.status, answer.headers["location"]) == (302, "https://v.example")


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("image.png", 'attachment; filename="image.png"'),
        ('a"b\r\nc.png', "attachment; filename=\"a_b__c.png\"; filename*=UTF-8''a%22b%0D%0Ac.png"),
        ("猫.png", "attachment; filename=\"_.png\"; filename*=UTF-8''%E7%8C%AB.png"),
        ("../../x", "attachment; filename=\".._.._x\"; filename*=UTF-8''..%2F..%2Fx"),
    ],
)
def test_f013_a_name_is_encoded(name, header):
    assert content_disposition("attachment", name) == header

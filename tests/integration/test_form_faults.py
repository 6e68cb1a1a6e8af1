"""What forms, pictures and files do when they are hostile. Numbers are those of the fault catalogue."""

import io
import json
import struct
import zlib

import pytest
from PIL import Image
from tests_support import answer, hang

from yiapi.db.sql import query_of
from yiapi.money import Money

pytestmark = pytest.mark.anyio


def picture(kind="PNG", size=(64, 64)):
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(file, kind)
    return file.getvalue()


def bomb():
    """A PNG that says it has 60,000 x 60,000 pixels."""
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


DESCRIBED = answer(200, {"descriptions": [{"text": "a gradient"}]})


async def describe(world, content, *, name="in.png", kind="image/png"):
    return await world.client.post("/ideogram/v1/describe", files={"image_file": (name, content, kind)})


async def assert_free(world):
    assert world.calls_upstream == 0
    assert await world.open_holds() == []
    assert (await world.balance()).posted == Money.parse("10")


async def raw_form(world, body, boundary="XX"):
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    return await world.client.post("/ideogram/v1/describe", content=body, headers=headers)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            b'--XX\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n' * 100_000 + b"--XX--\r\n", id="parts"
        ),
        pytest.param(b"--XX" + b"-" * 2**20, id="dashes"),
        pytest.param(b"x" * (10 * 2**20) + b"\r\n--XX--\r\n", id="preamble"),
        pytest.param(b"--XX\r\n" + b"x" * 20_000 + b": y\r\n\r\n--XX--\r\n", id="headers"),
        pytest.param(b'--XX\r\ncontent-disposition: form-data; name="a"\r\n\r\ncut', id="cut"),
        pytest.param(b"", id="empty"),
    ],
)
async def test_f010_a_hostile_form_is_refused(world, body):
    refused = await raw_form(world, body)

    assert refused.status_code in {400, 413}
    assert refused.json()["error"]
    await assert_free(world)


async def test_f011_a_picture_of_too_many_pixels_is_not_decoded(world):
    refused = await describe(world, bomb())

    assert refused.status_code == 400
    await assert_free(world)


@pytest.mark.parametrize("content", [b"<html><script>1</script>", b"hello", b"", b"\x89PNG\r\n\x1a\n"], ids=repr)
async def test_f012_what_is_no_picture_is_refused(world, content):
    refused = await describe(world, content)

    assert refused.status_code in {400, 415}
    await assert_free(world)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a\x00b.png", "x" * 4096, 'a"b.png', "é.png"], ids=lambda n: n[:8]
)
async def test_f013_a_files_name_is_never_the_callers(world, name):
    world.vendor.script = [DESCRIBED]
    quoted = name.encode().replace(b'"', b"%22")
    head = b'--XX\r\ncontent-disposition: form-data; name="image_file"; filename="' + quoted
    body = head + b'"\r\ncontent-type: image/png\r\n\r\n' + picture() + b"\r\n--XX--\r\n"

    served = await raw_form(world, body)

    if served.status_code == 200:
        assert b'filename="file-0.png"' in world.vendor.got[0].body
        assert b"passwd" not in world.vendor.got[0].body
    else:
        assert served.status_code == 400
        await assert_free(world)


async def test_a_large_file_goes_up_whole(world):
    world.vendor.script = [DESCRIBED]
    noise = Image.effect_noise((1600, 1600), 90)
    file = io.BytesIO()
    noise.save(file, "PNG")

    served = await describe(world, file.getvalue())

    assert served.status_code == 200
    assert len(file.getvalue()) > 2**20  # it was on disk on its way
    assert file.getvalue() in world.vendor.got[0].body


async def test_a_missing_file_is_named(world):
    refused = await world.client.post("/ideogram/v1/describe", data={"a": "b"}, files={"c": ("c", b"x")})

    assert refused.status_code == 400
    assert "image_file" in refused.json()["error"]


async def test_the_vendors_link_can_be_left_as_it_is(world):
    await world.app.station.switches.set(
        "operation:ideogram.generate", enabled=True, message="", assets="original", author="test"
    )
    await world.app.refresh()
    item = {"url": "https://vendor.example/x.png", "prompt": "p", "resolution": "1x1", "is_image_safe": True, "seed": 1}
    world.vendor.script = [answer(200, {"created": "2025-04-07T08:00:00Z", "data": [item]})]

    served = await world.client.post("/ideogram/v1/generate", json={"image_request": {"prompt": "a boat"}})

    assert served.json()["data"][0]["url"] == "https://vendor.example/x.png"


async def test_an_operation_that_is_off_says_why(world):
    await world.app.station.switches.set(
        "operation:ideogram.generate", enabled=False, message="Back on Monday.", author="test"
    )
    await world.app.refresh()

    refused = await world.client.post("/ideogram/v1/generate", json={"image_request": {"prompt": "a boat"}})

    assert refused.status_code == 403
    assert refused.json()["error"] == "Back on Monday."
    await assert_free(world)


async def test_f056_a_picture_is_not_asked_for_again_after_a_time_out(world):
    world.vendor.otherwise = hang()

    refused = await world.client.post(
        "/ideogram/v1/generate",
        json={"image_request": {"prompt": "a boat"}},
        headers={"x-yiapi-timeout": "0.2"},
    )

    assert refused.status_code == 504
    assert world.calls_upstream == 1
    assert await world.open_holds() == []


async def test_two_equal_pictures_of_one_answer_are_two_assets(world):
    served_file = answer(200, raw=picture(), headers={"content-type": "image/png"})
    item = {"prompt": "p", "resolution": "64x64", "is_image_safe": True, "seed": 1}
    links = [world.vendor.url + "/a.png", world.vendor.url + "/b.png"]
    body = {"created": "2025-04-07T08:00:00Z", "data": [item | {"url": link} for link in links]}
    world.vendor.script = [answer(200, raw=json.dumps(body).encode())]
    world.vendor.otherwise = served_file

    served = await world.client.post(
        "/ideogram/v1/generate", json={"image_request": {"prompt": "a boat", "num_images": 2}}
    )

    urls = [one["url"] for one in served.json()["data"]]
    assert len(set(urls)) == 2
    assets = await world.rows(query_of("a", "SELECT * FROM assets"))
    assert {(asset["width"], asset["height"], asset["type"]) for asset in assets} == {(64, 64, "image")}

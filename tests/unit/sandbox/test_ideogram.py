"""Ideogram's twin: what its contract page promises, and what it refuses."""

import json
from io import BytesIO

import pytest

SIMPLE = {"prompt": "a paper boat", "seed": 7}


@pytest.fixture
def fetch(stranger):
    async def get(url):
        answer = await stranger.get(url)
        assert answer.status_code == 200, answer.text
        return answer.content

    return get


@pytest.fixture
def send(ideogram, png):
    """Send a form: a picture, and either a JSON text or flat fields."""

    async def post(path, picture=None, name="image_file", request=None, mask=None, **fields):
        files = {name: ("in.png", png() if picture is None else picture, "image/png")}
        if mask is not None:
            files["mask"] = ("mask.png", mask, "image/png")
        data = fields | ({"image_request": json.dumps(request)} if request is not None else {})
        return await ideogram.post(path, files=files, data=data)

    return post


async def test_a_picture_has_the_size_and_seed_that_the_answer_says(draw, fetch, opened):
    answer = await draw("a fox in snow", seed=12345, aspect_ratio="ASPECT_10_16")

    image = answer.json()["data"][0]
    assert answer.json()["created"].endswith("+00:00")
    assert image["seed"] == 12345
    assert image["resolution"] == "800x1280"
    assert image["is_image_safe"] is True
    assert opened(await fetch(image["url"])).size == (800, 1280)


async def test_the_same_seed_draws_the_same_bytes(draw, fetch):
    first, second, third = [(await draw("a boat", seed=seed)).json()["data"][0]["url"] for seed in (7, 7, 8)]

    assert await fetch(first) == await fetch(second)
    assert await fetch(first) != await fetch(third)


async def test_the_second_picture_has_the_next_seed(draw, fetch):
    pair = (await draw(**SIMPLE, num_images=2)).json()["data"]
    alone = (await draw("a paper boat", seed=8)).json()["data"][0]

    assert [image["seed"] for image in pair] == [7, 8]
    assert await fetch(pair[1]["url"]) == await fetch(alone["url"])


async def test_without_a_seed_every_picture_is_new(draw):
    first, second = [(await draw()).json()["data"][0]["seed"] for _ in range(2)]

    assert first != second


async def test_a_link_answers_head_get_and_ranges(draw, stranger):
    url = (await draw()).json()["data"][0]["url"]

    head, whole = await stranger.head(url), await stranger.get(url)
    part = await stranger.get(url, headers={"range": "bytes=0-7"})

    assert head.status_code == whole.status_code == 200
    assert head.headers["content-type"] == "image/png"
    assert int(head.headers["content-length"]) == len(whole.content)
    assert part.status_code == 206
    assert part.content == b"\x89PNG\r\n\x1a\n"


async def test_a_forged_or_old_link_is_refused(draw, stranger, clock):
    url = (await draw()).json()["data"][0]["url"]

    assert "/ideogram/api/images/ephemeral/" in url
    assert (await stranger.get(url[:-1])).status_code == 403
    assert (await stranger.get(url.partition("?")[0])).status_code == 403
    assert (await stranger.get(url.replace("exp=", "exp=9"))).status_code == 403
    clock.turn(86_401)
    assert (await stranger.get(url)).status_code == 403


@pytest.mark.parametrize(
    "request_",
    [
        {"model": "V_2"},
        {"prompt": "  "},
        {"prompt": 7},
        {"prompt": "a", "model": "V_9"},
        {"prompt": "a", "resolution": "string"},
        {"prompt": "a", "resolution": "RESOLUTION_1024_1024", "aspect_ratio": "ASPECT_1_1"},
        {"prompt": "a", "resolution": "RESOLUTION_1024_1024", "model": "V_1"},
        {"prompt": "a", "aspect_ratio": "1:1"},
        {"prompt": "a", "aspect_ratio": ""},
        {"prompt": "a", "seed": -1},
        {"prompt": "a", "seed": 2**31},
        {"prompt": "a", "seed": True},
        {"prompt": "a", "seed": "7"},
        {"prompt": "a", "num_images": 9},
        {"prompt": "a", "num_images": 0},
        {"prompt": "a", "magic_prompt_option": "MAYBE"},
        {"prompt": "a", "style_type": "ANIME", "model": "V_1"},
        {"prompt": "a", "negative_prompt": "b", "model": "V_2A"},
        {"prompt": "a", "color_palette": {"name": "EMBER"}, "model": "V_1"},
        {"prompt": "a", "color_palette": {"name": "EMBER", "members": [{"color_hex": "#FFF"}]}},
        {"prompt": "a", "color_palette": {"members": [{"color_hex": "red"}]}},
        {
            "prompt": "a",
            "color_palette": {"members": [{"color_hex": "#FFF", "color_weight": 0.5}, {"color_hex": "#000"}]},
        },
        {"prompt": "a", "color_palette": {"members": [7]}},
    ],
    ids=str,
)
async def test_a_bad_field_is_refused(ideogram, request_):
    answer = await ideogram.post("/generate", json={"image_request": request_})

    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"\xff", b"[" * 10_000, b'{"image_request": 7}'])
async def test_a_body_that_is_no_request_is_refused(ideogram, body):
    answer = await ideogram.post("/generate", content=body, headers={"content-type": "application/json"})

    assert answer.status_code == 400


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=x", "text/plain"])
async def test_a_form_that_is_none_is_refused(ideogram, content_type):
    answer = await ideogram.post("/describe", content=b"--y\r\nrubbish", headers={"content-type": content_type})

    assert answer.status_code == 400


async def test_a_palette_colours_the_picture(draw, fetch):
    plain, tinted = [
        (await draw("a field", seed=1, **more)).json()["data"][0]["url"]
        for more in ({}, {"color_palette": {"members": [{"color_hex": "#FF0000"}]}})
    ]

    assert await fetch(plain) != await fetch(tinted)


async def test_remix_keeps_as_much_as_the_weight_says(send, fetch, opened, png):
    distances = []
    for weight in (1, 100):
        answer = await send("/remix", png(512, 512, "#2040C0"), request=SIMPLE | {"image_weight": weight})
        picture = opened(await fetch(answer.json()["data"][0]["url"])).convert("RGB")
        red, green, blue = picture.getpixel((512, 700))
        distances.append(abs(red - 0x20) + abs(green - 0x40) + abs(blue - 0xC0))

    assert distances[1] < distances[0]


async def test_upscale_is_the_very_picture_twice_as_large(send, fetch, opened, png):
    answer = await send("/upscale", request={})

    image = answer.json()["data"][0]
    large, small = opened(await fetch(image["url"])), opened(png())
    assert (image["resolution"], image["upscaled_resolution"]) == ("320x320", "640x640")
    assert large.size == (640, 640)
    assert large.getpixel((320, 320)) == small.getpixel((160, 160))


async def test_describe_names_what_is_seen(send):
    answer = await send("/describe")

    text = answer.json()["descriptions"][0]["text"]
    assert "red circle in the middle" in text
    assert "white" in text


async def test_edit_changes_only_what_is_black_in_the_mask(send, fetch, opened, png):
    half = opened(png(320, 320, "white"))
    half.paste("black", (0, 0, 160, 320))
    mask = BytesIO()
    half.save(mask, "PNG")

    answer = await send(
        "/edit", png(320, 320, "#30A030"), mask=mask.getvalue(), prompt="a boat at night", model="V_2", seed="3"
    )

    edited = opened(await fetch(answer.json()["data"][0]["url"])).convert("RGB")
    assert edited.getpixel((240, 100)) == (0x30, 0xA0, 0x30)
    assert edited.getpixel((60, 40)) != (0x30, 0xA0, 0x30)


async def test_a_mask_of_another_size_is_refused(send, png):
    answer = await send("/edit", mask=png(64, 64), prompt="a boat", model="V_2")

    assert answer.status_code == 400


async def test_reframe_has_the_new_size_and_the_old_middle(send, fetch, opened):
    answer = await send("/reframe", model="V_2_TURBO", resolution="RESOLUTION_1536_640")

    picture = opened(await fetch(answer.json()["data"][0]["url"])).convert("RGB")
    assert picture.size == (1536, 640)
    assert picture.getpixel((768, 320)) == (220, 40, 40)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("generate", {"prompt": "a boat", "rendering_speed": "TURBO", "aspect_ratio": "16x9"}),
        ("remix", {"prompt": "a boat", "image_weight": "30", "num_images": "2"}),
        ("reframe", {"resolution": "1536x512"}),
        ("replace-background", {"prompt": "a harbour at night", "magic_prompt": "ON"}),
    ],
)
async def test_version_3_answers_forms(send, fetch, opened, path, fields):
    answer = await send(f"/v1/ideogram-v3/{path}", name="image", **fields)

    assert answer.status_code == 200, answer.text
    for image in answer.json()["data"]:
        assert "x".join(map(str, opened(await fetch(image["url"])).size)) == image["resolution"]


async def test_version_3_edits(send, png):
    answer = await send("/v1/ideogram-v3/edit", name="image", mask=png(320, 320, "black"), prompt="a red sail")

    assert answer.json()["data"][0]["resolution"] == "320x320"


async def test_version_3_generate_takes_json(ideogram):
    answer = await ideogram.post("/v1/ideogram-v3/generate", json={"prompt": "a boat", "resolution": "1536x512"})

    assert answer.json()["data"][0]["resolution"] == "1536x512"


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"prompt": "a", "resolution": "1024x1025"},
        {"prompt": "a", "style_codes": ["XYZ"]},
        {"prompt": "a", "style_codes": "abcdef01"},
        {"prompt": "a", "style_codes": ["abcdef01"], "style_type": "AUTO"},
        {"prompt": "a", "style_preset": "NOPE"},
        {"prompt": "a", "rendering_speed": "WARP"},
        {"prompt": "a", "custom_model_uri": "http://x"},
        {"prompt": "a", "color_palette": "EMBER"},
    ],
    ids=str,
)
async def test_version_3_is_strict(ideogram, request_):
    answer = await ideogram.post("/v1/ideogram-v3/generate", json=request_)

    assert answer.status_code == 400


@pytest.mark.parametrize("path", ["/remix", "/upscale", "/describe"])
@pytest.mark.parametrize("content", [b"hello", b"", b"\x89PNG\r\n\x1a\n" + b"\0" * 50], ids=["text", "empty", "broken"])
async def test_what_is_no_picture_is_refused(send, path, content):
    answer = await send(path, content, request=SIMPLE)

    assert answer.status_code == 400
    assert "image" in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "status"), [("/generate", 401), ("/describe", 401), ("/remix", 403), ("/upscale", 403)]
)
@pytest.mark.parametrize("headers", [{}, {"api-key": "wrong"}, {"authorization": "Bearer test-key"}], ids=str)
async def test_a_wrong_key_is_refused_as_the_operation_does_it(stranger, path, status, headers):
    answer = await stranger.post(f"/ideogram{path}", json={}, headers=headers)

    assert answer.status_code == status
    assert answer.json()["error"]


async def test_unknown_paths_and_methods_are_told_apart(ideogram):
    assert (await ideogram.post("/nothing")).status_code == 404
    assert (await ideogram.get("/generate")).status_code == 405

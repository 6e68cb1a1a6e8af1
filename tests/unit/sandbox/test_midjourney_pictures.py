"""What Midjourney's twin draws, opened and compared: every button does to the picture what it says."""

from io import BytesIO

import av
import pytest
from PIL import Image, ImageChops, ImageDraw, ImageStat

FOX = "a red fox in the snow --draft --seed 7 --v 6.1"
CELL = 512
"""A draft is half as large as a picture, and is drawn faster."""
MARK = 0.82
"""Below this part of its height a picture carries the sandbox's mark."""


def cell(grid, number, size=(CELL, CELL)):
    """Cut one of the four pictures out of a grid."""
    left, top = (number - 1) % 2 * size[0], (number - 1) // 2 * size[1]
    return grid.crop((left, top, left + size[0], top + size[1]))


def apart(one, other):
    """How far two pictures are from each other, from 0 (the same) to 255."""
    return max(ImageStat.Stat(ImageChops.difference(one, other.resize(one.size))).mean)


def unmarked(picture, part=MARK):
    """Leave out the strip that carries the mark."""
    return picture.crop((0, 0, picture.width, round(picture.height * part)))


def box(size, *parts):
    return tuple(round(part * size[at % 2]) for at, part in enumerate(parts))


@pytest.fixture
async def grid(proxy):
    return await proxy.done("submit/imagine", prompt=FOX)


@pytest.fixture
async def single(proxy, grid):
    return await proxy.pressed(grid, "upsample::2")


# Imagine


async def test_a_grid_has_four_pictures_that_are_related(proxy, grid):
    picture = await proxy.picture(grid)

    cells = [cell(picture, number) for number in (1, 2, 3, 4)]
    between = [apart(one, other) for at, one in enumerate(cells) for other in cells[:at]]
    assert picture.size == (2 * CELL, 2 * CELL)
    assert min(between) > 3
    assert max(between) < 90
    for each in cells:
        red, green, _ = ImageStat.Stat(each.crop(box(each.size, 0.25, 0.3, 0.75, 0.8))).mean
        assert red > green + 20, "the red fox stands in the middle"


async def test_the_same_prompt_and_seed_are_the_same_bytes(proxy):
    files = [await proxy.file((await proxy.done("submit/imagine", prompt=FOX))["imageUrl"]) for _ in range(2)]

    assert files[0] == files[1]


async def test_without_a_seed_every_grid_is_another_one(proxy):
    one, other = [await proxy.picture(await proxy.done("submit/imagine", prompt="a fox --draft")) for _ in range(2)]

    assert apart(one, other) > 3


@pytest.mark.parametrize("end", ["--seed 8 --v 6.1", "--seed 7 --v 5", "--seed 7 --niji 6", "--seed 7 --no snow"])
async def test_seed_version_bot_and_negative_words_change_the_picture(proxy, grid, end):
    other = await proxy.picture(await proxy.done("submit/imagine", prompt=f"a red fox in the snow --draft {end}"))

    assert apart(await proxy.picture(grid), other) > 3


async def test_the_other_bot_draws_as_its_parameter_does(proxy):
    by_bot = await proxy.done("submit/imagine", prompt="a fox --draft --seed 7", botType="NIJI_JOURNEY")
    by_parameter = await proxy.done("submit/imagine", prompt="a fox --draft --seed 7 --niji")

    assert by_bot["botType"] == "NIJI_JOURNEY"
    assert await proxy.file(by_bot["imageUrl"]) == await proxy.file(by_parameter["imageUrl"])


async def test_the_other_bot_draws_lines_round_everything(proxy):
    def ink(picture):
        far = ImageChops.difference(picture, Image.new("RGB", picture.size, (28, 24, 48)))
        return sum(far.convert("L").histogram()[:6]) / (picture.width * picture.height)

    plain, inked = [
        await proxy.picture(await proxy.done("submit/imagine", prompt=f"a boat at sea, day --draft --seed 7{end}"))
        for end in ("", " --niji")
    ]

    assert ink(plain) < 0.01
    assert 0.02 < ink(inked) < 0.4


@pytest.mark.parametrize(
    ("end", "size"),
    [
        ("--draft", (1024, 1024)),
        ("--v 4", (1024, 1024)),
        ("--v 3", (512, 512)),
        ("--draft --ar 16:9", (1376, 768)),
        ("--draft --ar 2:3", (832, 1248)),
        ("--draft --aspect 1:2", (736, 1440)),
    ],
)
async def test_a_grid_has_the_asked_ratio(proxy, end, size):
    task = await proxy.done("submit/imagine", prompt=f"a fox {end}")

    assert (await proxy.picture(task)).size == size == (task["width"], task["height"])


async def test_pictures_are_as_large_as_the_real_ones(proxy):
    assert (await proxy.done("submit/imagine", prompt="a fox"))["width"] == 2048


async def test_the_four_pictures_have_links_of_their_own(proxy, grid):
    picture = await proxy.picture(grid)

    for number, links in enumerate(grid["imageUrls"], 1):
        alone = Image.open(BytesIO(await proxy.file(links["url"])))
        assert apart(alone, cell(picture, number)) == 0


async def test_a_preview_is_a_blurred_picture(proxy, clock):
    task_id = (await proxy.post("submit/imagine", prompt=FOX))["result"]
    clock.turn(1)
    running = await proxy.task(task_id)
    preview = await proxy.file(running["imageUrl"])
    clock.turn(1)
    finished = await proxy.picture(await proxy.task(task_id))

    blurred = Image.open(BytesIO(preview))
    assert blurred.format == "WEBP"
    assert 0 < apart(blurred.convert("RGB"), finished) < 40


async def test_a_sent_picture_shines_through(proxy, png, data_url):
    blue = data_url(png(color=(20, 20, 220)))

    plain = await proxy.picture(await proxy.done("submit/imagine", prompt=FOX))
    weak = await proxy.picture(await proxy.done("submit/imagine", prompt=f"{FOX} --iw 0.5", base64Array=[blue]))
    strong = await proxy.picture(await proxy.done("submit/imagine", prompt=f"{FOX} --iw 2.5", base64Array=[blue]))

    distances = [apart(image, Image.new("RGB", image.size, (20, 20, 220))) for image in (plain, weak, strong)]
    assert distances == sorted(distances, reverse=True)


async def test_an_uploaded_picture_can_be_named_in_a_prompt(proxy, png, data_url):
    answer = await proxy.post("submit/upload-discord-images", base64Array=[data_url(png(color=(20, 20, 220)))])
    link = answer["result"][0]

    alone = Image.open(BytesIO(await proxy.file(link)))
    named = await proxy.picture(await proxy.done("submit/imagine", prompt=f"{link} {FOX} --iw 2.5"))

    assert alone.convert("RGB").getpixel((5, 5)) == (20, 20, 220)
    red, _, blue = ImageStat.Stat(named).mean
    assert blue > red + 40


@pytest.mark.parametrize("change", ["ex=1", "hm=0", ""])
async def test_a_forged_link_gives_nothing(stranger, grid, change):
    address, _, query = grid["imageUrl"].partition("?")
    name = change.partition("=")[0]
    parts = [part for part in query.split("&") if not part.startswith(f"{name}=")] if change else []

    answer = await stranger.get(f"{address}?{'&'.join([*parts, change])}")

    assert answer.status_code == 403


async def test_a_link_is_over_after_a_day(stranger, grid, clock):
    clock.turn(86_500)

    assert (await stranger.get(grid["imageUrl"])).status_code == 403


# U, V and the rest of the grid's buttons


@pytest.mark.parametrize("number", [1, 2, 3, 4])
async def test_an_upscale_is_the_very_picture_of_the_grid(proxy, grid, number):
    single = await proxy.picture(await proxy.pressed(grid, f"upsample::{number}"))

    assert single.size == (CELL, CELL)
    assert apart(single, cell(await proxy.picture(grid), number)) == 0


async def test_variations_resemble_the_picture_more_than_other_pictures_do(proxy, grid):
    picture = await proxy.picture(grid)
    other = await proxy.picture(await proxy.done("submit/imagine", prompt="a boat at sea, night --draft"))

    varied = await proxy.picture(await proxy.pressed(grid, "variation::2"))

    start = cell(picture, 2)
    for number in (1, 2, 3, 4):
        near = apart(start, cell(varied, number))
        assert 0 < near < apart(start, cell(other, number))


async def test_strong_variations_go_further_than_subtle_ones(proxy, single):
    start = await proxy.picture(single)
    far = []
    for button in ("low_variation", "high_variation"):
        varied = await proxy.picture(await proxy.pressed(single, button))
        far.append(sum(apart(start, cell(varied, number)) for number in (1, 2, 3, 4)))

    assert 0 < far[0] < far[1]


async def test_a_reroll_draws_the_words_again(proxy, grid):
    again = await proxy.picture(await proxy.pressed(grid, "reroll"))

    assert apart(again, await proxy.picture(grid)) > 3


async def test_other_words_in_a_remix_are_drawn(proxy):
    grid = await proxy.done("submit/imagine", prompt="a red fox --draft --seed 7", accountFilter={"remix": True})
    opened = await proxy.press(grid, "variation::1")

    task = await proxy.done("submit/modal", taskId=opened["result"], prompt="a blue fox --draft")

    def blueness(picture):
        red, _, blue = ImageStat.Stat(picture.crop(box(picture.size, 0.1, 0.2, 0.4, 0.45))).mean
        return blue - red

    assert blueness(await proxy.picture(task)) > blueness(await proxy.picture(grid)) + 30


@pytest.mark.parametrize(("way", "most"), [("subtle", 3), ("creative", 30)])
async def test_a_larger_picture_is_the_same_one(proxy, single, way, most):
    task = await proxy.pressed(single, way)

    large = await proxy.picture(task)
    assert large.size == (2 * CELL, 2 * CELL) == (task["width"], task["height"])
    assert apart(unmarked(await proxy.picture(single)), unmarked(large)) < most


async def test_the_oldest_way_makes_it_four_times_as_large(proxy):
    grid = await proxy.done("submit/imagine", prompt="a fox --draft --v 5")
    single = await proxy.pressed(grid, "upsample::1")

    assert (await proxy.picture(await proxy.pressed(single, "upsample_v5_4x"))).size == (4 * CELL, 4 * CELL)


# Zooms, pans, regions


@pytest.mark.parametrize(("button", "zoom"), [("Outpaint::50", 2), ("Outpaint::75", 1.5)])
async def test_a_zoom_has_the_picture_in_its_middle(proxy, single, button, zoom):
    start = unmarked(await proxy.picture(single), 0.8)

    zoomed = await proxy.picture(await proxy.pressed(single, button))

    for number in (1, 2, 3, 4):
        each = cell(zoomed, number)
        half = 0.5 / zoom
        inner = each.crop(box(each.size, 0.5 - half, 0.5 - half, 0.5 + half, 0.5 + half))
        assert apart(unmarked(inner, 0.8), start) < 4
    assert apart(cell(zoomed, 1), cell(zoomed, 2)) > 0.5, "around it, each of the four goes on in its own way"


@pytest.mark.parametrize(("zoom", "end"), [("1.2", ""), ("1.8", ""), ("1", " --ar 2:1")])
async def test_a_custom_zoom_obeys_the_window(proxy, single, zoom, end):
    opened = await proxy.press(single, "CustomZoom")
    start = unmarked(await proxy.picture(single), 0.8)

    prompt = f"a red fox in the snow --zoom {zoom}{end} --draft"
    task = await proxy.done("submit/modal", taskId=opened["result"], prompt=prompt)

    picture = await proxy.picture(task)
    width, height = picture.width // 2, picture.height // 2
    side = height / float(zoom)
    left, top = (width - side) / 2, (height - side) / 2
    inner = picture.crop((round(left), round(top), round(left + side), round(top + side)))
    assert (width > 1.9 * height) == bool(end)
    assert apart(unmarked(inner, 0.8), start) < 8


@pytest.mark.parametrize(
    ("button", "size", "place"),
    [
        ("pan_left", (768, 512), (256, 0)),
        ("pan_right", (768, 512), (0, 0)),
        ("pan_up", (512, 768), (0, 256)),
        ("pan_down", (512, 768), (0, 0)),
    ],
)
async def test_a_pan_goes_on_to_one_side(proxy, single, button, size, place):
    start = unmarked(await proxy.picture(single))

    panned = await proxy.picture(await proxy.pressed(single, button))

    left, top = place
    assert panned.size == (2 * size[0], 2 * size[1])
    for number in (1, 2, 3, 4):
        inner = cell(panned, number, size).crop((left, top, left + CELL, top + CELL))
        assert apart(unmarked(inner), start) == 0


async def test_a_wide_picture_can_be_made_square(proxy):
    grid = await proxy.done("submit/imagine", prompt="a fox --ar 3:2 --draft --v 6.1")
    single = await proxy.pressed(grid, "upsample::1")
    start = await proxy.picture(single)

    square = await proxy.picture(await proxy.pressed(single, "Outpaint::100"))

    side = start.width
    top = (side - start.height) // 2
    inner = cell(square, 1, (side, side)).crop((0, top, side, top + start.height))
    assert square.size == (2 * side, 2 * side)
    assert apart(unmarked(inner), unmarked(start)) == 0


async def test_a_region_changes_only_where_the_mask_is_white(proxy, single, data_url):
    start = await proxy.picture(single)
    mask = Image.new("L", start.size, 0)
    ImageDraw.Draw(mask).rectangle((20, 40, 180, 300), fill=255)
    opened = await proxy.press(single, "Inpaint")

    prompt = "a red fox and a white rabbit --draft"
    task = await proxy.done("submit/modal", taskId=opened["result"], prompt=prompt, maskBase64=data_url(mask))

    picture = await proxy.picture(task)
    for number in (1, 2, 3, 4):
        changed = ImageChops.difference(unmarked(cell(picture, number)), unmarked(start)).convert("L")
        assert changed.point(lambda value: 255 if value else 0).getbbox() is not None
        left, top, right, bottom = changed.getbbox()
        assert left >= 20
        assert top >= 40
        assert right <= 181
        assert bottom <= 301
    assert apart(cell(picture, 1), cell(picture, 2)) > 0


async def test_a_transparent_mask_means_the_same_as_a_black_one(proxy, single, data_url):
    start = await proxy.picture(single)
    mask = Image.new("RGBA", start.size, (255, 255, 255, 0))
    ImageDraw.Draw(mask).ellipse((20, 20, 200, 200), fill=(255, 255, 255, 255))
    opened = await proxy.press(single, "Inpaint")

    task = await proxy.done("submit/modal", taskId=opened["result"], prompt="a balloon", maskBase64=data_url(mask))

    changed = ImageChops.difference(unmarked(cell(await proxy.picture(task), 1)), unmarked(start)).convert("L")
    assert changed.getbbox()[2] <= 202


async def test_buttons_can_be_pressed_one_after_the_other(proxy, single):
    task = single
    for button in ("pan_left", "upsample::3", "Outpaint::50", "variation::1", "upsample::1", "2x_subtle", "pan_up"):
        task = await proxy.pressed(task, button)

    picture = await proxy.picture(task)
    assert picture.width * picture.height <= 4 * 1024 * 1024 * 1.6


# Blends and swaps


@pytest.mark.parametrize(("dimensions", "ratio"), [("PORTRAIT", 2 / 3), ("SQUARE", 1), ("LANDSCAPE", 3 / 2)])
async def test_a_blend_lies_between_the_pictures(proxy, png, data_url, dimensions, ratio):
    colors = (230, 20, 20), (20, 20, 230)

    task = await proxy.done(
        "submit/blend", base64Array=[data_url(png(color=color)) for color in colors], dimensions=dimensions
    )

    picture = await proxy.picture(task)
    assert (task["action"], task["description"]) == ("BLEND", f"/blend {task['id']} 2")
    assert picture.width / picture.height == pytest.approx(ratio, abs=0.02)
    for number in (1, 2, 3, 4):
        each = unmarked(cell(picture, number, (picture.width // 2, picture.height // 2)))
        red, green, blue = ImageStat.Stat(each).mean
        assert 50 < red < 200
        assert 50 < blue < 200
        assert green < 40
        for low, high in each.getextrema():
            assert low >= 18
            assert high <= 232


async def test_a_blend_of_five_has_something_of_each(proxy, png, data_url):
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]

    picture = await proxy.picture(
        await proxy.done("submit/blend", base64Array=[data_url(png(color=color)) for color in colors])
    )

    assert all(60 < part < 200 for part in ImageStat.Stat(unmarked(cell(picture, 1))).mean)


def head(size, at, skin, eyes, ground):
    """Draw a head: an oval of skin with two eyes, on a ground that is not like skin."""
    image = Image.new("RGB", size, ground)
    draw = ImageDraw.Draw(image)
    x, y, width, height = at
    draw.ellipse((x, y, x + width, y + height), fill=skin)
    for eye in (0.32, 0.68):
        middle = x + eye * width, y + 0.42 * height
        draw.ellipse((middle[0] - 9, middle[1] - 9, middle[0] + 9, middle[1] + 9), fill=eyes)
    return image


async def test_a_swap_moves_the_face_of_one_picture_onto_the_other(proxy, data_url):
    source = head((400, 400), (30, 40, 160, 210), (224, 172, 138), (20, 60, 220), (40, 90, 60))
    target = head((600, 500), (380, 200, 140, 190), (120, 78, 54), (250, 250, 250), (180, 200, 230))

    task = await proxy.done("insight-face/swap", sourceBase64=data_url(source), targetBase64=data_url(target))

    picture = await proxy.picture(task)
    cheek = picture.getpixel((450, 320))
    red, _, blue = picture.getpixel((380 + round(0.32 * 140), 200 + round(0.42 * 190)))
    assert (task["action"], task["botType"], task["buttons"]) == ("SWAP_FACE", "INSIGHT_FACE", [])
    assert picture.size == target.size
    assert cheek[0] > 150, "the skin is that of the first picture"
    assert blue > red + 40, "and so are the eyes"
    assert picture.getpixel((100, 100)) == target.getpixel((100, 100))


async def test_a_swap_of_drawn_people_works_too(proxy):
    people = []
    for prompt in ("a woman in the city, day --seed 3", "a man in the snow at night --seed 4"):
        grid = await proxy.done("submit/imagine", prompt=f"{prompt} --draft")
        people.append(grid["imageUrls"][0]["url"])

    task = await proxy.done("insight-face/swap", sourceUrl=people[0], targetUrl=people[1])

    target = Image.open(BytesIO(await proxy.file(people[1]))).convert("RGB")
    changed = ImageChops.difference(unmarked(await proxy.picture(task)), unmarked(target)).convert("L")
    left, top, right, bottom = changed.getbbox()
    assert (right - left) * (bottom - top) < target.width * target.height / 8


async def test_where_no_face_is_found_the_middle_is_taken(proxy, png, data_url):
    task = await proxy.done(
        "insight-face/swap",
        sourceBase64=data_url(png(color=(0, 200, 0))),
        targetBase64=data_url(png(400, 400, color=(0, 0, 200))),
    )

    picture = await proxy.picture(task)
    assert picture.getpixel((200, 200))[1] > 120
    assert picture.getpixel((20, 200)) == (0, 0, 200)


# Beyond what the oldest proxies have


async def test_a_picture_moves(proxy, single):
    task = await proxy.pressed(single, "animate_high")

    with av.open(BytesIO(await proxy.file(task["videoUrl"]))) as film:
        frames = [frame.to_image() for frame in film.decode(video=0)]
        seconds = film.duration / av.time_base
    start = await proxy.picture(single)
    assert (task["action"], len(task["videoUrls"])) == ("VIDEO", 4)
    assert seconds == pytest.approx(5, abs=0.3)
    assert apart(frames[0], start) < 60, "it begins with the picture, seen from somewhere near"
    assert apart(frames[0], frames[-1]) > 10
    assert await proxy.picture(task)


async def test_one_of_the_films_gets_larger_and_goes_on(proxy, single, station):
    films = await proxy.pressed(single, "animate_low")
    one = await proxy.pressed(films, "video_virtual_upscale::2")
    longer = await proxy.pressed(one, "animate_high_extend")

    def recipe(task, number):
        return station.sandbox.shelf.look_up(f"{task['properties']['messageHash']}-{number}").recipe

    assert recipe(longer, 3).seconds == recipe(one, 0).seconds + 4 == 9
    assert recipe(one, 0).scene.width == 2 * recipe(films, 1).scene.width
    assert recipe(one, 0).camera == recipe(films, 1).camera
    assert [button["customId"].split("::")[2] for button in one["buttons"]] == [
        "animate_high_extend",
        "animate_low_extend",
    ]


async def test_a_sent_picture_moves_and_goes_on(proxy, png, data_url):
    task = await proxy.done(
        "submit/video", image=data_url(png(400, 300)), prompt="it turns", motion="high", batchSize=1
    )

    longer = await proxy.done("submit/video", action="extend", taskId=task["id"], index=0)

    with av.open(BytesIO(await proxy.file(longer["videoUrls"][3]["url"]))) as film:
        assert film.duration / av.time_base == pytest.approx(9, abs=0.3)
    assert len(task["videoUrls"]) == 1
    assert len(longer["videoUrls"]) == 4
    assert (await proxy.post("submit/video", action="extend", taskId=task["id"], index=1))["code"] == 4


@pytest.mark.parametrize(("path", "action"), [("edits", "EDIT"), ("edit", "EDIT"), ("retexture", "RETEXTURE")])
async def test_words_are_drawn_into_a_sent_picture(proxy, png, data_url, path, action):
    sent = data_url(png(color=(20, 20, 220)))

    task = await proxy.done(f"submit/{path}", prompt="a red fox --draft", image=sent)

    picture = await proxy.picture(task)
    red, _, blue = ImageStat.Stat(picture).mean
    assert task["action"] == action
    assert blue > red
    assert apart(picture, Image.new("RGB", picture.size, (20, 20, 220))) > 10


async def test_a_job_is_shown_again(proxy, grid, clock):
    shown = await proxy.done("submit/show", jobId=grid["properties"]["messageHash"])
    unknown = await proxy.post("submit/show", jobId="3dbbd469-36af-4a0f-8f02-df6c579e7011")
    clock.turn(2)

    assert await proxy.file(shown["imageUrl"]) == await proxy.file(grid["imageUrl"])
    assert (await proxy.task(unknown["result"]))["failReason"].startswith("[Invalid link]")

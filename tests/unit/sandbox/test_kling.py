"""Kling's twin: tasks that take their time, and everything its contract page refuses."""

import base64
from io import BytesIO

import anyio
import av
import pytest

FILM = "/v1/videos/text2video"
PICTURE = "/v1/images/generations"
MOVE = "/v1/videos/image2video"


def b64(content):
    return base64.b64encode(content).decode()


@pytest.fixture
def run(kling, clock):
    """Submit a task, let its time pass, and return it."""

    async def submit(path, **body):
        answer = await kling.post(path, json=body)
        assert answer.status_code == 200, answer.text
        clock.turn(2)
        return (await kling.get(f"{path}/{answer.json()['data']['task_id']}")).json()["data"]

    return submit


@pytest.fixture
def fetch(stranger):
    async def get(url):
        answer = await stranger.get(url)
        assert answer.status_code == 200, answer.text
        return answer.content

    return get


def played(content):
    """Return size, seconds and number of frames of a film, having decoded all of it."""
    with av.open(BytesIO(content)) as film:
        stream = film.streams.video[0]
        assert stream.codec_context.name == "h264"
        frames = sum(1 for _ in film.decode(stream))
        return (stream.width, stream.height), film.duration / av.time_base, frames


# A task's life


async def test_a_task_goes_through_its_states(kling, clock):
    created = (await kling.post(FILM, json={"prompt": "a cat"})).json()
    seen = []
    for _ in range(3):
        seen.append((await kling.get(f"{FILM}/{created['data']['task_id']}")).json()["data"])
        clock.turn(1)

    assert created["code"] == 0
    assert created["request_id"]
    assert created["data"]["task_status"] == "submitted"
    assert [task["task_status"] for task in seen] == ["submitted", "processing", "succeed"]
    assert seen[2]["updated_at"] == created["data"]["created_at"] + 2000
    assert "task_result" not in seen[1]


async def test_a_delay_is_the_tasks_time(kling, clock):
    task_id = (await kling.post(FILM, json={"prompt": "a cat #delay=9"})).json()["data"]["task_id"]
    clock.turn(8.9)

    before = (await kling.get(f"{FILM}/{task_id}")).json()["data"]["task_status"]
    clock.turn(0.2)

    assert before == "processing"
    assert (await kling.get(f"{FILM}/{task_id}")).json()["data"]["task_status"] == "succeed"


async def test_a_task_can_fail_later(run):
    task = await run(FILM, prompt="a cat #fail=task")

    assert task["task_status"] == "failed"
    assert task["task_status_msg"]
    assert "task_result" not in task


async def test_a_task_is_found_by_its_callers_reference(kling):
    await kling.post(FILM, json={"prompt": "a cat", "external_task_id": "mine-1"})

    task = (await kling.get(f"{FILM}/mine-1")).json()["data"]

    assert task["task_info"] == {"external_task_id": "mine-1"}


async def test_a_reference_is_used_once(kling):
    first, second = [await kling.post(FILM, json={"prompt": "a", "external_task_id": "x"}) for _ in range(2)]

    assert first.status_code == 200
    assert (second.status_code, second.json()["code"]) == (400, 1201)


async def test_a_list_is_newest_first_and_has_pages(kling, clock):
    ids = []
    for _ in range(3):
        ids.append((await kling.post(FILM, json={"prompt": "a cat"})).json()["data"]["task_id"])
        clock.turn(1)
    await kling.post(PICTURE, json={"prompt": "another kind"})

    pages = [(await kling.get(FILM, params={"pageNum": page, "pageSize": 2})).json()["data"] for page in (1, 2, 3)]

    assert [[task["task_id"] for task in page] for page in pages] == [[ids[2], ids[1]], [ids[0]], []]


@pytest.mark.parametrize("params", [{"pageNum": 0}, {"pageNum": 1001}, {"pageSize": 501}, {"pageSize": "x"}], ids=str)
async def test_a_page_outside_the_limits_is_refused(kling, params):
    assert (await kling.get(FILM, params=params)).json()["code"] == 1201


async def test_an_unknown_task_is_1203(kling):
    submitted = (await kling.post(FILM, json={"prompt": "a"})).json()["data"]["task_id"]

    for path in (f"{FILM}/831922345719271433", f"{MOVE}/{submitted}"):
        answer = await kling.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, 1203)


async def test_callbacks_tell_every_change(station, kling, clock):
    told = []

    async def keep(url, body):
        told.append((url, body))

    station.sandbox.callbacks._send = keep
    await kling.post(FILM, json={"prompt": "a cat", "callback_url": "http://caller.test/hook"})
    for _ in range(2):
        while not clock.sleepers:
            await anyio.lowlevel.checkpoint()
        clock.turn(1.5)
    while len(told) < 2:
        await anyio.lowlevel.checkpoint()

    assert [url for url, _ in told] == ["http://caller.test/hook"] * 2
    assert b'"task_status":"processing"' in told[0][1]
    assert b'"task_status":"succeed"' in told[1][1]


# Results


@pytest.mark.parametrize(
    ("ratio", "duration", "size"), [("16:9", "5", (640, 360)), ("9:16", "10", (360, 640)), ("1:1", "5", (480, 480))]
)
async def test_a_film_plays_as_long_as_asked(run, fetch, ratio, duration, size):
    task = await run(FILM, prompt="a fox runs", aspect_ratio=ratio, duration=duration)

    video = task["task_result"]["videos"][0]
    seen, seconds, _ = played(await fetch(video["url"]))
    assert seen == size
    assert seconds == pytest.approx(float(duration), abs=0.3)
    assert float(video["duration"]) == pytest.approx(seconds, abs=0.3)
    assert task["final_unit_deduction"] == ("2" if duration == "10" else "1")


async def test_the_same_request_is_the_same_film(run, fetch):
    first, second = [(await run(FILM, prompt="a boat"))["task_result"]["videos"][0]["url"] for _ in range(2)]

    assert first != second
    assert await fetch(first) == await fetch(second)


async def test_pictures_have_indexes_and_the_asked_ratio(run, fetch, opened):
    task = await run(PICTURE, prompt="a cat", n=2, aspect_ratio="1:1")

    images = task["task_result"]["images"]
    contents = [await fetch(image["url"]) for image in images]
    assert [image["index"] for image in images] == [0, 1]
    assert [opened(content).size for content in contents] == [(1024, 1024)] * 2
    assert contents[0] != contents[1]
    assert task["final_unit_deduction"] == "0.05"


async def test_a_film_of_a_picture_shows_it(run, fetch, png):
    task = await run(MOVE, image=b64(png(600, 600, "#208020")), prompt="it turns")

    content = await fetch(task["task_result"]["videos"][0]["url"])
    with av.open(BytesIO(content)) as film:
        red, green, blue = next(film.decode(video=0)).to_image().getpixel((100, 100))
    assert green > red + 40
    assert green > blue + 40


async def test_a_film_may_end_with_another_picture(run, fetch, png):
    task = await run(MOVE, image=b64(png(600, 400, "white")), image_tail=b64(png(600, 400, "black")))

    with av.open(BytesIO(await fetch(task["task_result"]["videos"][0]["url"]))) as film:
        frames = [frame.to_image().getpixel((50, 50))[0] for frame in film.decode(video=0)]
    assert frames[0] > 200
    assert frames[-1] < 60


async def test_an_extension_goes_on_from_a_film(run, fetch):
    parent = (await run(FILM, prompt="a boat"))["task_result"]["videos"][0]

    task = await run("/v1/videos/video-extend", video_id=parent["id"])

    assert played(await fetch(task["task_result"]["videos"][0]["url"]))[1] == pytest.approx(10, abs=0.3)
    assert task["task_info"]["parent_video"]["id"] == parent["id"]


async def test_a_try_on_keeps_the_person(run, fetch, opened, png):
    task = await run("/v1/images/kolors-virtual-try-on", human_image=b64(png(400, 600)), cloth_image=b64(png(400, 400)))

    assert opened(await fetch(task["task_result"]["images"][0]["url"])).size == (400, 600)


# Strictness


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (FILM, {}),
        (FILM, {"prompt": ""}),
        (FILM, {"prompt": 7}),
        (FILM, {"prompt": "x" * 2501}),
        (FILM, {"prompt": "a", "duration": 5}),
        (FILM, {"prompt": "a", "duration": "7000"}),
        (FILM, {"prompt": "a", "duration": "3"}),
        (FILM, {"prompt": "a", "mode": "turbo"}),
        (FILM, {"prompt": "a", "aspect_ratio": "7:3"}),
        (FILM, {"prompt": "a", "cfg_scale": 1.5}),
        (FILM, {"prompt": "a", "cfg_scale": "0.5"}),
        (FILM, {"prompt": "a", "sound": "on"}),
        (FILM, {"prompt": "a", "camera_control": {"type": "simple"}}),
        (FILM, {"prompt": "a", "camera_control": {"type": "simple", "config": {"zoom": 5, "pan": 1}}}),
        (FILM, {"prompt": "a", "camera_control": {"type": "simple", "config": {"zoom": 11}}}),
        (FILM, {"prompt": "a", "camera_control": {"type": "forward_up", "config": {"zoom": 1}}}),
        (FILM, {"prompt": "a", "callback_url": "nowhere"}),
        (FILM, {"model_name": "kling-v1", "prompt": "a", "multi_shot": True}),
        (
            FILM,
            {
                "model_name": "kling-v3",
                "multi_shot": True,
                "shot_type": "customize",
                "multi_prompt": [{"index": 1, "prompt": "a", "duration": "3"}],
            },
        ),
        (PICTURE, {"prompt": "a", "n": 10}),
        (PICTURE, {"prompt": "a", "n": "2"}),
        (PICTURE, {"prompt": "a", "resolution": "4k"}),
        (PICTURE, {"prompt": "a", "image_fidelity": 2}),
        (PICTURE, {"prompt": "a", "image_reference": "face"}),
        (PICTURE, {"prompt": "a", "image": "not base64!"}),
        (PICTURE, {"prompt": "a", "image": b64(b"not a picture")}),
        (MOVE, {"prompt": "a"}),
        (MOVE, {"image": "data:image/png;base64,AAAA"}),
        (
            MOVE,
            {
                "image": "http://a.test/a.png",
                "image_tail": "http://a.test/b.png",
                "camera_control": {"type": "forward_up"},
            },
        ),
        (
            MOVE,
            {"image": "http://a.test/a.png", "dynamic_masks": [{"mask": "http://a.test/m.png", "trajectories": []}]},
        ),
        (MOVE, {"image": "http://a.test/a.png", "voice_list": [1]}),
        ("/v1/videos/video-extend", {}),
        ("/v1/images/kolors-virtual-try-on", {"human_image": "http://a.test/a.png"}),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_a_bad_value_is_1201(kling, path, body):
    answer = await kling.post(path, json=body)

    assert (answer.status_code, answer.json()["code"]) == (400, 1201)
    assert answer.json()["message"]


@pytest.mark.parametrize("size", [(299, 400), (300, 800)], ids=str)
async def test_a_picture_too_small_or_too_long_is_refused(kling, png, size):
    answer = await kling.post(MOVE, json={"image": b64(png(*size))})

    assert answer.json()["code"] == 1201


async def test_a_negative_prompt_does_not_go_with_a_picture(kling, png):
    answer = await kling.post(PICTURE, json={"prompt": "a", "negative_prompt": "b", "image": b64(png())})

    assert answer.json()["code"] == 1201


async def test_shots_that_sum_up_need_no_prompt(kling):
    shots = [{"index": 1, "prompt": "a", "duration": "3"}, {"index": 2, "prompt": "b", "duration": "2"}]

    answer = await kling.post(
        FILM, json={"model_name": "kling-v3", "multi_shot": True, "shot_type": "customize", "multi_prompt": shots}
    )

    assert answer.json()["code"] == 0


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
async def test_a_body_that_is_no_object_is_1200(kling, body):
    assert (await kling.post(FILM, content=body)).json()["code"] == 1200


@pytest.mark.parametrize("body", [{"prompt": "a", "model_name": "kling-v9"}, {"video_id": "none"}], ids=str)
async def test_what_does_not_exist_is_1203(kling, body):
    answer = await kling.post("/v1/videos/video-extend" if "video_id" in body else FILM, json=body)

    assert (answer.status_code, answer.json()["code"]) == (404, 1203)


async def test_a_wrong_method_is_1202(kling):
    answer = await kling.delete(FILM)

    assert (answer.status_code, answer.json()["code"]) == (404, 1202)


# Keys


async def test_no_token_is_1001(stranger):
    answer = await stranger.get(f"/kling{FILM}")

    assert (answer.status_code, answer.json()["code"]) == (401, 1001)


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"key": "wrong"}, 1000),
        ({"iss": "somebody"}, 1000),
        ({"alg": "none"}, 1002),
        ({"exp": None}, 1002),
        ({"exp": "soon"}, 1002),
        ({"nbf": 4_000_000_000}, 1003),
        ({"exp": 1}, 1004),
    ],
    ids=str,
)
async def test_a_bad_token_has_its_code(stranger, jwt, claims, code):
    answer = await stranger.get(f"/kling{FILM}", headers={"authorization": f"Bearer {jwt(**claims)}"})

    assert (answer.status_code, answer.json()["code"]) == (401, code)


@pytest.mark.parametrize(
    "header", ["test-key", "Bearer test-key", "Bearer a.b.c", "Bearer ..", "bearer  x", "Bearer é.é.é"]
)
async def test_what_is_no_token_is_1002(stranger, header):
    answer = await stranger.get(f"/kling{FILM}", headers={"authorization": header.encode()})

    assert (answer.status_code, answer.json()["code"]) == (401, 1002)

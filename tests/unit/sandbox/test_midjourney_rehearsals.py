"""Midjourney's twin under steering words, capacity limits and restarts, and what its hooks hear."""

import json

import anyio
import pytest

# Steering words


@pytest.mark.parametrize(
    ("word", "status", "code"),
    [("content", 200, 24), ("invalid", 200, 4), ("rate", 429, 30), ("credit", 200, 3), ("500", 500, 9)],
)
async def test_each_word_is_answered_as_the_proxy_says_it(midjourney, word, status, code):
    answer = await midjourney.post("/mj/submit/imagine", json={"prompt": f"a fox #fail={word}"})

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers.get("retry-after") == ("1" if status == 429 else None)


async def test_a_bad_channel_key_is_401_without_a_word(midjourney):
    answer = await midjourney.post("/mj/submit/imagine", json={"prompt": "a fox #fail=auth"})

    assert (answer.status_code, answer.content) == (401, b"")


async def test_the_banned_word_of_a_rehearsal_is_its_word(proxy):
    answer = await proxy.post("submit/imagine", prompt="a fox #fail=content")

    assert answer["properties"] == {"promptEn": "a fox #fail=content", "bannedWord": "#fail=content"}


async def test_garbage_is_a_200_that_cannot_be_read(midjourney):
    answer = await midjourney.post("/mj/submit/imagine", json={"prompt": "a fox #fail=garbage"})

    assert answer.text.startswith("<html>")


async def test_once_fails_only_the_first_attempt_of_a_request(midjourney):
    body, headers = {"prompt": "a fox #fail=rate #once"}, {"x-client-request-id": "r-1"}

    first, second = [await midjourney.post("/mj/submit/imagine", json=body, headers=headers) for _ in range(2)]

    assert (first.status_code, second.status_code) == (429, 200)


async def test_words_may_stand_in_the_state_of_a_request_without_a_prompt(proxy, png, data_url, clock):
    answer = await proxy.post("submit/describe", base64=data_url(png()), state="#fail=task")
    clock.turn(2)

    assert (await proxy.task(answer["result"]))["status"] == "FAILURE"


async def test_words_do_not_change_the_picture(proxy):
    plain = await proxy.done("submit/imagine", prompt="a red fox --draft --seed 7")
    steered = await proxy.done("submit/imagine", prompt="a red fox #delay=2 --draft --seed 7")

    assert await proxy.file(plain["imageUrl"]) == await proxy.file(steered["imageUrl"])


async def test_the_child_of_a_steered_task_is_not_steered(proxy, clock):
    grid = (await proxy.post("submit/imagine", prompt="a fox --draft #delay=9"))["result"]
    clock.turn(9)

    assert (await proxy.pressed(await proxy.task(grid), "upsample::1"))["status"] == "SUCCESS"


# Hooks


@pytest.fixture
def told(station):
    """What the hooks heard, oldest first."""
    heard = []

    async def keep(url, body):
        heard.append((url, json.loads(body)))

    station.sandbox.callbacks._send = keep
    return heard


async def until(condition):
    with anyio.fail_after(10):
        while not condition():
            await anyio.lowlevel.checkpoint()


async def test_a_hook_hears_of_every_change(proxy, clock, told):
    task_id = (await proxy.post("submit/imagine", prompt="a fox", notifyHook="http://caller.test/hook"))["result"]
    for count in range(1, 9):
        await until(lambda count=count: len(told) >= count and clock.sleepers)
        clock.turn(0.26)
    await until(lambda: len(told) == 9)

    assert {url for url, _ in told} == {"http://caller.test/hook"}
    assert [(body["status"], body["progress"]) for _, body in told] == [
        ("SUBMITTED", "0%"),
        ("IN_PROGRESS", "0%"),
        *(("IN_PROGRESS", f"{step}%") for step in (15, 31, 46, 62, 78, 93)),
        ("SUCCESS", "100%"),
    ]
    assert told[-1][1] == await proxy.task(task_id)


async def test_a_hook_hears_of_a_cancelled_task_at_once_and_of_nothing_more(proxy, midjourney, clock, told):
    task_id = (await proxy.post("submit/imagine", prompt="a fox", notifyHook="http://caller.test/hook"))["result"]
    await until(lambda: told)
    await midjourney.post(f"/mj/task/{task_id}/cancel")
    await until(lambda: len(told) == 2)
    clock.turn(10)
    for _ in range(20):
        await anyio.lowlevel.checkpoint()

    assert [body["status"] for _, body in told] == ["SUBMITTED", "CANCEL"]


async def test_the_hook_of_a_window_hears_of_what_becomes_of_it(proxy, clock, told):
    grid = await proxy.done("submit/imagine", prompt="a fox --draft --v 6.1")
    single = await proxy.pressed(grid, "upsample::1")
    window = (await proxy.press(single, "CustomZoom", notifyHook="http://caller.test/hook"))["result"]
    await until(lambda: told)
    await proxy.post("submit/modal", taskId=window)
    await until(lambda: len(told) == 2)

    assert [body["status"] for _, body in told] == ["MODAL", "SUBMITTED"]


# Capacity


@pytest.fixture(params=["memory", "file"])
async def limited(started, request, tmp_path):
    async with started(tmp_path if request.param == "file" else None, limits=True) as proxy:
        yield proxy


async def test_without_limits_everything_runs_at_once(proxy):
    answers = [await proxy.post("submit/imagine", prompt="a fox") for _ in range(40)]

    assert {answer["code"] for answer in answers} == {1}


async def test_three_run_ten_wait_and_the_next_is_turned_away(limited):
    answers = [await limited.post("submit/imagine", prompt="a fox") for _ in range(14)]

    assert [answer["code"] for answer in answers] == [1] * 3 + [22] * 10 + [23]
    assert [answer["properties"]["numberOfQueues"] for answer in answers[3:13]] == list(range(10))
    assert answers[5]["description"] == "排队中，前面还有2个任务"
    assert answers[13]["description"] == "队列已满，请稍后尝试"
    assert not (await limited.client.get(f"/mj/task/{answers[13]['result']}/fetch")).content, "it is not kept"


async def test_those_that_wait_begin_as_others_end(limited, clock):
    ids = [(await limited.post("submit/imagine", prompt="a fox"))["result"] for _ in range(5)]
    seen = []
    for _ in range(3):
        seen.append([(await limited.task(task_id))["status"] for task_id in ids])
        clock.turn(2)

    waiting = [task["id"] for task in (await limited.client.get("/mj/task/queue")).json()]
    assert seen == [
        ["SUBMITTED"] * 3 + ["NOT_START"] * 2,
        ["SUCCESS"] * 3 + ["SUBMITTED"] * 2,
        ["SUCCESS"] * 5,
    ]
    assert waiting == []


async def test_the_queue_is_shown_oldest_first(limited):
    ids = [(await limited.post("submit/imagine", prompt="a fox"))["result"] for _ in range(6)]

    waiting = (await limited.client.get("/mj/task/queue")).json()

    assert [task["id"] for task in waiting] == ids[3:]
    assert {task["status"] for task in waiting} == {"NOT_START"}


async def test_a_cancelled_task_makes_room(limited, clock):
    ids = [(await limited.post("submit/imagine", prompt="a fox"))["result"] for _ in range(5)]
    clock.turn(1)

    await limited.client.post(f"/mj/task/{ids[0]}/cancel")
    states = [(await limited.task(task_id))["status"] for task_id in ids]
    clock.turn(1)
    later = await limited.task(ids[4])

    assert states == ["CANCEL", "IN_PROGRESS", "IN_PROGRESS", "SUBMITTED", "NOT_START"]
    assert later["status"] == "SUBMITTED"


async def test_an_open_window_takes_no_place(limited):
    grid = await limited.done("submit/imagine", prompt="a fox --v 6.1")
    single = await limited.pressed(grid, "upsample::1")
    for _ in range(5):
        assert (await limited.press(single, "CustomZoom"))["code"] == 21

    assert (await limited.post("submit/imagine", prompt="a fox"))["code"] == 1


# Cheapness


async def test_nothing_is_drawn_before_somebody_fetches_it(proxy, midjourney, station, clock):
    task_id = (await proxy.post("submit/imagine", prompt="a fox --draft"))["result"]
    clock.turn(2)

    (task,) = (await midjourney.post("/mj/task/list-by-condition", json={"ids": [task_id]})).json()
    await proxy.pressed(task, "upsample::1")

    made = [len(station.sandbox.shelf._made)]
    await proxy.file(task["imageUrl"])
    made.append(len(station.sandbox.shelf._made))

    assert task["status"] == "SUCCESS"
    assert made == [0, 1]


# Restarts


def hear(proxy):
    """Keep what the hooks hear from now on: the address, and the id of the task."""
    heard = []

    async def keep(url, body):
        heard.append((url, json.loads(body)["id"]))

    proxy.station.sandbox.callbacks._send = keep
    return heard


async def test_everything_survives_a_restart(started, tmp_path):
    hook = "http://caller.test/hook"
    async with started(tmp_path) as proxy:
        hear(proxy)
        grid = await proxy.done("submit/imagine", prompt="a fox --draft --v 6.1")
        picture = await proxy.file(grid["imageUrl"])
        single = await proxy.pressed(grid, "upsample::1")
        window = (await proxy.press(single, "CustomZoom"))["result"]
        running = (await proxy.post("submit/imagine", prompt="a fox --draft", notifyHook=hook))["result"]
        listed = (await proxy.client.get("/mj/task/list")).json()

    async with started(tmp_path) as proxy:
        heard = hear(proxy)
        proxy.station.resume()
        await until(lambda: heard)

        assert heard == [(hook, running)]
        assert (await proxy.client.get("/mj/task/list")).json() == listed
        assert [task["id"] for task in listed] == [running, window, single["id"], grid["id"]]
        assert await proxy.file(grid["imageUrl"]) == picture
        assert (await proxy.press(grid, "upsample::1"))["result"] == single["id"]
        zoomed = await proxy.done("submit/modal", taskId=window)
        assert (await proxy.picture(zoomed)).size == (1024, 1024)
        assert (await proxy.task(running))["status"] == "SUCCESS"


async def test_what_a_picture_was_made_from_is_kept_as_long_as_the_picture(proxy, station, clock, png, data_url):
    blue = data_url(png(color=(20, 20, 220)))
    grid = await proxy.done("submit/imagine", prompt="a fox --draft --v 6.1", base64Array=[blue])
    clock.turn(29 * 86_400)
    single = await proxy.pressed(grid, "upsample::1")
    clock.turn(10 * 86_400)

    station.resume()

    shown = await proxy.task(single["id"])
    assert shown["status"] == "SUCCESS"
    kept = station.sandbox.shelf.look_up(single["properties"]["messageHash"])
    assert await station.sandbox.shelf.content("again", kept)

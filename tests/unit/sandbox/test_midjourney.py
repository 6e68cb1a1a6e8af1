"""Midjourney's twin: the protocol of the proxy, its tasks, its codes and everything that it refuses."""

import re

import anyio
import pytest

FOX = "a red fox --draft --v 6.1"
GRID = ["U1", "U2", "U3", "U4", "🔄", "V1", "V2", "V3", "V4"]


def faces(task):
    return [button["label"] or button["emoji"] for button in task["buttons"]]


# A task's life


async def test_a_submission_is_answered_in_the_envelope(proxy):
    answer = await proxy.post("submit/imagine", prompt=FOX)

    assert (answer["code"], answer["description"]) == (1, "提交成功")
    assert re.fullmatch(r"1\d{15}", answer["result"])
    assert answer["properties"]["discordInstanceId"] == "1118138338562560102"


async def test_ids_begin_with_the_time_and_are_never_given_twice(proxy, clock):
    ids = [(await proxy.post("submit/imagine", prompt=FOX))["result"] for _ in range(50)]

    assert len(set(ids)) == 50
    assert ids == sorted(ids)
    assert int(ids[0][:13]) >= round(clock.now() * 1000)  # later where another test was at a later time


async def test_a_task_goes_through_its_states_and_its_progress_goes_up(proxy, clock):
    task_id = (await proxy.post("submit/imagine", prompt=FOX))["result"]
    seen = []
    for _ in range(22):
        seen.append(await proxy.task(task_id))
        clock.turn(0.1)

    states = list(dict.fromkeys(task["status"] for task in seen))
    progress = [int(task["progress"].removesuffix("%")) for task in seen]
    assert states == ["SUBMITTED", "IN_PROGRESS", "SUCCESS"]
    assert progress == sorted(progress)
    assert set(progress) == {0, 15, 31, 46, 62, 78, 93, 100}
    assert seen[1]["finishTime"] is None
    assert seen[-1]["finishTime"] == seen[0]["submitTime"] + 2000
    assert seen[0]["imageUrl"] is None
    assert seen[0]["buttons"] == []


async def test_a_finished_task_has_all_its_fields(proxy, clock):
    began = round(clock.now() * 1000)

    task = await proxy.done("submit/imagine", prompt=FOX, state="order-77")

    expected = {
        "action": "IMAGINE", "botType": "MID_JOURNEY", "status": "SUCCESS", "prompt": FOX, "promptEn": FOX,
        "description": f"/imagine {FOX}", "state": "order-77", "submitTime": began, "startTime": began,
        "finishTime": began + 2000, "progress": "100%", "failReason": None, "mode": "FAST",
    }  # fmt: skip
    assert expected.items() <= task.items()
    assert task["properties"]["finalPrompt"] == FOX
    assert task["properties"]["messageHash"] in task["imageUrl"]
    assert faces(task) == GRID


async def test_the_job_is_the_last_part_of_the_pictures_name_and_stands_in_the_buttons(proxy):
    task = await proxy.done("submit/imagine", prompt=FOX)

    name = task["imageUrl"].partition("?")[0].rpartition("/")[2]
    job = name.removesuffix(".png").rpartition("_")[2]
    assert proxy.button(task, "reroll") == f"MJ::JOB::reroll::0::{job}::SOLO"


async def test_a_delay_is_the_tasks_time(proxy, clock):
    task_id = (await proxy.post("submit/imagine", prompt=f"{FOX} #delay=9"))["result"]
    clock.turn(8.9)
    before = (await proxy.task(task_id))["status"]
    clock.turn(0.2)

    assert before == "IN_PROGRESS"
    assert (await proxy.task(task_id))["status"] == "SUCCESS"


async def test_a_task_can_fail_later(proxy, clock):
    task_id = (await proxy.post("submit/imagine", prompt="a fox #fail=task"))["result"]
    clock.turn(2)

    task = await proxy.task(task_id)

    assert (task["status"], task["progress"], task["imageUrl"], task["buttons"]) == ("FAILURE", "", None, [])
    assert task["failReason"].startswith("Failed ")


@pytest.mark.parametrize(
    ("end", "argument"),
    [
        ("--ar x", "argument --ar"),
        ("--ar 0:3", "argument --ar"),
        ("--ar 100:1", "argument --ar"),
        ("--v 99", "argument --v"),
        ("--niji 2", "argument --niji"),
        ("--seed -1", "argument --seed"),
        ("--seed 1.5", "argument --seed"),
        ("--chaos 101", "argument --chaos"),
        ("--no", "argument --no"),
        ("--frobnicate 3", "Unrecognized argument(s): --frobnicate"),
    ],
)
async def test_a_bad_parameter_is_taken_and_fails_soon(proxy, clock, end, argument):
    answer = await proxy.post("submit/imagine", prompt=f"a fox {end}")
    clock.turn(1)

    task = await proxy.task(answer["result"])
    assert answer["code"] == 1
    assert task["status"] == "FAILURE"
    assert task["failReason"].startswith("[Invalid parameter]")
    assert argument in task["failReason"]


async def test_all_parameters_of_the_real_one_are_known(proxy):
    words = "--ar 3:2 --s 50 --c 10 --w 5 --q .5 --stop 80 --tile --no cars, rain --seed 7 --style raw --iw 1.5 --fast"

    assert (await proxy.done("submit/imagine", prompt=f"a fox {words}"))["imageUrl"]


# Tasks, asked about


async def test_nothing_is_said_of_an_unknown_task(midjourney):
    answer = await midjourney.get("/mj/task/1000000000000000/fetch")

    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("name", ["list-by-condition", "list-by-ids"])
async def test_a_list_by_ids_leaves_out_what_nobody_knows(proxy, midjourney, name):
    first, second = [(await proxy.post("submit/imagine", prompt=FOX))["result"] for _ in range(2)]

    answer = await midjourney.post(f"/mj/task/{name}", json={"ids": [second, "1000000000000000", first]})

    assert [task["id"] for task in answer.json()] == [second, first]


@pytest.mark.parametrize("body", [{}, {"ids": []}, {"ids": None}, {"ids": [7, None, {}]}], ids=str)
async def test_a_list_of_no_ids_is_empty(midjourney, body):
    assert (await midjourney.post("/mj/task/list-by-condition", json=body)).json() == []


async def test_a_list_is_newest_first(proxy, midjourney):
    ids = [(await proxy.post("submit/imagine", prompt=FOX))["result"] for _ in range(3)]

    assert [task["id"] for task in (await midjourney.get("/mj/task/list")).json()] == ids[::-1]
    assert (await midjourney.get("/mj/task/queue")).json() == []


async def test_a_finished_task_tells_its_seed(proxy, midjourney):
    task = await proxy.done("submit/imagine", prompt=f"{FOX} --seed 4294967295")

    answer = (await midjourney.get(f"/mj/task/{task['id']}/image-seed")).json()

    assert answer == {"code": 1, "description": "成功", "result": "4294967295", "properties": {}}


async def test_a_seed_that_was_not_asked_for_is_thrown(proxy, midjourney):
    tasks = [await proxy.done("submit/imagine", prompt=FOX) for _ in range(2)]

    seeds = [(await midjourney.get(f"/mj/task/{task['id']}/image-seed")).json()["result"] for task in tasks]
    assert seeds[0].isdigit()
    assert seeds[0] != seeds[1]


async def test_there_is_no_seed_before_the_end_nor_of_words(proxy, midjourney):
    running = (await proxy.post("submit/imagine", prompt=FOX))["result"]
    words = (await proxy.done("submit/shorten", prompt="a long prompt"))["id"]
    early = (await proxy.post("submit/imagine", prompt=FOX))["result"]

    codes = [(await midjourney.get(f"/mj/task/{task_id}/image-seed")).json()["code"] for task_id in (early, words, "1")]
    assert codes == [4, 3, 3]
    assert (await midjourney.get(f"/mj/task/{running}/image-seed")).json()["code"] == 1


async def test_a_cancelled_task_ends_at_once(proxy, midjourney, clock):
    task_id = (await proxy.post("submit/imagine", prompt=FOX))["result"]
    clock.turn(1)

    answer = (await midjourney.post(f"/mj/task/{task_id}/cancel")).json()
    clock.turn(5)

    task = await proxy.task(task_id)
    assert (answer["code"], answer["result"]) == (1, task_id)
    assert (task["status"], task["failReason"], task["imageUrl"]) == ("CANCEL", "取消任务", None)
    assert task["finishTime"] == task["submitTime"] + 1000


async def test_what_has_ended_cannot_be_cancelled(proxy, midjourney):
    task = await proxy.done("submit/imagine", prompt=FOX)

    answers = [(await midjourney.post(f"/mj/task/{task_id}/cancel")).json() for task_id in (task["id"], "1")]

    assert [answer["code"] for answer in answers] == [4, 3]
    assert (await proxy.task(task["id"]))["status"] == "SUCCESS"


# Speeds, accounts, keys


@pytest.mark.parametrize("speed", ["fast", "relax", "turbo"])
async def test_a_speed_before_the_path_holds_for_the_whole_tree(midjourney, clock, speed):
    task_id = (await midjourney.post(f"/mj-{speed}/mj/submit/imagine", json={"prompt": FOX})).json()["result"]
    clock.turn(2)

    for prefix in ("", f"/mj-{speed}"):
        task = (await midjourney.get(f"{prefix}/mj/task/{task_id}/fetch")).json()
        assert (task["mode"], task["status"]) == (speed.upper(), "SUCCESS")


@pytest.mark.parametrize(
    ("body", "mode"),
    [
        ({"prompt": "a fox --relax"}, "RELAX"),
        ({"prompt": "a fox", "accountFilter": {"modes": ["TURBO", "FAST"]}}, "TURBO"),
        ({"prompt": "a fox"}, "FAST"),
    ],
    ids=str,
)
async def test_a_speed_may_also_stand_in_the_prompt_or_the_filter(proxy, body, mode):
    assert (await proxy.done("submit/imagine", **body))["mode"] == mode


async def test_a_filter_chooses_the_account(proxy):
    answers = [
        await proxy.post("submit/imagine", prompt="a fox", accountFilter=wanted)
        for wanted in ({"instanceId": "1118138338562560103"}, {"remix": True}, {"instanceId": "9"})
    ]

    assert [answer["code"] for answer in answers] == [1, 1, 3]
    assert {answer["properties"].get("discordInstanceId") for answer in answers[:2]} == {"1118138338562560103"}


@pytest.mark.parametrize("headers", [{}, {"mj-api-secret": "wrong"}, {"authorization": "Bearer test-key"}], ids=str)
async def test_a_wrong_secret_is_401_without_a_word(stranger, headers):
    answer = await stranger.post("/midjourney/mj/submit/imagine", json={"prompt": "a"}, headers=headers)

    assert (answer.status_code, answer.content) == (401, b"")


# Buttons


VERSIONS = {
    "--v 7": ["upsample_v7_2x_subtle", "upsample_v7_2x_creative"],
    "--v 6.1": ["upsample_v6r1_2x_subtle", "upsample_v6r1_2x_creative"],
    "--v 6": ["upsample_v6_2x_subtle", "upsample_v6_2x_creative"],
    "--v 5.2": ["upsample_v5_2x", "upsample_v5_4x"],
    "--niji 6": ["upsample_v6_2x_subtle", "upsample_v6_2x_creative"],
    "--niji 7": ["upsample_v7_2x_subtle", "upsample_v7_2x_creative"],
    "--v 4": [],
}


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_ways_to_enlarge_follow_the_version(proxy, version):
    grid = await proxy.done("submit/imagine", prompt=f"a fox {version}")

    single = await proxy.pressed(grid, "upsample::1")

    names = [button["customId"].split("::")[2] for button in single["buttons"] if "upsample" in button["customId"]]
    assert names == VERSIONS[version]
    assert any("Inpaint" in button["customId"] for button in single["buttons"]) == (version != "--v 4")


async def test_an_upscaled_picture_has_every_button(proxy):
    grid = await proxy.done("submit/imagine", prompt="a fox --ar 3:2 --v 6.1")

    single = await proxy.pressed(grid, "upsample::3")

    job = single["properties"]["messageHash"]
    assert (single["action"], single["description"]) == ("UPSCALE", f"/up {grid['id']} U3")
    assert [button["customId"] for button in single["buttons"]] == [
        f"MJ::JOB::upsample_v6r1_2x_subtle::1::{job}::SOLO",
        f"MJ::JOB::upsample_v6r1_2x_creative::1::{job}::SOLO",
        f"MJ::JOB::low_variation::1::{job}::SOLO",
        f"MJ::JOB::high_variation::1::{job}::SOLO",
        f"MJ::Inpaint::1::{job}::SOLO",
        f"MJ::Outpaint::50::1::{job}::SOLO",
        f"MJ::Outpaint::75::1::{job}::SOLO",
        f"MJ::Outpaint::100::1::{job}::SOLO",
        f"MJ::CustomZoom::1::{job}",
        f"MJ::JOB::pan_left::1::{job}::SOLO",
        f"MJ::JOB::pan_right::1::{job}::SOLO",
        f"MJ::JOB::pan_up::1::{job}::SOLO",
        f"MJ::JOB::pan_down::1::{job}::SOLO",
        f"MJ::BOOKMARK::{job}",
        f"MJ::JOB::animate_high::1::{job}::SOLO",
        f"MJ::JOB::animate_low::1::{job}::SOLO",
        f"MJ::JOB::reroll::0::{job}::SOLO",
    ]


async def test_a_square_needs_not_be_made_square_and_a_large_picture_not_larger(proxy):
    grid = await proxy.done("submit/imagine", prompt=FOX)
    single = await proxy.pressed(grid, "upsample::1")
    large = await proxy.pressed(single, "2x_subtle")

    assert "Make Square" not in faces(single)
    assert large["action"] == "UPSCALE_HD"
    assert not any("upsample" in button["customId"] for button in large["buttons"])
    assert "Vary (Region)" in faces(large)


@pytest.mark.parametrize(
    ("button", "action"),
    [
        ("low_variation", "VARIATION"),
        ("high_variation", "VARIATION"),
        ("Outpaint::50", "ZOOM"),
        ("Outpaint::75", "ZOOM"),
        ("Outpaint::100", "ZOOM"),
        ("pan_left", "PAN"),
        ("pan_right", "PAN"),
        ("pan_up", "PAN"),
        ("pan_down", "PAN"),
        ("reroll", "REROLL"),
    ],
)
async def test_what_a_button_makes_is_a_grid_again(proxy, button, action):
    grid = await proxy.done("submit/imagine", prompt="a fox --ar 3:2 --draft --v 6.1")
    single = await proxy.pressed(grid, "upsample::1")

    task = await proxy.pressed(single, button, state="s-2")

    assert (task["action"], task["parentId"], task["state"]) == (action, single["id"], "s-2")
    assert faces(task) == GRID


async def test_a_pressed_button_is_shown_as_used(proxy):
    grid = await proxy.done("submit/imagine", prompt=FOX)
    await proxy.pressed(grid, "variation::3")

    styles = {button["label"]: button["style"] for button in (await proxy.task(grid["id"]))["buttons"]}

    assert (styles["V3"], styles["V2"]) == (3, 2)


async def test_a_bookmark_answers_with_the_picture_itself(proxy, midjourney):
    single = await proxy.pressed(await proxy.done("submit/imagine", prompt=FOX), "upsample::1")

    answer = await proxy.press(single, "BOOKMARK")

    assert (answer["code"], answer["result"]) == (1, single["id"])
    assert len((await midjourney.get("/mj/task/list")).json()) == 2


async def test_the_same_upscale_is_made_once(proxy, clock):
    grid = await proxy.done("submit/imagine", prompt=FOX)
    first = await proxy.press(grid, "upsample::2")

    running = await proxy.press(grid, "upsample::2")
    clock.turn(2)
    finished = await proxy.post("submit/change", taskId=grid["id"], action="UPSCALE", index=2)

    assert [running["code"], finished["code"]] == [21, 21]
    assert running["result"] == finished["result"] == first["result"]
    assert running["properties"]["status"] == "SUBMITTED"
    assert finished["properties"]["status"] == "SUCCESS"
    assert finished["properties"]["imageUrl"]


async def test_an_upscale_that_failed_may_be_tried_again(proxy, clock):
    grid = await proxy.done("submit/imagine", prompt=FOX)
    failed = await proxy.press(grid, "upsample::2", state="#fail=task")
    clock.turn(2)

    again = await proxy.press(grid, "upsample::2")

    assert again["code"] == 1
    assert again["result"] != failed["result"]


@pytest.mark.parametrize(
    ("body", "action", "command"),
    [
        ({"action": "UPSCALE", "index": 4}, "UPSCALE", "U4"),
        ({"action": "VARIATION", "index": 1}, "VARIATION", "V1"),
        ({"action": "REROLL"}, "REROLL", "R"),
    ],
    ids=str,
)
async def test_a_change_is_a_button_by_name(proxy, body, action, command):
    grid = await proxy.done("submit/imagine", prompt=FOX)

    task = await proxy.done("submit/change", taskId=grid["id"], **body)

    assert (task["action"], task["description"]) == (action, f"/up {grid['id']} {command}")


@pytest.mark.parametrize(("letters", "action"), [("U1", "UPSCALE"), ("v4", "VARIATION"), ("r", "REROLL")])
async def test_a_simple_change_is_the_same_in_one_text(proxy, letters, action):
    grid = await proxy.done("submit/imagine", prompt=FOX)

    assert (await proxy.done("submit/simple-change", content=f"{grid['id']} {letters}"))["action"] == action


# Windows


async def test_a_window_waits_until_it_is_confirmed(proxy, clock):
    single = await proxy.pressed(await proxy.done("submit/imagine", prompt=FOX), "upsample::1")

    opened = await proxy.press(single, "CustomZoom", state="s-1")
    clock.turn(600)
    waiting = await proxy.task(opened["result"])
    confirmed = await proxy.post("submit/modal", taskId=opened["result"], prompt="a red fox --zoom 1.5")
    running = await proxy.task(opened["result"])
    clock.turn(2)
    done = await proxy.task(opened["result"])

    assert (opened["code"], opened["description"]) == (21, "Waiting for window confirm")
    assert (opened["properties"]["finalPrompt"], opened["properties"]["remix"]) == (FOX, True)
    assert (waiting["status"], waiting["progress"], waiting["imageUrl"]) == ("MODAL", "0%", None)
    assert (confirmed["code"], confirmed["result"]) == (1, opened["result"])
    assert running["status"] == "SUBMITTED"
    assert (done["status"], done["action"], done["prompt"]) == ("SUCCESS", "ZOOM", "a red fox --zoom 1.5")
    assert done["state"] == "s-1"


async def test_a_blank_window_takes_the_words_of_the_picture(proxy):
    single = await proxy.pressed(await proxy.done("submit/imagine", prompt=FOX), "upsample::1")
    opened = await proxy.press(single, "CustomZoom")

    task = await proxy.done("submit/modal", taskId=opened["result"], prompt="  ")

    assert task["prompt"] == FOX


async def test_a_region_needs_a_mask(proxy):
    single = await proxy.pressed(await proxy.done("submit/imagine", prompt=FOX), "upsample::1")
    opened = await proxy.press(single, "Inpaint")

    answer = await proxy.post("submit/modal", taskId=opened["result"], prompt="a hat")

    assert (answer["code"], answer["description"]) == (4, "maskBase64不能为空")
    assert (await proxy.task(opened["result"]))["status"] == "MODAL"


async def test_a_window_is_confirmed_once(proxy):
    single = await proxy.pressed(await proxy.done("submit/imagine", prompt=FOX), "upsample::1")
    window = (await proxy.press(single, "CustomZoom"))["result"]
    await proxy.done("submit/modal", taskId=window)

    again = await proxy.post("submit/modal", taskId=window)
    unknown = await proxy.post("submit/modal", taskId="1000000000000000")

    assert (again["code"], again["description"]) == (4, "关联任务状态错误")
    assert (unknown["code"], unknown["description"]) == (3, "关联任务不存在或已失效")


async def test_of_two_confirmations_at_once_one_is_taken(proxy, png, data_url):
    single = await proxy.pressed(await proxy.done("submit/imagine", prompt=FOX), "upsample::1")
    window = (await proxy.press(single, "Inpaint"))["result"]
    answers = []

    async def confirm():
        answers.append(await proxy.post("submit/modal", taskId=window, maskBase64=data_url(png())))

    async with anyio.create_task_group() as group:
        group.start_soon(confirm)
        group.start_soon(confirm)

    assert sorted(answer["code"] for answer in answers) == [1, 4]


@pytest.mark.parametrize("button", ["variation::2", "reroll"])
async def test_remix_asks_in_a_window_for_other_words(proxy, button):
    grid = await proxy.done("submit/imagine", prompt=FOX, accountFilter={"remix": True})

    opened = await proxy.press(grid, button)
    task = await proxy.done("submit/modal", taskId=opened["result"], prompt="a blue fox --draft")

    assert opened["code"] == 21
    assert task["prompt"] == "a blue fox --draft"
    assert task["instanceId"] == grid["instanceId"]


async def test_a_caller_may_ask_for_the_window(proxy):
    grid = await proxy.done("submit/imagine", prompt=FOX)

    assert (await proxy.press(grid, "variation::1", enableRemix=True))["code"] == 21
    assert (await proxy.press(grid, "variation::1"))["code"] == 1


async def test_an_open_window_can_be_cancelled(proxy, midjourney):
    single = await proxy.pressed(await proxy.done("submit/imagine", prompt=FOX), "upsample::1")
    window = (await proxy.press(single, "CustomZoom"))["result"]

    await midjourney.post(f"/mj/task/{window}/cancel")

    assert (await proxy.task(window))["status"] == "CANCEL"


# Words


async def test_a_description_names_what_is_seen(proxy, png, data_url):
    task = await proxy.done("submit/describe", base64=data_url(png(500, 400)))

    candidates = task["promptEn"].split("\n\n")
    assert task["properties"]["finalPrompt"] == task["promptEn"]
    assert [line[:3] for line in candidates] == ["1️⃣", "2️⃣", "3️⃣", "4️⃣"]
    assert all(line.endswith("--ar 5:4") for line in candidates)
    assert all("red" in line and "circle" in line for line in candidates)
    assert (task["action"], task["description"]) == ("DESCRIBE", f"/describe {task['id']}.png")
    assert faces(task) == ["1️⃣", "2️⃣", "3️⃣", "4️⃣", "Imagine all", "🔄"]


async def test_a_candidate_opens_a_window_and_is_imagined(proxy, png, data_url):
    task = await proxy.done("submit/describe", base64=data_url(png()))
    opened = await proxy.press(task, "PicReader::2")

    imagined = await proxy.done("submit/modal", taskId=opened["result"])

    assert opened["code"] == 21
    assert f"2️⃣ {opened['properties']['finalPrompt']}" in task["promptEn"]
    assert (imagined["action"], imagined["prompt"]) == ("IMAGINE", opened["properties"]["finalPrompt"])
    assert faces(imagined) == GRID


async def test_all_candidates_can_be_imagined_at_once_and_a_picture_described_again(proxy, png, data_url):
    task = await proxy.done("submit/describe", base64=data_url(png()))

    everything = await proxy.pressed(task, "PicReader::all")
    again = await proxy.pressed(task, "Picread::Retry")

    assert (everything["action"], faces(everything)) == ("IMAGINE", GRID)
    assert again["action"] == "DESCRIBE"
    assert again["promptEn"] != task["promptEn"]


async def test_a_link_is_described_by_its_words(proxy):
    task = await proxy.done("submit/describe", link="https://files.example.com/red-boat-at-sea.png")

    assert task["imageUrl"] == "https://files.example.com/red-boat-at-sea.png"
    assert "blue" in task["promptEn"]


async def test_a_long_prompt_gets_shorter_and_shorter(proxy):
    long = "a very very long and winding description of one small red fox, walking through deep white snow --ar 3:2"

    task = await proxy.done("submit/shorten", prompt=long)

    block = task["properties"]["finalPrompt"]
    lines = block.splitlines()
    lengths = [len(line) for line in lines[1:]]
    assert lines[0] == "Shortened prompts"
    assert task["description"].endswith(block)
    assert 2 <= len(lengths) <= 5
    assert lengths == sorted(lengths, reverse=True)
    assert all("fox" in line for line in lines[1:])
    assert task["imageUrl"] is None
    assert len(task["buttons"]) == len(lengths)


async def test_a_short_prompt_is_imagined_from_its_window(proxy):
    task = await proxy.done("submit/shorten", prompt="a long description of a small red fox in deep snow")
    opened = await proxy.press(task, "PromptAnalyzer::1")

    imagined = await proxy.done("submit/modal", taskId=opened["result"], prompt="")

    assert imagined["prompt"] == opened["properties"]["finalPrompt"]


# Refusals


@pytest.mark.parametrize(
    ("path", "body", "description"),
    [
        ("submit/imagine", {}, "prompt不能为空"),
        ("submit/imagine", {"prompt": " "}, "prompt不能为空"),
        ("submit/imagine", {"prompt": 7}, "prompt参数错误"),
        ("submit/imagine", {"prompt": "a", "base64Array": ["not a picture"]}, "base64格式错误"),
        ("submit/imagine", {"prompt": "a", "base64Array": ["data:image/png;base64,AAAA"]}, "base64格式错误"),
        ("submit/imagine", {"prompt": "a", "botType": "OTHER"}, "botType参数错误"),
        ("submit/imagine", {"prompt": "a", "state": "x" * 256}, "state参数错误"),
        ("submit/imagine", {"prompt": "a", "notifyHook": "ftp://a"}, "notifyHook参数错误"),
        ("submit/shorten", {}, "prompt不能为空"),
        ("submit/change", {"action": "UPSCALE", "index": 1}, "taskId不能为空"),
        ("submit/change", {"taskId": "1", "action": "ZOOM"}, "action参数错误"),
        ("submit/change", {"taskId": "1", "action": "UPSCALE"}, "index参数错误"),
        ("submit/change", {"taskId": "1", "action": "UPSCALE", "index": 5}, "index参数错误"),
        ("submit/simple-change", {"content": "1744012345678123  U1"}, "content参数错误"),
        ("submit/simple-change", {"content": "1744012345678123 U5"}, "content参数错误"),
        ("submit/action", {"customId": "MJ::JOB::upsample::1::x"}, "taskId不能为空"),
        ("submit/modal", {"prompt": "a"}, "taskId不能为空"),
        ("submit/blend", {"base64Array": []}, "base64Array参数错误"),
        ("submit/blend", {"base64Array": ["a"] * 6}, "base64Array参数错误"),
        ("submit/describe", {}, "base64不能为空"),
        ("submit/describe", {"base64": "https://a.test/a.png"}, "base64格式错误"),
        ("submit/describe", {"link": "a.png"}, "link参数错误"),
        ("submit/upload-discord-images", {}, "base64Array不能为空"),
        ("submit/edits", {"prompt": "a"}, "image不能为空"),
        ("submit/video", {"prompt": "a"}, "image不能为空"),
        ("submit/show", {}, "jobId不能为空"),
        ("insight-face/swap", {}, "人脸图片不能为空"),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_a_bad_value_is_code_4(midjourney, path, body, description):
    answer = await midjourney.post(f"/mj/{path}", json=body)

    assert answer.status_code == 200
    assert answer.json() == {"code": 4, "description": description, "result": None, "properties": {}}


async def test_blend_wants_dimensions_that_exist(proxy, png, data_url):
    two = [data_url(png()), data_url(png(color="blue"))]

    answers = [await proxy.post("submit/blend", base64Array=two, dimensions=wrong) for wrong in (None, "WIDE", 7)]

    assert {answer["description"] for answer in answers} == {"dimensions参数错误"}


async def test_swap_wants_two_different_pictures(proxy, png, data_url):
    face = data_url(png())

    answers = [
        await proxy.post("insight-face/swap", sourceBase64=face),
        await proxy.post("insight-face/swap", sourceBase64=face, targetBase64=face),
    ]

    assert [answer["description"] for answer in answers] == ["目标图片不能为空", "人脸图片和目标图片不能相同"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("submit/change", {"action": "UPSCALE", "index": 1}),
        ("submit/action", {"customId": "MJ::JOB::upsample::1::x"}),
    ],
)
async def test_a_parent_must_be_there_and_done(proxy, path, body):
    running = (await proxy.post("submit/imagine", prompt=FOX))["result"]

    answers = [await proxy.post(path, taskId=task_id, **body) for task_id in ("1000000000000000", running)]

    assert [(answer["code"], answer["description"]) for answer in answers] == [
        (3, "关联任务不存在或已失效"),
        (4, "关联任务状态错误"),
    ]


async def test_only_a_grid_can_be_changed_by_name(proxy):
    single = await proxy.pressed(await proxy.done("submit/imagine", prompt=FOX), "upsample::1")

    answer = await proxy.post("submit/change", taskId=single["id"], action="VARIATION", index=1)

    assert (answer["code"], answer["description"]) == (4, "关联任务不允许执行变化")


async def test_only_a_button_of_that_picture_can_be_pressed(proxy):
    first, second = [await proxy.done("submit/imagine", prompt=FOX) for _ in range(2)]

    for custom_id in (proxy.button(second, "upsample::1"), "MJ::BOOKMARK::x", "x"):
        answer = await proxy.post("submit/action", taskId=first["id"], customId=custom_id)
        assert (answer["code"], answer["description"]) == (4, "customId参数错误")


@pytest.mark.parametrize("prompt", ["a Bloody scene", "gore, in oil"])
async def test_a_banned_word_is_named(midjourney, prompt):
    answer = (await midjourney.post("/mj/submit/imagine", json={"prompt": prompt})).json()

    assert (answer["code"], answer["properties"]["promptEn"]) == (24, prompt)
    assert answer["properties"]["bannedWord"] in prompt
    assert "result" not in answer


async def test_a_banned_word_counts_as_a_whole_word_only(proxy):
    assert (await proxy.post("submit/imagine", prompt="a bloodhound"))["code"] == 1


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
async def test_a_body_that_is_no_object_is_refused_with_its_status(midjourney, body):
    answer = await midjourney.post("/mj/submit/imagine", content=body)

    assert (answer.status_code, answer.json()["code"]) == (400, 4)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/mj/submit/imagine", 405), ("GET", "/mj/x", 404)])
async def test_a_path_that_is_not_there(midjourney, method, path, status):
    assert (await midjourney.request(method, path)).status_code == status


# The bill


async def test_the_bill_is_by_action_and_without_what_failed(proxy, stranger, clock, data_url, png):
    grid = await proxy.done("submit/imagine", prompt=FOX)
    single = await proxy.pressed(grid, "upsample::1")
    window = (await proxy.press(single, "CustomZoom"))["result"]
    await proxy.done("submit/modal", taskId=window)
    await proxy.done("submit/describe", base64=data_url(png()))
    await proxy.post("submit/imagine", prompt="a fox #fail=task")
    clock.turn(2)

    bill = (await stranger.get("/_/bill")).json()["data"]["midjourney"]

    assert {line["sku"]: line["usd"] for line in bill["lines"]} == {
        "mj_imagine": "0.1", "mj_upscale": "0.05", "mj_modal": "0.1", "mj_describe": "0.05",
    }  # fmt: skip

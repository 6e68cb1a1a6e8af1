"""Whatever is sent, a vendor answers in its own words: never with a fault of the sandbox."""

import pytest

ODD = [None, [], {}, "", "\u0000", "#", True, -1, 0, 1.5, 2**70, -(2**70), 1e308, [[]], [None], [{}], {"a": []},
    "x" * 5000,
       {"type": "simple"}, {"type": "function"}, "http://", "data:,", "é\U0001f600"]  # fmt: skip

CHAT = {
    "messages": [{"role": "user", "content": "hi"}], "model": "gpt-4o", "stream": True, "stream_options": {}, "n": 1,
    "temperature": 1, "top_p": 1, "max_tokens": 5, "max_completion_tokens": 5, "stop": "a", "presence_penalty": 0,
    "logit_bias": {}, "logprobs": True, "top_logprobs": 1, "seed": 1, "response_format": {"type": "text"}, "tools": [],
    "tool_choice": "auto", "functions": [], "function_call": "auto", "user": "u", "metadata": {},
    "modalities": ["text"],
    "audio": {}, "reasoning_effort": "low", "prediction": {}, "parallel_tool_calls": True, "safety_identifier": "s",
}  # fmt: skip
DRAW = {
    "prompt": "a", "aspect_ratio": "ASPECT_1_1", "resolution": None, "model": "V_2", "magic_prompt_option": "ON",
    "seed": 1,
    "style_type": "AUTO", "negative_prompt": "b", "num_images": 1, "color_palette": {"name": "EMBER"},
    "image_weight": 1,
}  # fmt: skip
V3 = {
    "prompt": "a", "seed": 1, "resolution": "512x1536", "aspect_ratio": None, "rendering_speed": "TURBO",
    "magic_prompt": "ON",
    "negative_prompt": "b", "num_images": 1, "color_palette": {"members": [{"color_hex": "#fff"}]}, "style_codes": [],
    "style_type": "AUTO", "style_preset": "AURA", "custom_model_uri": "model/a/version/b",
}  # fmt: skip
FILM = {
    "model_name": "kling-v3", "prompt": "a", "negative_prompt": "b", "cfg_scale": 0.5, "mode": "std",
    "camera_control": {},
    "aspect_ratio": "1:1", "duration": "5", "sound": "off", "multi_shot": True, "shot_type": "customize",
    "image": "http://a/b",
    "multi_prompt": [{"index": 1, "prompt": "a", "duration": "5"}], "watermark_info": {}, "callback_url": None,
    "external_task_id": None, "image_tail": None, "static_mask": None, "dynamic_masks": [], "voice_list": [],
    "video_id": "a",
    "human_image": "http://a/b", "cloth_image": "http://a/b", "n": 1, "resolution": "1k", "image_fidelity": 0.5,
}  # fmt: skip
MIDJOURNEY = {
    "prompt": "a", "base64Array": [], "base64": "a", "link": "http://a/b", "botType": "MID_JOURNEY", "state": "s",
    "notifyHook": None, "accountFilter": {"modes": ["FAST"]}, "taskId": "1", "customId": "MJ::BOOKMARK::a",
    "action": "UPSCALE", "index": 1, "content": "1 U1", "dimensions": "SQUARE", "maskBase64": None, "language": "zh",
    "enableRemix": True, "strong": True, "chooseSameChannel": True, "jobId": "a", "image": "http://a/b", "ids": ["1"],
    "sourceBase64": "http://a/b", "targetBase64": "http://a/c", "motion": "low", "endImage": None, "loop": False,
    "videoType": None, "batchSize": 1,
}  # fmt: skip
MIDJOURNEY_PATHS = (
    "submit/imagine", "submit/change", "submit/simple-change", "submit/action", "submit/modal", "submit/blend",
    "submit/describe", "submit/shorten", "submit/upload-discord-images", "submit/edits", "submit/retexture",
    "submit/show", "submit/video", "insight-face/swap", "task/list-by-condition",
)  # fmt: skip


@pytest.fixture
def post(openai, ideogram, kling, midjourney):
    clients = {"openai": openai, "ideogram": ideogram, "kling": kling, "midjourney": midjourney}

    async def send(vendor, path, body):
        return await clients[vendor].post(path, json=body)

    return send


@pytest.mark.parametrize(
    ("vendor", "path", "body", "within"),
    [
        ("openai", "/v1/chat/completions", CHAT, None),
        ("ideogram", "/generate", DRAW, "image_request"),
        ("ideogram", "/v1/ideogram-v3/generate", V3, None),
        ("kling", "/v1/images/generations", FILM, None),
        ("kling", "/v1/videos/text2video", FILM, None),
        ("kling", "/v1/videos/image2video", FILM, None),
        ("kling", "/v1/videos/video-extend", FILM, None),
        ("kling", "/v1/images/kolors-virtual-try-on", FILM, None),
        *(("midjourney", f"/mj/{path}", MIDJOURNEY, None) for path in MIDJOURNEY_PATHS),
    ],
)
async def test_odd_values_are_never_a_fault(post, vendor, path, body, within):
    faults = []
    for name in body:
        for odd in ODD:
            changed = body | {name: odd}
            answer = await post(vendor, path, {within: changed} if within else changed)
            if answer.status_code >= 500:
                faults.append((name, odd))

    assert not faults


KINDS = ("text", "image_url", "input_audio", "file")
ODD_MESSAGES = [
    *({"role": odd} for odd in ODD),
    *({"role": "user", "content": [odd]} for odd in ODD),
    *({"role": "user", "content": [{"type": kind, kind: odd}]} for odd in ODD for kind in KINDS),
    *({"role": "assistant", "tool_calls": odd} for odd in ODD),
]
ODD_SCHEMAS = [
    *ODD,
    {"$ref": "#"},
    {"$ref": "#/a/b"},
    {"anyOf": [7]},
    {"type": ["string"]},
    {"type": "array", "minItems": 10**9},
    {"properties": 7},
    {"type": "object", "properties": {"a": 7}},
    {"enum": 7},
    {"type": "number", "minimum": "x"},
]


@pytest.mark.parametrize("message", ODD_MESSAGES, ids=lambda message: ascii(message)[:50])
async def test_odd_messages_are_never_a_fault(post, message):
    answer = await post("openai", "/v1/chat/completions", {"model": "gpt-4o", "messages": [message]})

    assert answer.status_code < 500


@pytest.mark.parametrize("schema", ODD_SCHEMAS, ids=lambda schema: ascii(schema)[:50])
async def test_odd_schemas_are_never_a_fault(post, schema):
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    body = {"model": "gpt-4o", "messages": CHAT["messages"], "tools": [tool], "tool_choice": "required"}

    answer = await post("openai", "/v1/chat/completions", body)

    assert answer.status_code < 500


async def test_odd_filters_and_buttons_are_never_a_fault(proxy, midjourney):
    task = await proxy.done("submit/imagine", prompt="a fox --draft")
    bodies = [{"prompt": "a", "accountFilter": {name: odd}} for odd in ODD for name in ("modes", "remix", "instanceId")]
    buttons = [
        {"taskId": task["id"], "customId": button["customId"], name: odd}
        for odd in ODD
        for button in task["buttons"][3:6]
        for name in ("enableRemix", "state", "accountFilter", "botType")
    ]
    for path, body in [*(("imagine", body) for body in bodies), *(("action", body) for body in buttons)]:
        assert (await midjourney.post(f"/mj/submit/{path}", json=body)).status_code < 500, body


@pytest.mark.parametrize(
    "end", ["--", "-- --", "--ar", "--ar 1:1:1", "--seed 9e9", "--seed ९", "--no --no", "--zoom \u0000", "::", "{a,b}"]
)
async def test_odd_prompts_are_drawn_or_fail_in_their_own_words(proxy, clock, end):
    task_id = (await proxy.post("submit/imagine", prompt=f"a fox --draft {end}"))["result"]
    clock.turn(2)

    task = await proxy.task(task_id)

    assert task["failReason"] or await proxy.picture(task)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "//",
        "/_",
        "/nobody/x",
        "/openai",
        "/kling/%00",
        "/openai/v1/models/%ff",
        "/kling/bs2/a/b",
        "/midjourney/attachments/a/b/c.png",
        "/midjourney/cdn/a/0_0.png?ex=-1&hm=a",
        "/midjourney/cdn/a/9.mp4",
        "/midjourney/mj/task/%ff/fetch",
        "/midjourney/attachments/a/b/c_grid_1.webp?ex=zz&hm=%E9",
    ],
)
async def test_odd_paths_are_never_a_fault(stranger, path):
    assert (await stranger.get(f"http://sandbox.test{path}")).status_code in {401, 403, 404}


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 40), (3000, 7)], ids=str)
async def test_pictures_of_any_size_are_worked_on(proxy, clock, png, data_url, size):
    one, other = (data_url(png(*size, color=color)) for color in ("red", "blue"))
    bodies = {
        "submit/imagine": {"prompt": "a fox --draft", "base64Array": [one]},
        "submit/blend": {"base64Array": [one, other]},
        "submit/describe": {"base64": one},
        "submit/edits": {"prompt": "a fox --draft", "image": one},
        "insight-face/swap": {"sourceBase64": one, "targetBase64": other},
        "submit/video": {"image": one, "batchSize": 1},
    }
    for path, body in bodies.items():
        started = await proxy.post(path, **body, state="#delay=2")
        clock.turn(1)
        assert await proxy.picture(await proxy.task(started["result"])), "a preview"
        clock.turn(1)
        task = await proxy.task(started["result"])
        assert await proxy.picture(task)
        if "videoUrl" in task:
            assert await proxy.file(task["videoUrl"])

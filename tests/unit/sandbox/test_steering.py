"""The words that steer the sandbox, and how each vendor says what they ask for."""

import anyio
import pytest

from yiapi_sandbox.steering import Steering, read

ANSWERS = [
    ("chat", "content", 400, lambda body: body["error"]["code"] == "content_policy_violation"),
    ("chat", "invalid", 400, lambda body: body["error"]["type"] == "invalid_request_error"),
    ("chat", "rate", 429, lambda body: body["error"]["code"] == "rate_limit_exceeded"),
    ("chat", "credit", 429, lambda body: body["error"]["code"] == "insufficient_quota"),
    ("chat", "auth", 401, lambda body: body["error"]["code"] == "invalid_api_key"),
    ("chat", "500", 500, lambda body: body["error"]["type"] == "server_error"),
    ("draw", "content", 422, lambda body: "safety" in body["error"]),
    ("draw", "invalid", 400, lambda body: body["error"]),
    ("draw", "rate", 429, lambda body: body["reject_reason"] == "inflight_limit"),
    ("draw", "credit", 402, lambda body: body["reject_reason"] == "insufficient_funds"),
    ("draw", "auth", 401, lambda body: body["error"]),
    ("draw", "500", 500, lambda body: body["error"]),
    ("film", "content", 400, lambda body: body["code"] == 1301),
    ("film", "invalid", 400, lambda body: body["code"] == 1201),
    ("film", "rate", 429, lambda body: body["code"] == 1302),
    ("film", "credit", 429, lambda body: body["code"] == 1102),
    ("film", "auth", 401, lambda body: body["code"] == 1002),
    ("film", "500", 500, lambda body: body["code"] == 5000),
]


@pytest.fixture
def film(kling):
    async def ask(prompt, headers=None):
        return await kling.post("/v1/videos/text2video", json={"prompt": prompt}, headers=headers)

    return ask


@pytest.fixture
def ask(chat, draw, film):
    return {"chat": chat, "draw": draw, "film": film}


@pytest.mark.parametrize(("vendor", "word", "status", "is_right"), ANSWERS, ids=lambda value: str(value)[:10])
async def test_each_vendor_fails_in_its_own_words(ask, vendor, word, status, is_right):
    answer = await ask[vendor](f"a boat #fail={word}")

    assert answer.status_code == status
    assert is_right(answer.json())
    assert answer.headers.get("retry-after") == ("1" if status == 429 else None)


@pytest.mark.parametrize("vendor", ["chat", "draw", "film"])
async def test_garbage_is_a_200_that_cannot_be_read(ask, vendor):
    answer = await ask[vendor]("#fail=garbage")

    assert answer.status_code == 200
    assert answer.text.startswith("<html>")


@pytest.mark.parametrize("vendor", ["chat", "draw", "film"])
async def test_once_fails_only_the_first_attempt_of_a_request(ask, vendor):
    first, second = [
        await ask[vendor]("a boat #fail=500 #once", headers={"x-client-request-id": "r-1"}) for _ in range(2)
    ]
    other = await ask[vendor]("a boat #fail=500 #once", headers={"x-client-request-id": "r-2"})

    assert (first.status_code, second.status_code, other.status_code) == (500, 200, 500)


async def test_once_without_an_id_has_no_memory(chat):
    answers = [await chat("#fail=rate #once") for _ in range(3)]

    assert {answer.status_code for answer in answers} == {429}


async def test_an_answer_waits_for_its_delay(chat, clock):
    answers = []

    async def ask():
        answers.append(await chat("hello #delay=3"))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        while not clock.sleepers:
            await anyio.lowlevel.checkpoint()
        clock.turn(2.9)
        await anyio.lowlevel.checkpoint()
        assert not answers
        clock.turn(0.2)

    assert answers[0].status_code == 200


async def test_words_are_found_in_any_text_field(draw, ideogram, png):
    refused = await draw("a boat", negative_prompt="#fail=content")
    in_a_form = await ideogram.post(
        "/remix",
        files={
            "image_file": ("a.png", png()),
            "image_request": ("blob", b'{"prompt": "#fail=content"}', "application/json"),
        },
    )

    assert refused.status_code == 422
    assert in_a_form.status_code == 422


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a cat", Steering()),
        ("#delay=3", Steering(3.0)),
        ("#delay=0.5 #fail=rate", Steering(0.5, "rate")),
        ("#delay=99999", Steering(900.0)),
        ("#fail=500 #once", Steering(None, "500", True)),
        ("#fail=contents #fail=unknown #delay=soon", Steering()),
    ],
)
def test_words_mean_what_the_list_says(text, wanted):
    assert read([{"deep": [{"prompt": text}]}]) == wanted


def test_once_belongs_to_the_failure_when_there_is_one():
    assert read(["#delay=3 #fail=500 #once"]).after_first() == Steering(3.0, None, True)
    assert read(["#delay=3 #once"]).after_first() == Steering(None, None, True)


def test_very_deep_requests_are_read_too():
    deep = "#fail=rate"
    for _ in range(5000):
        deep = [deep]

    assert read([deep]).fail == "rate"

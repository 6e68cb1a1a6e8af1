"""OpenAI's twin: chat, whole and streamed, and everything it refuses."""

import base64
import json
import re

import pytest

from yiapi_sandbox import tokens

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["c", "f"]}, "days": {"type": "integer"}},
        },
    },
}


def chunks_of(answer):
    """Return the chunks of a stream, having checked its frame."""
    frames = answer.text.split("\n\n")
    assert frames.pop() == ""
    assert frames.pop() == "data: [DONE]"
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


# Whole answers


async def test_a_chat_answers_and_counts(chat):
    answer = await chat("What is a lighthouse for?")

    body = answer.json()
    message = body["choices"][0]["message"]
    usage = body["usage"]
    assert body["object"] == "chat.completion"
    assert body["model"] == "gpt-4o-2024-08-06"
    assert message["role"] == "assistant"
    assert "sandbox" in message["content"]
    assert "lighthouse" in message["content"]
    assert usage["completion_tokens"] == tokens.count(message["content"])
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_the_same_question_gets_the_same_answer(chat):
    first, second = [(await chat("Tell me about boats")).json()["choices"] for _ in range(2)]

    assert first == second


async def test_hello_is_answered_with_hello(chat):
    assert (await chat("Say hello.")).json()["choices"][0]["message"]["content"].startswith("Hello!")
    assert "你好" in (await chat("你好吗？")).json()["choices"][0]["message"]["content"]


async def test_several_answers_differ(chat):
    choices = (await chat("Tell me about boats", n=3)).json()["choices"]

    assert [choice["index"] for choice in choices] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in choices}) == 3


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_a_limit_cuts_the_answer(chat, name):
    body = (await chat("Tell me about boats", **{name: 3})).json()

    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 3


async def test_a_stop_ends_the_answer(chat):
    body = (await chat("Tell me about boats", stop=["sandbox"])).json()

    assert "sandbox" not in body["choices"][0]["message"]["content"]
    assert body["choices"][0]["finish_reason"] == "stop"


async def test_a_long_answer_can_be_asked_for(chat):
    text = (await chat("Write 300 words about the sea")).json()["choices"][0]["message"]["content"]

    assert len(text.split()) == 300


async def test_a_required_tool_is_called(chat):
    choice = (await chat("How is it in Paris?", tools=[WEATHER], tool_choice="required")).json()["choices"][0]

    call = choice["message"]["tool_calls"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {"city": "Paris", "unit": "c", "days": 1}


async def test_a_tool_that_is_only_offered_is_not_called(chat):
    choice = (await chat("How is it in Paris?", tools=[WEATHER])).json()["choices"][0]

    assert choice["finish_reason"] == "stop"


async def test_a_named_tool_must_exist(chat):
    wanted = {"type": "function", "function": {"name": "other"}}

    answer = await chat(tools=[WEATHER], tool_choice=wanted)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "tool_choice"


async def test_json_is_json_when_asked_for(chat):
    plain = await chat("Answer as json please", response_format={"type": "json_object"})
    schema = {"type": "object", "properties": {"city": {"type": "string"}, "sunny": {"type": "boolean"}}}
    shaped = await chat(
        response_format={"type": "json_schema", "json_schema": {"name": "weather", "schema": schema, "strict": True}}
    )

    assert json.loads(plain.json()["choices"][0]["message"]["content"])["sandbox"] is True
    assert set(json.loads(shaped.json()["choices"][0]["message"]["content"])) == {"city", "sunny"}


async def test_a_picture_is_looked_at(chat, openai, png):
    url = f"data:image/png;base64,{base64.b64encode(png()).decode()}"
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]

    body = (await chat(messages=[{"role": "user", "content": parts}])).json()

    assert "red circle" in body["choices"][0]["message"]["content"]
    assert body["usage"]["prompt_tokens"] > 700


async def test_logprobs_are_one_per_token(chat):
    body = (await chat(logprobs=True)).json()

    assert len(body["choices"][0]["logprobs"]["content"]) == body["usage"]["completion_tokens"]


async def test_the_unofficial_model_links_a_picture(chat, stranger, opened):
    text = (await chat("draw a cat in space", model="gpt-4-all")).json()["choices"][0]["message"]["content"]

    link = re.search(r"!\[[^\]]*\]\((https?://[^)]+)\)", text)
    assert opened((await stranger.get(link[1])).content).size == (1024, 1024)


async def test_an_answer_names_the_account_and_the_limits(chat):
    headers = (await chat()).headers

    assert headers["x-request-id"].startswith("req_")
    assert headers["openai-organization"]
    assert headers["x-ratelimit-reset-requests"] == "12ms"


# Streams


async def test_a_stream_says_the_same_as_a_whole_answer(chat):
    whole = (await chat("Tell me about boats")).json()
    answer = await chat("Tell me about boats", stream=True)

    chunks = chunks_of(answer)
    deltas = [chunk["choices"][0] for chunk in chunks]
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "content-length" not in answer.headers
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert deltas[0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert "".join(d["delta"].get("content", "") for d in deltas) == whole["choices"][0]["message"]["content"]
    assert (deltas[-1]["delta"], deltas[-1]["finish_reason"]) == ({}, "stop")
    assert all("usage" not in chunk for chunk in chunks)


async def test_usage_comes_last_when_asked_for(chat):
    whole = (await chat("Tell me about boats")).json()
    *earlier, last = chunks_of(await chat("Tell me about boats", stream=True, stream_options={"include_usage": True}))

    assert last["choices"] == []
    assert last["usage"] == whole["usage"]
    assert all(chunk["usage"] is None for chunk in earlier)


async def test_answers_take_turns_in_a_stream(chat):
    chunks = chunks_of(await chat("Tell me about boats", n=2, stream=True))

    assert [chunk["choices"][0]["index"] for chunk in chunks[:4]] == [0, 1, 0, 1]


async def test_a_tool_call_is_streamed_in_pieces(chat):
    chunks = chunks_of(await chat("In Paris?", tools=[WEATHER], tool_choice="required", stream=True))

    calls = [chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in chunks[:-1]]
    assert calls[0]["id"].startswith("call_")
    assert json.loads("".join(call["function"]["arguments"] for call in calls))["city"] == "Paris"
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_obfuscation_can_be_switched_off(chat):
    on, off = [
        chunks_of(await chat(stream=True, stream_options={"include_obfuscation": wanted})) for wanted in (True, False)
    ]

    assert any("obfuscation" in chunk for chunk in on)
    assert not any("obfuscation" in chunk for chunk in off)


# Refusals


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": ["hello"]}, "messages"),
        ({"messages": [{"role": "king", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "user", "content": [{"type": "smell"}]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content[0].image_url.url",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
                    }
                ]
            },
            "messages[0].content[0].image_url.url",
        ),
        ({"model": None}, "model"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": -1}, "n"),
        ({"n": 129}, "n"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"logit_bias": {"1": 101}}, "logit_bias.1"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": "yes"}, "stream"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_object"}}, "messages"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k"),
        ({"metadata": {str(n): "v" for n in range(17)}}, "metadata"),
        ({"modalities": ["smell"]}, "modalities"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"model": "o3", "max_tokens": 5}, "max_tokens"),
        ({"model": "o3", "temperature": 0.5}, "temperature"),
        ({"model": "gpt-4", "messages": [{"role": "user", "content": "word " * 9000}]}, "messages"),
        ({"colour": "red"}, None),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_a_bad_field_is_named(chat, change, param):
    answer = await chat(**change)

    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["param"] == param
    assert set(error) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("model", ["gpt-99", "dall-e-3"])
async def test_what_is_no_chat_model_is_not_found(chat, model):
    answer = await chat(model=model)

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"n": NaN}', b"[" * 10_000, b"\xff", b'{"a": 1e999}'])
async def test_a_body_that_is_no_object_is_refused(openai, body):
    answer = await openai.post("/v1/chat/completions", content=body)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


async def test_a_body_that_is_too_large_is_413(openai):
    answer = await openai.post("/v1/chat/completions", content=b" " * 26_214_401)

    assert answer.status_code == 413


async def test_models_are_listed_and_shown(openai):
    listed = (await openai.get("/v1/models")).json()

    assert listed["object"] == "list"
    assert "gpt-4o" in {model["id"] for model in listed["data"]}
    assert (await openai.get("/v1/models/gpt-4o")).json()["object"] == "model"
    assert (await openai.get("/v1/models/gpt-99")).json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, None),
        ({"authorization": "Bearer wrong"}, "invalid_api_key"),
        ({"authorization": "test-key"}, "invalid_api_key"),
    ],
    ids=str,
)
async def test_a_wrong_key_is_401(stranger, headers, code):
    answer = await stranger.get("/openai/v1/models", headers=headers)

    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == code


async def test_an_unknown_path_is_named(openai):
    answer = await openai.post("/v1/nothing")

    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "Invalid URL (POST /v1/nothing)"


@pytest.mark.parametrize("text", ["", "Hello, world!", "a  b\n\nc", "价格是 42 元。Hello", "é" * 30, "snake_case x1y2"])
def test_tokens_join_to_the_text_again(text):
    assert "".join(tokens.split(text)) == text

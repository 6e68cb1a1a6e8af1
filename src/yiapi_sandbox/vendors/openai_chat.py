"""Answering a chat as OpenAI does, whole or as a stream. Contract: contracts/openai.md, sections 1 and 2."""

import json
import re
import secrets
import string
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.responses import JSONResponse, Response

from yiapi_sandbox import talk, tokens
from yiapi_sandbox.books import Usage
from yiapi_sandbox.contract import Call
from yiapi_sandbox.dice import Dice, token
from yiapi_sandbox.recipes import Scene
from yiapi_sandbox.streams import EventStream
from yiapi_sandbox.vendors import openai_models as models
from yiapi_sandbox.vendors.openai_request import Asked, read

FINGERPRINT = "fp_fc9f1d7035"
PICTURE_KEEP_S = 30 * 86_400
LETTERS = string.ascii_letters + string.digits
_DRAW = re.compile(r"\b(?:draw|paint|picture|image|sketch|illustrate|logo|poster)|[画绘图]", re.IGNORECASE)


@dataclass
class Choice:
    """One answer: its tokens, how it ended, and the function that it calls instead."""

    pieces: list[str]
    finish: str = "stop"
    function: str | None = None
    call_id: str = ""

    @property
    def text(self) -> str:
        """The whole answer, or the arguments of its function."""
        return "".join(self.pieces)


async def complete(call: Call) -> Response:
    """Answer a chat."""
    asked = await read(call)
    choices = [_choice(call, asked, turn) for turn in range(asked.count)]
    usage = _usage(asked, choices)
    _bill(call, asked, usage)
    head = {
        "id": f"chatcmpl-{secrets.token_hex(15)[:29]}",
        "object": "chat.completion.chunk" if asked.streams else "chat.completion",
        "created": int(call.sandbox.clock.now()),
        "model": asked.chat.snapshot,
        "service_tier": "default",
        "system_fingerprint": FINGERPRINT,
    }
    if asked.streams:
        return EventStream(_events(asked, choices, head, usage))
    answers = [_whole(asked, turn, choice) for turn, choice in enumerate(choices)]
    return JSONResponse({**head, "choices": answers, "usage": usage})


# What it says


def _choice(call: Call, asked: Asked, turn: int) -> Choice:
    if asked.tool is not None:
        arguments = talk.plausible(asked.tool.get("parameters") or {"type": "object"}, asked.told.last_user)
        name = str(asked.tool["name"])
        finish = "function_call" if asked.is_legacy_call else "tool_calls"
        choice = Choice(tokens.split(json.dumps(arguments)), finish, name, f"call_{token(LETTERS, 24, name, turn)}")
    else:
        text = _text(call, asked, turn)
        found = [at for stop in asked.stops if (at := text.find(stop)) >= 0]
        choice = Choice(tokens.split(text[: min(found)] if found else text))
    if asked.limit is not None and len(choice.pieces) > asked.limit:
        choice.pieces, choice.finish = choice.pieces[: asked.limit], "length"
    return choice


def _text(call: Call, asked: Asked, turn: int) -> str:
    told = asked.told
    if asked.form["type"] == "json_schema":
        schema = asked.form["json_schema"].get("schema") or {"type": "object"}
        return json.dumps(talk.plausible(schema, told.last_user), ensure_ascii=False)
    reply = talk.reply(told.last_user, turn, told.seen)
    if asked.form["type"] == "json_object":
        return json.dumps({"reply": reply, "sandbox": True}, ensure_ascii=False)
    if models.draws(asked.model) and _DRAW.search(told.last_user):
        return _drawn(call, told.last_user)
    return reply


def _drawn(call: Call, prompt: str) -> str:
    """Say a picture as the unofficial models do: as a link inside the text, with its download beside it."""
    shelf, now = call.sandbox.shelf, call.sandbox.clock.now()
    scene = Scene(prompt[:2000], Dice("gpt-4-all", prompt).whole(0, 2**31 - 1), 1024, 1024)
    file_id = shelf.put(scene, keep_s=PICTURE_KEEP_S, form="webp")
    expires = int(now) + PICTURE_KEEP_S
    day = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d")
    name = f"{day}/{file_id}.webp?exp={expires}&sig={shelf.sign(file_id, expires)}"
    request = json.dumps({"prompt": prompt[:400], "size": "1024x1024"}, indent=2, ensure_ascii=False)
    return (
        f"{request}\n\n> 进度 **34%**\n\n> 进度 **67%**\n\n"
        f"![file-{token(LETTERS, 22, file_id)}]({call.base_url}/cdn/{name})\n"
        f"[下载⏬]({call.base_url}/cdn/download/{name})\n\nHere is the picture you asked for, drawn by the sandbox."
    )


# How it says it


def _whole(asked: Asked, turn: int, choice: Choice) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None, "annotations": []}
    if choice.function:
        called = {"name": choice.function, "arguments": choice.text}
        message["content"] = None
        if asked.is_legacy_call:
            message["function_call"] = called
        else:
            message["tool_calls"] = [{"id": choice.call_id, "type": "function", "function": called}]
    logprobs = {"content": [_logprob(piece) for piece in choice.pieces], "refusal": None} if asked.logprobs else None
    return {"index": turn, "message": message, "logprobs": logprobs, "finish_reason": choice.finish}


def _logprob(piece: str) -> dict[str, Any]:
    value = -Dice("logprob", piece).unit()
    return {"token": piece, "logprob": value, "bytes": list(piece.encode("utf-8", "replace")), "top_logprobs": []}


def _events(asked: Asked, choices: list[Choice], head: dict[str, Any], usage: dict[str, Any]) -> list[bytes]:
    """Write a stream: the role, the pieces of all answers in turn, their ends, the usage if asked for, the end mark."""
    more = {"usage": None} if asked.wants_usage else {}
    rows = [_deltas(asked, choice) for choice in choices]
    events: list[bytes] = []
    for step in range(max(len(row) for row in rows)):
        for turn, row in enumerate(rows):
            if step < len(row):
                delta, finish = row[step]
                logprobs = _streamed_logprobs(asked, delta)
                part = {"index": turn, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
                noise = {"obfuscation": _noise(delta)} if asked.obfuscates and not finish else {}
                events.append(_event({**head, "choices": [part], **more, **noise}))
    if asked.wants_usage:
        events.append(_event({**head, "choices": [], "usage": usage}))
    return [*events, b"data: [DONE]\n\n"]


def _deltas(asked: Asked, choice: Choice) -> list[tuple[dict[str, Any], str | None]]:
    first: dict[str, Any] = {"role": "assistant", "content": None if choice.function else "", "refusal": None}
    rest: list[dict[str, Any]]
    if choice.function and asked.is_legacy_call:
        first["function_call"] = {"name": choice.function, "arguments": ""}
        rest = [{"function_call": {"arguments": piece}} for piece in choice.pieces]
    elif choice.function:
        called = {"name": choice.function, "arguments": ""}
        first["tool_calls"] = [{"index": 0, "id": choice.call_id, "type": "function", "function": called}]
        rest = [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in choice.pieces]
    else:
        rest = [{"content": piece} for piece in choice.pieces]
    return [(first, None), *((delta, None) for delta in rest), ({}, choice.finish)]


def _streamed_logprobs(asked: Asked, delta: dict[str, Any]) -> dict[str, Any] | None:
    if not asked.logprobs or not delta.get("content"):
        return None
    return {"content": [_logprob(delta["content"])], "refusal": None}


def _noise(delta: dict[str, Any]) -> str:
    """Pad a piece, so that the lengths on the wire tell nothing about it."""
    length = len(delta.get("content") or "")
    return LETTERS[length % 40 : length % 40 + max(0, 12 - length)]


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


# What it counts


def _usage(asked: Asked, choices: list[Choice]) -> dict[str, Any]:
    spoken = sum(len(choice.pieces) for choice in choices)
    return {
        "prompt_tokens": asked.told.tokens,
        "completion_tokens": spoken,
        "total_tokens": asked.told.tokens + spoken,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _bill(call: Call, asked: Asked, usage: dict[str, Any]) -> None:
    tokens_in, tokens_out = usage["prompt_tokens"], usage["completion_tokens"]
    cost_in, cost_out = models.cost_nano(asked.chat, tokens_in, tokens_out)
    call.sandbox.books.bill("openai", Usage(asked.chat.snapshot, "token_in", tokens_in, cost_in))
    call.sandbox.books.bill("openai", Usage(asked.chat.snapshot, "token_out", tokens_out, cost_out))

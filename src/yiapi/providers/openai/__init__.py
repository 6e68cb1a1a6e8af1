"""OpenAI: chat completions, plain and streamed.

The caller's bytes go up and the vendor's bytes come down; tools, pictures and unknown fields pass untouched.
Contract: contracts/openai.md
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from yiapi.providers.contract import (
    AnswerShape,
    Bearer,
    Fault,
    FaultShape,
    Operation,
    Provider,
    StationError,
    StreamShape,
    Title,
    data_of,
)
from yiapi.providers.openai.chat import Chat, Completion
from yiapi.providers.openai.counting import (
    ChatTap,
    at_most,
    counted,
    is_empty,
    is_refusal,
    prompt,
    said,
    used_by,
    wants_stream,
    with_usage,
)


def folded(events: Sequence[bytes]) -> Any:
    """Fold a stream into the answer of a plain call."""
    answer: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for event in events:
        data = data_of(event)
        if not data or data == b"[DONE]":
            continue
        chunk = msgspec.json.decode(data)
        answer |= {name: value for name, value in chunk.items() if name != "choices" and value is not None}
        for piece in chunk.get("choices") or ():
            choice = choices.setdefault(piece["index"], {"index": piece["index"], "message": {}, "finish_reason": None})
            _add(choice["message"], piece.get("delta") or {})
            choice["finish_reason"] = piece.get("finish_reason") or choice["finish_reason"]
    answer["object"] = "chat.completion"
    return answer | {"choices": [choices[index] for index in sorted(choices)]}


def _add(message: dict[str, Any], delta: dict[str, Any]) -> None:
    """Add one piece to a message: texts grow, tool calls by their index, the rest is as it came last."""
    for name, value in delta.items():
        if name == "tool_calls":
            calls = message.setdefault("tool_calls", [])
            for piece in value or ():
                while len(calls) <= piece.get("index", 0):
                    calls.append({})
                call = calls[piece.get("index", 0)]
                _add(call, {key: part for key, part in piece.items() if key != "index"})
        elif isinstance(value, dict):
            _add(message.setdefault(name, {}), value)
        elif isinstance(value, str) and name in {"content", "refusal", "reasoning_content", "arguments"}:
            message[name] = (message.get(name) or "") + value
        else:
            message[name] = value


FAULTS = FaultShape(
    message="error.message",
    code="error.code",
    type="error.type",
    param="error.param",
    codes={
        "insufficient_quota": Fault.UPSTREAM_CREDIT,  # sent as 429, yet waiting does not help
        "content_policy_violation": Fault.CONTENT_BLOCKED,
        "moderation_blocked": Fault.CONTENT_BLOCKED,
    },
    types={"insufficient_quota": Fault.UPSTREAM_CREDIT},
    inside=is_refusal,
)

TYPE_BY_STATUS = {402: "insufficient_quota", 403: "permission_error", 429: "rate_limit_error"}


def envelope(error: StationError, request_id: str) -> Any:
    """Say an error as OpenAI does; a refusal of the vendor keeps the vendor's own code and type."""
    kind = TYPE_BY_STATUS.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    said = error.vendor
    return {
        "error": {
            "message": error.message,
            "type": (said and said.type) or kind,
            "param": error.param,
            "code": said.code if said else error.code,
            "request_id": request_id,
        }
    }


PROVIDER = Provider(
    slug="openai",
    title="OpenAI",
    contract="contracts/openai.md",
    base_url="https://api.openai.com",
    prefix="",
    auth=Bearer(),
    faults=FAULTS,
    envelope=envelope,
    passed_headers=("openai-processing-ms", "openai-version"),
    operations=[
        Operation(
            name="chat",
            path="/v1/chat/completions",
            title=Title("gpt-4-all(生成图片)/ 对话", "Chat completions"),
            request=Chat,
            usage=at_most,
            encode=with_usage,
            answer=AnswerShape(
                decode=Completion,
                usage=used_by,
                is_empty=is_empty,
                text=said,
            ),
            stream=StreamShape(
                tap=ChatTap,
                error_event=lambda body: b"data: " + msgspec.json.encode(body) + b"\n\n",
                whole=folded,
            ),
            wants_stream=wants_stream,
            prompt=prompt,
            counted=counted,
            may_repeat_after_timeout=True,
        ),
    ],
)

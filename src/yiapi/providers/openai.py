"""OpenAI: chat completions, plain and streamed.

The caller's bytes go up and the vendor's bytes come down; tools, pictures and unknown fields pass untouched.
Contract: contracts/openai.md
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from yiapi.providers.contract import (
    NO_LIMIT,
    AnswerShape,
    Bearer,
    Count,
    Fault,
    FaultShape,
    Operation,
    Provider,
    Request,
    Seen,
    StationError,
    StreamShape,
    Title,
    Unit,
    Usage,
    data_of,
    edit,
)

TOKENS_PER_PICTURE = 3000
"""What a hold reckons for a picture: more than the large models bill at high detail."""
BYTES_PER_TOKEN_OF_A_FILE = 6
TOKENS_PER_MESSAGE = 8

NOTHING = Raw()

TokenCount = Annotated[int, Meta(ge=1, le=10_000_000)]


class StreamOptions(Request):
    """Of these only the usage concerns us."""

    include_usage: bool | None = None


class Chat(Request):
    """A chat; what is not named here is forwarded as it came."""

    model: str
    messages: Annotated[list[Raw], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Count | None = None
    max_tokens: TokenCount | None = None
    max_completion_tokens: TokenCount | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: Raw = NOTHING
    functions: Raw = NOTHING
    response_format: Raw = NOTHING

    @property
    def wants_usage(self) -> bool:
        """Whether the caller asked for usage in its stream."""
        return bool(self.stream_options and self.stream_options.include_usage)


class PromptDetails(msgspec.Struct):
    """Cached tokens are part of the total, at a price of their own."""

    cached_tokens: int | None = None


class TokensUsed(msgspec.Struct):
    """The vendor's own count; reasoning is part of the completion."""

    prompt_tokens: Annotated[int, Meta(ge=0)] = 0
    completion_tokens: Annotated[int, Meta(ge=0)] = 0
    prompt_tokens_details: PromptDetails | None = None

    def lines(self, model: str) -> list[Usage]:
        """Return the count in our units."""
        details = self.prompt_tokens_details
        read, cached = self.prompt_tokens, (details and details.cached_tokens) or 0
        cached = min(cached, read) if cached > 0 else 0
        lines = [Usage(model, Unit.TOKEN_IN, read - cached), Usage(model, Unit.TOKEN_OUT, self.completion_tokens)]
        return [*lines, Usage(model, Unit.TOKEN_IN_CACHED, cached)] if cached else lines


class Said(msgspec.Struct):
    """A message, or a piece of one; what is not text is kept raw."""

    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: Any = None
    function_call: Any = None
    audio: Any = None

    def text(self) -> str:
        """Return what was written, tool calls as they stand."""
        calls = [msgspec.json.encode(part).decode() for part in (self.tool_calls, self.function_call) if part]
        words = self.content if isinstance(self.content, str) else ""
        return "".join([self.reasoning_content or "", words, self.refusal or "", *calls])


class Choice(msgspec.Struct):
    """One answer of a plain call, or one piece of it in a stream."""

    message: Said | None = None
    delta: Said | None = None
    finish_reason: str | None = None


class Completion(msgspec.Struct):
    """An answer, or one event of a stream."""

    choices: list[Choice] | None = None
    usage: TokensUsed | None = None
    error: Any = None


def at_most(request: Chat) -> list[Usage]:
    """Bound what a chat can use: no token is shorter than a byte, and caller or model bound the answers."""
    read = 0
    for part in (*request.messages, request.tools, request.functions, request.response_format):
        if part is not NOTHING:
            raw = bytes(part)
            is_plain = b'"type"' not in raw  # so it has no parts
            read += TOKENS_PER_MESSAGE + (len(raw) if is_plain else _tokens_at_most(raw))
    choices = request.n or 1
    longest = request.max_completion_tokens or request.max_tokens or NO_LIMIT // choices
    return [
        Usage(request.model, Unit.TOKEN_IN, read),
        Usage(request.model, Unit.TOKEN_OUT, longest * choices, choices),
    ]


def _tokens_at_most(raw: bytes) -> int:
    """Bound one message in parts; a picture or file counts by its kind, not by the length of its Base64."""
    message = msgspec.json.decode(raw)
    content = message.get("content") if isinstance(message, dict) else None
    return sum(map(_tokens_of_part, content)) if isinstance(content, list) else len(raw)


def _tokens_of_part(part: Any) -> int:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "image_url":
        return TOKENS_PER_PICTURE
    size_bytes = len(msgspec.json.encode(part))
    return size_bytes if kind == "text" else TOKENS_PER_PICTURE + size_bytes // BYTES_PER_TOKEN_OF_A_FILE


def prompt(request: Chat) -> str:
    """Return the text that the vendor read, for a count of our own."""
    texts: list[str] = []
    for raw in request.messages:
        message = msgspec.json.decode(raw)
        content = message.get("content") if isinstance(message, dict) else None
        parts = content if isinstance(content, list) else [{"text": content}]
        texts += [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]
    return "\n".join(texts)


def counted(request: Chat, tokens_in: int, tokens_out: int) -> list[Usage]:
    """Return our own count in our units."""
    overhead = TOKENS_PER_MESSAGE // 2 * len(request.messages)
    return [
        Usage(request.model, Unit.TOKEN_IN, tokens_in + overhead),
        Usage(request.model, Unit.TOKEN_OUT, tokens_out),
    ]


def with_usage(request: Chat, body: bytes) -> bytes:
    """Ask for the usage of a stream, which we bill by; what the caller said of streams otherwise stays."""
    if not request.stream or request.wants_usage:
        return body
    options = msgspec.json.decode(body, type=dict[str, Raw]).get("stream_options")
    asked = edit(b"{}" if options is None or bytes(options) == b"null" else options, {"include_usage": True})
    return edit(body, {"stream_options": Raw(asked)})


CONTENT = Seen.CONTENT  # asked for with every event; a class is slower to look into than a module
_EVENT = msgspec.json.Decoder(Completion)
_TEXT = b'"delta":{"content":"'
_AFTER = b'"},"finish_reason":null}]'
_AFTER_WITH_LOGPROBS = b'"},"logprobs":null,"finish_reason":null}]'
_NO_USAGE = b'"usage":null'
_BACKSLASH = 0x5C


def text_of(event: bytes) -> bytes | None:
    """Return the text of an event that says nothing else, as it stands in JSON; None: it has to be decoded.

    Looked for is how vendors write it: one choice, that goes on, with nothing but a text. What has quotes in its text,
    a count of usage or an error is not that.
    """
    start = event.find(_TEXT) + len(_TEXT)
    if start < len(_TEXT):
        return None
    end = event.find(b'"', start)
    if end <= start or event[end - 1] == _BACKSLASH:
        return None
    if not (event.startswith(_AFTER, end) or event.startswith(_AFTER_WITH_LOGPROBS, end)):
        return None
    if event.count(b'"delta"') != 1 or event.count(b"\n") != 2 or event.find(b"\r") >= 0 or event[:6] != b"data: ":
        return None
    usage = event.find(b'"usage"')
    if event.find(b'"error"') >= 0 or (usage >= 0 and not event.startswith(_NO_USAGE, usage)):
        return None
    return event[start:end]


def _unescaped(text: bytes) -> str:
    try:
        return msgspec.json.decode(b'"%b"' % text, type=str)
    except ValueError:  # no JSON: it is counted all the same
        return text.decode("utf-8", "replace")


class ChatTap:
    """Follows one stream: what was said, what it used, and how it ended.

    Events that only add to a text differ in nothing else, so what is around the text is remembered from the last one.
    """

    __slots__ = ("_after", "_before", "_error", "_hides_usage", "_model", "_text", "_used")

    def __init__(self, request: Chat) -> None:
        self._model = request.model
        self._before = self._after = b""
        self._hides_usage = not request.wants_usage
        self._used: TokensUsed | None = None
        self._text = bytearray()  # as it stands in JSON, which is how most of it comes
        self._error: Any = None

    def see(self, event: bytes) -> Seen:
        """Judge one event; one that only adds to a text is not decoded."""
        before, after = self._before, self._after
        if after and event.startswith(before) and event.endswith(after):
            piece = event[len(before) : -len(after)]
            if piece and b'"' not in piece and b"\\" not in piece and b"\n" not in piece and b"\r" not in piece:
                self._text += piece
                return CONTENT
        text = text_of(event)
        if text is not None:
            self._text += text
            at = event.find(_TEXT) + len(_TEXT)
            self._before, self._after = event[:at], event[at + len(text) :]
            return CONTENT
        data = data_of(event)
        if not data:
            return Seen.PASS
        if data == b"[DONE]":
            return Seen.END
        chunk = _EVENT.decode(data)
        if chunk.error is not None:
            self._error = msgspec.json.decode(data)
            return Seen.ERROR
        if chunk.usage is not None:
            self._used = chunk.usage
            if self._hides_usage and not chunk.choices:
                return Seen.HIDE
        return self._said(chunk.choices or [])

    def _said(self, choices: list[Choice]) -> Seen:
        seen = Seen.PASS
        for choice in choices:
            text = choice.delta.text() if choice.delta is not None else ""
            if text:
                self._text += msgspec.json.encode(text)[1:-1]
            if text or choice.finish_reason or (choice.delta and choice.delta.audio):
                seen = Seen.CONTENT
        return seen

    def usage(self) -> Sequence[Usage] | None:
        """Return the vendor's count."""
        return None if self._used is None else self._used.lines(self._model)

    def text(self) -> str:
        """Return what was said so far."""
        return _unescaped(bytes(self._text))

    def error(self) -> Any:
        """Return the vendor's error."""
        return self._error


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
    inside=lambda answer: answer.error is not None,
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
                usage=lambda request, answer: answer.usage and answer.usage.lines(request.model),
                is_empty=lambda answer: not answer.choices and answer.usage is None,
                text=lambda answer: "\n".join(
                    choice.message.text() for choice in answer.choices or () if choice.message
                ),
            ),
            stream=StreamShape(
                tap=ChatTap,
                error_event=lambda body: b"data: " + msgspec.json.encode(body) + b"\n\n",
                whole=folded,
            ),
            wants_stream=lambda request: bool(request.stream),
            prompt=prompt,
            counted=counted,
            may_repeat_after_timeout=True,
        ),
    ],
)

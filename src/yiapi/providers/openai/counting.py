"""What a chat asks and uses: bounded before it, read from its answer, counted by us; of a stream event by event.

This runs for every call and every event, so there is no struct in this file: it can be compiled.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from yiapi.providers.contract import NO_LIMIT, Seen, Unit, Usage, data_of, edit
from yiapi.providers.openai.chat import NOTHING, Chat, Choice, Completion, TokensUsed

TOKENS_PER_PICTURE = 3000
"""What a hold reckons for a picture: more than the large models bill at high detail."""
BYTES_PER_TOKEN_OF_A_FILE = 6
TOKENS_PER_MESSAGE = 8

# An enum takes its time to look up its members.
TOKEN_IN: Final = Unit.TOKEN_IN
TOKEN_OUT: Final = Unit.TOKEN_OUT
TOKEN_IN_CACHED: Final = Unit.TOKEN_IN_CACHED
CONTENT: Final = Seen.CONTENT


def at_most(request: Chat) -> list[Usage]:
    """Bound what a chat can use: no token is shorter than a byte, and caller or model bound the answers."""
    read = 0
    for part in (*request.messages, request.tools, request.functions, request.response_format):
        if part is not NOTHING:
            raw = bytes(part)
            # Plain is what has no parts; "[" is found sooner. ("in" would try what it looks for as a number first.)
            is_plain = raw.find(b"[") < 0 or raw.find(b'"type"') < 0
            read += TOKENS_PER_MESSAGE + (len(raw) if is_plain else _tokens_at_most(raw))
    choices = request.n or 1
    longest = request.max_completion_tokens or request.max_tokens or NO_LIMIT // choices
    return [
        Usage(request.model, TOKEN_IN, read),
        Usage(request.model, TOKEN_OUT, longest * choices, choices),
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


def wants_stream(request: Chat) -> bool:
    """Whether a chat is to be streamed."""
    return bool(request.stream)


def with_usage(request: Chat, body: bytes) -> bytes:
    """Ask for the usage of a stream, which we bill by; what the caller said of streams otherwise stays."""
    if not request.stream or request.wants_usage:
        return body
    options = msgspec.json.decode(body, type=dict[str, Raw]).get("stream_options")
    asked = edit(b"{}" if options is None or bytes(options) == b"null" else options, {"include_usage": True})
    return edit(body, {"stream_options": Raw(asked)})


def is_refusal(answer: Completion) -> bool:
    """Whether an answer is an error, whatever its status says."""
    return answer.error is not None


def is_empty(answer: Completion) -> bool:
    """Whether an answer says nothing."""
    return not answer.choices and answer.usage is None


def said(answer: Completion) -> str:
    """Return the texts of an answer, for a count of our own."""
    return "\n".join(choice.message.text() for choice in answer.choices or () if choice.message)


def used_by(request: Chat, answer: Completion) -> list[Usage] | None:
    """Return the vendor's count in our units, if it sent one."""
    return None if answer.usage is None else used(answer.usage, request.model)


def used(count: TokensUsed, model: str) -> list[Usage]:
    """Return the vendor's count in our units."""
    details = count.prompt_tokens_details
    read, cached = count.prompt_tokens, (details and details.cached_tokens) or 0
    cached = min(cached, read) if cached > 0 else 0
    lines = [Usage(model, TOKEN_IN, read - cached), Usage(model, TOKEN_OUT, count.completion_tokens)]
    return [*lines, Usage(model, TOKEN_IN_CACHED, cached)] if cached else lines


def counted(request: Chat, tokens_in: int, tokens_out: int) -> list[Usage]:
    """Return our own count in our units."""
    overhead = TOKENS_PER_MESSAGE // 2 * len(request.messages)
    return [
        Usage(request.model, TOKEN_IN, tokens_in + overhead),
        Usage(request.model, TOKEN_OUT, tokens_out),
    ]


_EVENT = msgspec.json.Decoder(Completion)
_TEXT = b'"delta":{"content":"'
_AFTER = b'"},"finish_reason":null}]'
_AFTER_WITH_LOGPROBS = b'"},"logprobs":null,"finish_reason":null}]'
_NO_USAGE = b'"usage":null'
_BACKSLASH = 0x5C
_NOT_IN_TEXT = b'"\\\n\r'


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
            if piece and piece.translate(None, _NOT_IN_TEXT) == piece:
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
        return None if self._used is None else used(self._used, self._model)

    def text(self) -> str:
        """Return what was said so far."""
        return _unescaped(bytes(self._text))

    def error(self) -> Any:
        """Return the vendor's error."""
        return self._error

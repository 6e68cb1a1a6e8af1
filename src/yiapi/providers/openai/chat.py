"""The shapes of a chat: what is asked, what is answered, what was used."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from yiapi.providers.contract import Count, Request

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

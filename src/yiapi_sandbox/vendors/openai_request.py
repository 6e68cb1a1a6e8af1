"""A chat request, read as strictly as OpenAI reads it. Contract: contracts/openai.md, section 1."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio

from yiapi_sandbox import looking, tokens
from yiapi_sandbox.checks import Fields, picture
from yiapi_sandbox.contract import Call, Invalid
from yiapi_sandbox.vendors import openai_models as models

_KNOWN_TEXT = (
    "model messages stream stream_options temperature top_p n max_tokens max_completion_tokens stop presence_penalty "
    "frequency_penalty logit_bias logprobs top_logprobs seed response_format tools tool_choice parallel_tool_calls "
    "functions function_call user safety_identifier prompt_cache_key prompt_cache_retention metadata store modalities "
    "audio reasoning_effort verbosity service_tier prediction web_search_options"
)
KNOWN = frozenset(_KNOWN_TEXT.split())
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
CHOICES = {
    "reasoning_effort": ("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    "verbosity": ("low", "medium", "high"),
    "service_tier": ("auto", "default", "flex", "priority", "scale"),
}
PICTURE_TOKENS = {"low": 85, "high": 765, "auto": 765}
BILLION = 2**63 - 1


@dataclass
class Told:
    """What the messages say: texts, what the pictures show, and how much there is to read."""

    last_user: str = ""
    seen: list[str] = field(default_factory=list)
    tokens: int = 3
    mentions_json: bool = False
    last_role: str = ""


@dataclass(frozen=True)
class Asked:
    """A good request."""

    model: str
    chat: models.Chat
    told: Told
    streams: bool
    wants_usage: bool
    obfuscates: bool
    count: int
    limit: int | None
    stops: Sequence[str]
    logprobs: bool
    form: dict[str, Any]
    tool: dict[str, Any] | None
    """The function that must be called, if any."""
    is_legacy_call: bool


async def read(call: Call) -> Asked:
    """Read a request. Raises Invalid, naming the field."""
    fields = Fields(call.json)
    for name in call.json:
        if name not in KNOWN:
            raise Invalid(None, "unknown", f"Unrecognized request argument supplied: {name[:100]}")
    model, chat = _model(fields)
    told = await _messages(fields)
    streams = bool(fields.flag("stream"))
    options = fields.object("stream_options")
    if options and not streams:
        raise fields.wrong("stream_options", "value", "stream_options is only allowed when stream is true")
    limit = _limit(fields, model)
    _ranges(fields, model)
    form = _form(fields, told)
    tool, legacy = _tool(fields, told)
    told.tokens += tokens.count(str(call.json["tools"])) if call.json.get("tools") else 0
    if told.tokens > chat.context:
        message = f"This model's maximum context length is {chat.context} tokens, yet the messages have {told.tokens}"
        raise Invalid("messages", "size", message)
    return Asked(
        model=model, chat=chat, told=told, streams=streams, limit=limit, form=form, tool=tool, is_legacy_call=legacy,
        wants_usage=bool(options and options.flag("include_usage")),
        obfuscates=not options or options.flag("include_obfuscation") is not False,
        count=_count(fields), stops=_stops(fields), logprobs=bool(fields.flag("logprobs")),
    )  # fmt: skip


def _model(fields: Fields) -> tuple[str, models.Chat]:
    name = fields.needed("model")
    chat = models.find(name)
    if chat is None:
        if name in models.OTHERS:
            message = (
                f"The model `{name}` is not a chat model and thus not supported in the v1/chat/completions endpoint"
            )
            raise Invalid("model", "not_found", message)
        raise Invalid("model", "not_found", models.unknown(name))
    return name, chat


def _count(fields: Fields) -> int:
    count = fields.whole("n", 1, 128)
    return 1 if count is None else count


def _limit(fields: Fields, model: str) -> int | None:
    old, new = fields.whole("max_tokens", 1, BILLION), fields.whole("max_completion_tokens", 1, BILLION)
    if old is not None and models.reasons(model):
        message = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead"
        )
        raise fields.wrong("max_tokens", "conflict", message)
    return old if new is None else new


def _ranges(fields: Fields, model: str) -> None:
    """Check what changes nothing here, but must be right."""
    warm = fields.number("temperature", 0, 2)
    if warm not in {None, 1.0} and models.reasons(model):
        raise fields.wrong(
            "temperature", "value", "'temperature' does not support another value than 1 with this model"
        )
    fields.number("top_p", 0, 1)
    fields.number("presence_penalty", -2, 2)
    fields.number("frequency_penalty", -2, 2)
    fields.whole("seed", -BILLION - 1, BILLION)
    if fields.whole("top_logprobs", 0, 20) is not None and not fields.flag("logprobs"):
        raise fields.wrong("top_logprobs", "value", "'logprobs' must be true when 'top_logprobs' is set")
    bias = fields.object("logit_bias")
    for token in bias.values if bias else ():
        bias.number(token, -100, 100) if bias else None
    for name, choices in CHOICES.items():
        fields.text(name, choices=choices)
    for name in ("parallel_tool_calls", "store"):
        fields.flag(name)
    for name in ("audio", "prediction", "web_search_options"):
        fields.object(name)
    for name in ("user", "prompt_cache_key", "prompt_cache_retention"):
        fields.text(name)
    fields.text("safety_identifier", longest=64)
    _metadata(fields)
    for name in fields.list("modalities") or ():
        if name != "text":
            raise fields.wrong("modalities", "value", "this model does not support the requested modalities")


def _metadata(fields: Fields) -> None:
    metadata = fields.object("metadata")
    if metadata is None:
        return
    if len(metadata.values) > 16:
        raise fields.wrong("metadata", "range", "metadata must have at most 16 pairs")
    for key in metadata.values:
        if len(key) > 64:
            raise fields.wrong("metadata", "range", "a key of metadata must have at most 64 characters")
        metadata.text(key, longest=512)


def _stops(fields: Fields) -> list[str]:
    stop = fields.values.get("stop")
    stops = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else [] if stop is None else [None]
    if len(stops) > 4 or not all(isinstance(text, str) for text in stops):
        raise fields.wrong("stop", "value", "stop must be a string or an array of at most 4 strings")
    return [text for text in stops if text]


def _form(fields: Fields, told: Told) -> dict[str, Any]:
    form = fields.object("response_format")
    if form is None:
        return {"type": "text"}
    kind = form.needed("type", choices=("text", "json_object", "json_schema"))
    if kind == "json_object" and not told.mentions_json:
        message = "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'"
        raise fields.wrong("messages", "value", message)
    if kind == "json_schema":
        schema = form.object("json_schema")
        if schema is None:
            raise form.wrong("json_schema", "missing", "Missing required parameter: 'response_format.json_schema'")
        schema.needed("name", longest=64)
        schema.object("schema")
        schema.flag("strict")
    return dict(form.values)


def _tool(fields: Fields, told: Told) -> tuple[dict[str, Any] | None, bool]:
    """Return the function that the caller wants called, and whether in the deprecated way."""
    functions = [_function(Fields(one)) for one in _objects(fields, "functions", 128)]
    tools = [_declared(Fields(one, within=f"tools[{at}].")) for at, one in enumerate(_objects(fields, "tools", 128))]
    choice, known = fields.values.get("tool_choice"), [tool for tool in tools if tool]
    if isinstance(choice, str):
        fields.text("tool_choice", choices=("none", "auto", "required"))
    if choice is not None and not fields.has("tools") and choice != "none":
        raise fields.wrong("tool_choice", "value", "'tool_choice' is only allowed when 'tools' are specified")
    if isinstance(choice, dict):
        return _chosen(fields, choice, known), False
    if choice == "required" and known:
        return known[0], False
    if known and choice != "none" and told.last_role != "tool":
        return _named_in(told.last_user, known), False
    wanted = fields.values.get("function_call")
    if isinstance(wanted, dict):
        return next((one for one in functions if one.get("name") == wanted.get("name")), None), True
    return None, False


def _chosen(fields: Fields, choice: dict[str, Any], known: list[dict[str, Any]]) -> dict[str, Any] | None:
    chosen = Fields(choice, within="tool_choice.")
    if chosen.needed("type", choices=("function", "allowed_tools", "custom")) == "allowed_tools":
        allowed = choice.get("allowed_tools")
        required = isinstance(allowed, dict) and allowed.get("mode") == "required"
        return known[0] if required and known else None
    function = chosen.object(choice["type"])
    name = function.needed("name") if function else None
    found = next((tool for tool in known if tool.get("name") == name), None)
    if found is None:
        raise fields.wrong("tool_choice", "value", "Tool choice is not among the 'tools'")
    return found


def _named_in(text: str, known: list[dict[str, Any]]) -> dict[str, Any] | None:
    return next((tool for tool in known if str(tool.get("name")).lower() in text.lower()), None)


def _declared(tool: Fields) -> dict[str, Any] | None:
    kind = tool.needed("type", choices=("function", "custom"))
    declared = tool.object(kind)
    if declared is None:
        raise tool.wrong(kind, "missing", f"Missing required parameter: '{kind}'")
    return _function(declared) if kind == "function" else {"name": declared.needed("name", longest=64)}


def _function(declared: Fields) -> dict[str, Any]:
    declared.needed("name", longest=64)
    declared.text("description")
    declared.object("parameters")
    return dict(declared.values)


def _objects(fields: Fields, name: str, longest: int) -> list[dict[str, Any]]:
    found = fields.list(name, longest) or []
    if not all(isinstance(one, dict) for one in found):
        raise fields.wrong(name, "type", f"Invalid type for '{name}': expected an array of objects")
    return found


# Messages


async def _messages(fields: Fields) -> Told:
    if not fields.has("messages"):
        raise fields.wrong("messages", "missing", "Missing required parameter: 'messages'")
    messages = _objects(fields, "messages", 10_000)
    if not messages:
        raise fields.wrong(
            "messages", "value", "Invalid 'messages': empty array. Expected an array with minimum length 1"
        )
    told = Told()
    for at, message in enumerate(messages):
        await _message(Fields(message, within=f"messages[{at}]."), told)
    return told


async def _message(message: Fields, told: Told) -> None:
    role = message.needed("role", choices=ROLES)
    content = message.values.get("content")
    if role == "tool":
        message.needed("tool_call_id")
    calls = message.list("tool_calls") if role == "assistant" else None
    excused = role == "assistant" and (calls or message.has("function_call") or message.has("refusal"))
    if content is None and not excused:
        raise message.wrong("content", "type", "Invalid value for 'content': expected a string, got null")
    texts: list[str] = []
    if isinstance(content, str):
        texts.append(content)
    elif isinstance(content, list):
        for at, part in enumerate(content):
            await _part(message, (at, part), texts, told)
    elif content is not None:
        raise message.wrong("content", "type", "Invalid type for 'content': expected a string or an array")
    told.tokens += 4 + sum(tokens.count(text) for text in texts) + (tokens.count(str(calls)) if calls else 0)
    told.mentions_json = told.mentions_json or any("json" in text.lower() for text in texts)
    told.last_role = role
    if role == "user":
        told.last_user = " ".join(texts)


async def _part(message: Fields, numbered: tuple[int, object], texts: list[str], told: Told) -> None:
    at, given = numbered
    if not isinstance(given, dict):
        raise message.wrong(f"content[{at}]", "type", "Invalid type for 'content': expected an array of objects")
    part = Fields(given, within=f"{message.within}content[{at}].")
    kinds = ("text", "image_url", "input_audio", "file", "refusal")
    match part.needed("type", choices=kinds):
        case "text":
            texts.append(_text(part, "text"))
        case "refusal":
            texts.append(_text(part, "refusal"))
        case "image_url":
            await _image(part, told)
        case "input_audio":
            audio = _needed_object(part, "input_audio")
            audio.needed("format", choices=("wav", "mp3"))
            told.tokens += len(_decoded(audio, "data")) // 2000
        case "file":
            file = _needed_object(part, "file")
            if not file.text("file_id"):
                file.needed("filename")
                file.needed("file_data")
            told.tokens += 100


def _text(part: Fields, name: str) -> str:
    text = part.text(name)
    if text is None:
        raise part.wrong(name, "missing", f"Missing required parameter: '{name}'")
    return text


def _needed_object(part: Fields, name: str) -> Fields:
    found = part.object(name)
    if found is None:
        raise part.wrong(name, "missing", f"Missing required parameter: '{name}'")
    return found


async def _image(part: Fields, told: Told) -> None:
    image = _needed_object(part, "image_url")
    url = image.needed("url")
    told.tokens += PICTURE_TOKENS[image.choice("detail", tuple(PICTURE_TOKENS), "auto")]
    if url.startswith(("http://", "https://")):
        told.seen.append("a picture behind a link, which the sandbox does not fetch.")
        return
    head, _, data = url.partition(",")
    if not (head.startswith("data:image/") and head.endswith(";base64")):
        raise image.wrong("url", "value", "Invalid 'url': expected a URL or a Base64 data URL of an image")
    content = _decoded(Fields({"url": data}, within=image.within), "url")
    forms = ("PNG", "JPEG", "WEBP", "GIF")
    await anyio.to_thread.run_sync(lambda: picture(content, f"{image.within}url", forms=forms, bytes_max=20 * 2**20))
    told.seen.append(await anyio.to_thread.run_sync(looking.describe, content))


def _decoded(fields: Fields, name: str) -> bytes:
    try:
        return base64.b64decode(fields.needed(name), validate=True)
    except (binascii.Error, ValueError):
        raise fields.wrong(name, "value", f"Invalid '{name}': expected Base64") from None

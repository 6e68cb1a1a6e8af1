"""Samples: the smallest request that an operation takes, made from its declaration, and a command that sends it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import msgspec

from yiapi.api.schemas import schema_of
from yiapi.providers.contract import Operation
from yiapi.providers.registry import Served

PROMPT = "a lighthouse at dusk"
WORDS: Mapping[str, Any] = {"prompt": PROMPT, "messages": [{"role": "user", "content": "Say hello"}]}
EMPTY: Mapping[str, Any] = {"string": "…", "integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}


def sample_of(operation: Operation, model: str | None = None) -> dict[str, Any]:
    """Return the smallest request, with the examples of its fields; ``model`` goes where one must be told."""
    schema = schema_of(operation.request)
    sample: dict[str, Any] = _sample(schema, schema, model)
    files = {file.name for file in operation.files}
    if not sample and not any(file.is_required for file in operation.files):
        sample = {"prompt": PROMPT}  # optional for us, yet nearly everything is asked for in words
    return {name: value for name, value in sample.items() if name not in files}


def _sample(schema: Mapping[str, Any], root: Mapping[str, Any], model: str | None) -> Any:
    if "examples" in schema:
        return schema["examples"][0]
    if "$ref" in schema:
        return _sample(root["$defs"][schema["$ref"].rpartition("/")[2]], root, model)
    if schema.get("type") == "object" and "properties" in schema:
        required = schema.get("required", ())
        fields = {name: part for name, part in schema["properties"].items() if name in required or "examples" in part}
        return {name: _field(name, part, root, model) for name, part in fields.items()}
    for choice in schema.get("anyOf", ()):
        return _sample(choice, root, model)
    return EMPTY.get(schema.get("type", "string"), "…")


def _field(name: str, schema: Mapping[str, Any], root: Mapping[str, Any], model: str | None) -> Any:
    if name == "model" and model is not None:
        return model
    return WORDS[name] if name in WORDS else _sample(schema, root, model)


def curl(served: Served, url: str, model: str | None) -> str:
    """Write a command for a shell."""
    operation = served.operation
    lines = [f"curl -X {operation.method} {url}{served.path}", "-H 'Authorization: Bearer '\"$YIAPI_API_KEY\""]
    if operation.has_body:
        lines += _json_lines(operation, model) if "json" in operation.accepts else _form_lines(operation, model)
    return " \\\n  ".join(lines)


def _json_lines(operation: Operation, model: str | None) -> list[str]:
    text = msgspec.json.encode(sample_of(operation, model)).decode()
    return ["-H 'Content-Type: application/json'", f"-d {shlex.quote(text)}"]


def _form_lines(operation: Operation, model: str | None) -> list[str]:
    sample = sample_of(operation, model)
    if operation.json_part is not None:
        sample = {operation.json_part: msgspec.json.encode(sample).decode()}
    fields = [f"-F {shlex.quote(f'{name}={value}')}" for name, value in sample.items()]
    files = [f"-F {file.name}=@{file.name}.{ENDINGS[file.kinds[0]]}" for file in operation.files if file.is_required]
    return fields + files


ENDINGS = {"image": "png", "audio": "mp3", "video": "mp4"}

"""``/openapi.json``: every operation and every route of ours as one OpenAPI 3.1 document, in one language."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from yiapi.api import shapes
from yiapi.api.languages import Language
from yiapi.api.routes import Own
from yiapi.api.schemas import schemas_of
from yiapi.providers.contract import Mode, Operation, Provider, Title
from yiapi.providers.registry import Registry, Served

REFERENCE = "#/components/schemas/"
MEDIA = {"json": "application/json", "form": "multipart/form-data"}
OWN_TAG = "YIAPI"
WORDS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "title": "YIAPI, a station for generative AI",
        "answer": "The answer.",
        "passed": "The provider's own answer, with our ids and links in it.",
        "error": "An error; own routes answer in this envelope, a provider's routes in the provider's.",
        "alias": "the same under another path",
    },
    "zh": {
        "title": "YIAPI 全球 AI 分发站",
        "answer": "结果。",
        "passed": "供应商的原始结果,其中的任务编号和链接换成本站的。",
        "error": "错误:本站接口使用此格式,供应商接口使用其自身格式。",
        "alias": "其他路径",
    },
}
OWN_ERRORS = ("400", "401", "403", "404", "429", "503")
CALL_ERRORS = ("400", "401", "402", "403", "404", "429", "502", "503", "504")


def document(registry: Registry, own: Sequence[Own], language: Language, version: str, url: str) -> dict[str, Any]:
    """Make the document."""
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {}
    for provider in registry.providers.values():
        requests = _request_schemas(provider, schemas)
        for served in (one for one in registry.served.values() if one.provider is provider):
            _enter(paths, served, requests.get(served.operation.name), language)
    _enter_own(paths, schemas, own, language)
    return {
        "openapi": "3.1.0",
        "info": {"title": WORDS[language]["title"], "version": version},
        "servers": [{"url": url}],
        "security": [{"bearer": []}, {"x-api-key": []}],
        "tags": [{"name": name} for name in (OWN_TAG, *(one.title for one in registry.providers.values()))],
        "paths": paths,
        "components": {
            "securitySchemes": _security_schemes(registry),
            "schemas": schemas,
            "responses": {"Error": _content(WORDS[language]["error"], {"$ref": REFERENCE + "Error"})},
        },
    }


def _security_schemes(registry: Registry) -> dict[str, Any]:
    names = {"x-api-key", *(name for provider in registry.providers.values() for name in provider.key_headers)}
    headers = {name: {"type": "apiKey", "in": "header", "name": name} for name in sorted(names)}
    return {"bearer": {"type": "http", "scheme": "bearer"}, **headers}


# A provider's operations


def _request_schemas(provider: Provider, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of each operation's request; what they refer to goes into ``schemas``."""
    asked = [operation for operation in provider.operations if operation.has_body]
    made, parts = schemas_of(
        (operation.request for operation in asked), reference=f"{REFERENCE}{provider.slug}.{{name}}"
    )
    schemas |= {f"{provider.slug}.{name}": part for name, part in parts.items()}
    return {operation.name: schema for operation, schema in zip(asked, made, strict=True)}


def _enter(paths: dict[str, dict[str, Any]], served: Served, request: Any, language: Language) -> None:
    """Describe an operation at its path, and at every alias."""
    words = WORDS[language]
    title = _said(served.operation.title, language)
    for number, path in enumerate(served.paths):
        described: dict[str, Any] = {
            "operationId": served.name if number == 0 else f"{served.name}.alias{number}",
            "summary": title if number == 0 else f"{title} ({words['alias']})",
            "tags": [served.provider.title],
            "parameters": _path_parameters(path),
            "responses": {"200": _answer_of(served.operation, words["passed"]), **_errors(CALL_ERRORS)},
        }
        if served.provider.key_headers:
            described["security"] = [{"bearer": []}, *({name: []} for name in served.provider.key_headers)]
        if request is not None:
            described["requestBody"] = _body_of(served.operation, request)
        paths.setdefault(path, {})[served.operation.method.lower()] = described


def _answer_of(operation: Operation, text: str) -> dict[str, Any]:
    kinds = ["application/json"] + ["text/event-stream"] * (operation.mode is Mode.STREAM)
    return {"description": text, "content": {kind: {} for kind in kinds}}


def _body_of(operation: Operation, schema: Any) -> dict[str, Any]:
    """Describe a body; a form has its files beside the fields, or the request as JSON in one part."""
    content = {MEDIA[kind]: {"schema": schema} for kind in operation.accepts}
    if "form" in operation.accepts:
        files: dict[str, Any] = {
            file.name: {"type": "string", "format": "binary"}
            if file.count_max == 1
            else {"type": "array", "items": {"type": "string", "format": "binary"}, "maxItems": file.count_max}
            for file in operation.files
        }
        required: list[str] = [file.name for file in operation.files if file.is_required]
        if operation.json_part is not None:
            form: dict[str, Any] = {
                "type": "object",
                "properties": {operation.json_part: schema, **files},
                "required": [operation.json_part, *required],
            }
        else:
            form = {"allOf": [schema, {"type": "object", "properties": files, "required": required}]}
        content[MEDIA["form"]] = {"schema": form}
    return {"required": True, "content": content}


# Our own routes


def _enter_own(
    paths: dict[str, dict[str, Any]], schemas: dict[str, Any], own: Sequence[Own], language: Language
) -> None:
    named = (shape for route in own for shape in (route.answer, route.body))
    types: list[type[Any]] = list(dict.fromkeys([shapes.Error, *(shape for shape in named if isinstance(shape, type))]))
    made, parts = schemas_of(types, reference=REFERENCE + "{name}")
    schemas |= parts
    schema_of = dict(zip(types, made, strict=True))
    for route in own:
        path = route.path.replace(":path", "")
        text = WORDS[language]["answer"]
        if isinstance(route.answer, str):
            answer: dict[str, Any] = {"description": text, "content": {route.answer: {}}}
        else:
            answer = _content(text, schema_of[route.answer])
        described: dict[str, Any] = {
            "operationId": f"{route.method.lower()}{re.sub(r'[^a-z0-9]+', '_', path)}".rstrip("_"),
            "summary": _said(route.title, language),
            "tags": [OWN_TAG],
            "parameters": [
                *_path_parameters(path),
                *({"name": name, "in": "query", "schema": schema} for name, schema in route.query.items()),
                *({"name": name, "in": "header", "schema": schema} for name, schema in route.headers.items()),
            ],
            "responses": {str(route.status): answer, **_errors(OWN_ERRORS)},
        }
        if route.body is not None:
            content = {MEDIA["json"]: {"schema": schema_of[route.body]}}
            described["requestBody"] = {"required": True, "content": content}
        paths.setdefault(path, {})[route.method.lower()] = described


# What both have


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = re.findall(r"\{(\w+)\}", path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _errors(statuses: Sequence[str]) -> dict[str, Any]:
    return {status: {"$ref": "#/components/responses/Error"} for status in (*statuses, "default")}


def _content(description: str, schema: Any) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA["json"]: {"schema": schema}}}


def _said(title: Title, language: Language) -> str:
    return title.zh if language == "zh" else title.en

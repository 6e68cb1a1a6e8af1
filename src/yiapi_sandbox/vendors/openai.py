"""OpenAI: chat, and the list of models. Contract: contracts/openai.md, sections 0, 1, 2 and 9."""

import hmac
import secrets
from collections.abc import Sequence

from starlette.responses import JSONResponse, Response

from yiapi_sandbox.contract import Call, Invalid, Operation, Problem, Refusal, Vendor, Word
from yiapi_sandbox.vendors import openai_chat, openai_models

CREATED = 1_715_367_049
CODES: dict[Problem, str | None] = {
    "missing": "missing_required_parameter",
    "type": "invalid_type",
    "value": "invalid_value",
    "range": "invalid_value",
    "conflict": "unsupported_parameter",
    "file": "invalid_value",
    "unknown": None,
    "body": None,
    "size": None,
}


async def chat(call: Call) -> Response:
    """POST /v1/chat/completions."""
    return _dressed(call, await openai_chat.complete(call))


async def models(call: Call) -> Response:
    """GET /v1/models."""
    return _dressed(call, JSONResponse({"object": "list", "data": [_model(name) for name in openai_models.NAMES]}))


async def model(call: Call) -> Response:
    """GET /v1/models/{model}."""
    name = call.parameters["model"]
    if name not in openai_models.NAMES:
        raise Invalid("model", "not_found", openai_models.unknown(name))
    return _dressed(call, JSONResponse(_model(name)))


async def picture(call: Call) -> Response:
    """GET a picture that a chat linked to."""
    return await call.sandbox.shelf.serve(call.request, call.parameters["name"].partition(".")[0])


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "system"}


def _dressed(call: Call, response: Response) -> Response:
    """Add the headers that every answer has; they name the vendor's account, too."""
    headers = {
        "x-request-id": f"req_{secrets.token_hex(16)}",
        "openai-processing-ms": str(round((call.steering.delay_s or 0) * 1000) + 12),
        "openai-version": "2020-10-01",
        "openai-organization": "user-sandbox",
        "openai-project": "proj_sandbox",
        "x-ratelimit-limit-requests": "5000",
        "x-ratelimit-limit-tokens": "250000",
        "x-ratelimit-remaining-requests": "4999",
        "x-ratelimit-remaining-tokens": "249900",
        "x-ratelimit-reset-requests": "12ms",
        "x-ratelimit-reset-tokens": "24ms",
    }
    for name, value in headers.items():
        response.headers[name] = value
    return response


# Keys and refusals


def authenticate(call: Call) -> None:
    """Check ``Authorization: Bearer``; a header that is not there has no code."""
    header = call.request.headers.get("authorization", "")
    if not header:
        message = "You didn't provide an API key. You need to provide your API key in an Authorization header."
        raise _refusal(401, message)
    if not hmac.compare_digest(header.encode(), f"Bearer {call.sandbox.key}".encode()):
        raise refuse("auth", call)


def _refusal(
    status: int, message: str, kind: str = "invalid_request_error", param: str | None = None, code: str | None = None
) -> Refusal:
    headers = {"x-request-id": f"req_{secrets.token_hex(16)}", "openai-version": "2020-10-01"}
    if status == 429:
        headers |= {"retry-after": "1", "retry-after-ms": "1000"}
    return Refusal(status, {"error": {"message": message, "type": kind, "param": param, "code": code}}, headers)


def refuse(word: Word, call: Call) -> Refusal:  # noqa: ARG001 - every operation words it alike
    """Say what a steering word asks for in OpenAI's words."""
    match word:
        case "content":
            message = "Your request was rejected as a result of our safety system."
            return _refusal(400, message, code="content_policy_violation")
        case "invalid":
            return _refusal(400, "Invalid value for 'messages'.", param="messages", code="invalid_value")
        case "rate":
            return _refusal(429, "Rate limit reached for requests.", "requests", code="rate_limit_exceeded")
        case "credit":
            message = "You exceeded your current quota, please check your plan and billing details."
            return _refusal(429, message, "insufficient_quota", code="insufficient_quota")
        case "auth":
            return _refusal(401, "Incorrect API key provided: ********.", code="invalid_api_key")
    return _refusal(500, "The server had an error while processing your request.", "server_error")


def invalid(fault: Invalid, call: Call) -> Refusal:  # noqa: ARG001
    """Word a bad request, naming the field."""
    if fault.problem == "not_found":
        return _refusal(404, fault.message, code="model_not_found")
    if fault.problem == "size":
        if fault.field is None:
            return _refusal(413, fault.message)
        return _refusal(400, fault.message, param=fault.field, code="context_length_exceeded")
    if fault.problem == "body":
        return _refusal(400, f"We could not parse the JSON body of your request. ({fault.message})")
    return _refusal(400, f"{fault.message}.", param=fault.field, code=CODES[fault.problem])


def unknown_path(method: str, path: str, other_method: bool) -> Refusal:
    """Answer a path or method that is not there."""
    if other_method:
        return _refusal(405, f"Not allowed to {method[:20]} on {path[:200]}.")
    return _refusal(404, f"Invalid URL ({method[:20]} {path[:200]})")


def _operations() -> Sequence[Operation]:
    return (
        Operation("POST", "/v1/chat/completions", chat, body="json"),
        Operation("GET", "/v1/models", models, kind="query"),
        Operation("GET", "/v1/models/{model}", model, kind="query"),
        Operation("GET", "/cdn/{day}/{name}", picture, kind="link"),
        Operation("GET", "/cdn/download/{day}/{name}", picture, kind="link"),
    )


VENDOR = Vendor(
    slug="openai",
    title="OpenAI",
    operations=_operations(),
    authenticate=authenticate,
    refuse=refuse,
    invalid=invalid,
    unknown_path=unknown_path,
    body_bytes_max=26_214_400,
)

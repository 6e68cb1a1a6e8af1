"""How our own API answers: JSON, a request id on everything, one envelope for errors."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from yiapi.api.services import Tenant
from yiapi.errors import ClientClosed, InternalError, MethodNotAllowed, NotFound, StationError
from yiapi.ids import new_id
from yiapi.logs import get_logger

METHOD_SHOWN_MAX = 20
PATH_SHOWN_MAX = 200
RETRY_DEFAULT_S = 1.0
TYPES = {402: "insufficient_quota", 403: "permission_error", 429: "rate_limit_error"}

Handler = Callable[[Request], Awaitable[Response]]
log = get_logger()


def request_id_of(request: Request) -> str:
    """Return the id of this request, made at the first question."""
    known: str | None = getattr(request.state, "request_id", None)
    if known is None:
        known = request.state.request_id = new_id("req")
    return known


def headers_of(request: Request) -> dict[str, str]:
    """Return the headers that every answer carries."""
    headers = {
        "x-request-id": request_id_of(request),
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
    }
    tenant: Tenant | None = getattr(request.state, "tenant", None)
    return headers | {"x-yiapi-mode": "test"} if tenant is not None and tenant.mode == "test" else headers


def json_answer(request: Request, body: Any, status: int = 200) -> Response:
    """Answer with JSON."""
    return Response(msgspec.json.encode(body), status, headers_of(request), media_type="application/json")


def envelope(error: StationError, request_id: str) -> dict[str, Any]:
    """Say an error in our envelope."""
    return {
        "error": {
            "message": error.message,
            "type": TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "server_error"),
            "code": error.code,
            "param": error.param,
            "request_id": request_id,
        }
    }


def error_answer(request: Request, error: StationError) -> Response:
    """Answer with an error."""
    answer = json_answer(request, envelope(error, request_id_of(request)), error.status)
    wait_s = error.retry_after_s
    if wait_s is None and error.status == 503:
        wait_s = RETRY_DEFAULT_S
    if wait_s is not None:
        answer.headers["retry-after"] = str(max(1, math.ceil(wait_s)))
    return answer


def answering(handler: Handler) -> Handler:
    """Make a handler that answers whatever goes wrong in it; what is not foreseen is logged and told in general words.

    The headers of every answer are added where the handler has not set them.
    """

    async def answer(request: Request) -> Response:
        try:
            said = await handler(request) if "\x00" not in request.scope["path"] else nothing_here(request)
        except StationError as error:
            return error_answer(request, error)
        except ClientDisconnect:
            return error_answer(request, ClientClosed("The caller left."))
        except Exception:
            log.exception("api_broke", request_id=request_id_of(request), path=request.scope["path"])
            return error_answer(request, InternalError("Something went wrong on our side."))
        for name, value in headers_of(request).items():
            said.headers.setdefault(name, value)
        return said

    return answer


def nothing_here(request: Request) -> Response:
    """Answer for a path that is not served, or can name nothing (no id has a NUL, and PostgreSQL takes none)."""
    path = request.scope["path"][:PATH_SHOWN_MAX]
    return error_answer(request, NotFound(f"Nothing is served at {request.method[:METHOD_SHOWN_MAX]} {path}."))


def wrong_method(request: Request, allowed: Iterable[str]) -> Response:
    """Answer for a path that is served, but not by this method."""
    answer = error_answer(request, MethodNotAllowed(f"{request.method[:METHOD_SHOWN_MAX]} is not served here."))
    answer.headers["allow"] = ", ".join(sorted(allowed))
    return answer

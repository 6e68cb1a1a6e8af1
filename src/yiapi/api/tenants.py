"""Who asks: the key is in a header and never in the address, and decides account and mode."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from yiapi.api.answers import Handler, answering, json_answer
from yiapi.api.services import Services, Tenant
from yiapi.errors import PermissionDenied, StationError

TenantHandler = Callable[[Services, Request, Tenant], Awaitable[Any]]


def authenticate(services: Services, request: Request) -> Tenant:
    """Find the tenant by its key.

    Raises InvalidApiKey, and PermissionDenied for a key of the operator, a suspended account or a wrong address.
    """
    try:
        tenant = _tenant(services, request)
    except StationError as error:
        services.node.metrics.refused.labels(error.code).inc()
        raise
    request.state.tenant = tenant
    return tenant


def _tenant(services: Services, request: Request) -> Tenant:
    apikeys = services.node.apikeys
    key = apikeys.authenticate(_key_text(request))
    if key.account is None:
        raise PermissionDenied("A key of the operator has no account.")
    peer = request.client.host if request.client else None
    apikeys.permit(replace(key, operations=None, models=None), "", None, peer)  # what it may call is not asked here
    return Tenant(key.account, key, peer)


def _key_text(request: Request) -> str | None:
    given = request.headers.get("x-api-key")
    if given is not None:
        return given
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else None


def for_tenant(services: Services, handler: TenantHandler) -> Handler:
    """Make a handler that needs a key; what it returns is the JSON of the answer, or an answer."""

    async def answer(request: Request) -> Response:
        tenant = authenticate(services, request)
        said = await handler(services, request, tenant)
        return said if isinstance(said, Response) else json_answer(request, said)

    return answering(answer)

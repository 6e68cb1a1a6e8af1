"""Webhook endpoints, the secret of a tenant's own hooks, and what was delivered."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from yiapi.api.answers import json_answer
from yiapi.api.bodies import read_json
from yiapi.api.lists import before_of, limit_of, page
from yiapi.api.services import Services, Tenant
from yiapi.api.usage import span
from yiapi.clock import rfc3339, rfc3339_or_none
from yiapi.errors import InvalidRequest
from yiapi.webhooks import Delivery, DeliveryStatus, Endpoint, EventType

Events = Annotated[list[EventType], msgspec.Meta(min_length=1, max_length=100)]


class NewEndpoint(msgspec.Struct, forbid_unknown_fields=True):
    """Where to be told, and of what; without ``events`` of everything."""

    url: str
    events: Events | None = None


class EndpointChange(msgspec.Struct, forbid_unknown_fields=True):
    """What is given is changed; ``events`` null means everything."""

    url: str | UnsetType = UNSET
    events: Events | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET


class ReplayOf(msgspec.Struct, forbid_unknown_fields=True, rename={"from_": "from"}):
    """A span of time, of one endpoint or of all; what is dead, unless ``status`` says otherwise."""

    from_: str
    to: str
    endpoint_id: str = ""
    status: DeliveryStatus = DeliveryStatus.DEAD


async def create(services: Services, request: Request, tenant: Tenant) -> Response:
    """``POST /v1/webhook_endpoints``; the secret is shown now and at a rotation. Raises InvalidRequest, Conflict."""
    asked = await read_json(request, NewEndpoint, limit_s=services.node.settings.client_body_s)
    endpoint, secret = await services.node.webhooks.create_endpoint(
        tenant.account_id, tenant.mode, asked.url, _events(asked.events), actor=tenant.key.id
    )
    return json_answer(request, shown(endpoint) | {"secret": secret}, 201)


async def listed(services: Services, request: Request, tenant: Tenant) -> Any:
    """``GET /v1/webhook_endpoints``. Raises InvalidRequest."""
    limit, before = limit_of(request), before_of(request)
    found = await services.node.webhooks.endpoints(tenant.account_id, tenant.mode, before=before, limit=limit + 1)
    return page([shown(one) for one in found], limit, [(one.created_at, one.id) for one in found])


async def show(services: Services, request: Request, tenant: Tenant) -> Any:
    """``GET /v1/webhook_endpoints/{id}``. Raises NotFound, also for another tenant's."""
    return shown(await services.node.webhooks.endpoint(tenant.account_id, tenant.mode, _endpoint_id(request)))


async def change(services: Services, request: Request, tenant: Tenant) -> Any:
    """``PATCH /v1/webhook_endpoints/{id}``. Raises NotFound, InvalidRequest."""
    asked = await read_json(request, EndpointChange, limit_s=services.node.settings.client_body_s)

    def changed(endpoint: Endpoint) -> Endpoint:
        return replace(
            endpoint,
            url=endpoint.url if asked.url is UNSET else asked.url,
            events=endpoint.events if asked.events is UNSET else _events(asked.events),
            enabled=endpoint.enabled if asked.enabled is UNSET else asked.enabled,
        )

    return shown(
        await services.node.webhooks.change_endpoint(
            tenant.account_id, tenant.mode, _endpoint_id(request), changed, actor=tenant.key.id
        )
    )


async def delete(services: Services, request: Request, tenant: Tenant) -> Any:
    """``DELETE /v1/webhook_endpoints/{id}``. Raises NotFound."""
    endpoint_id = _endpoint_id(request)
    await services.node.webhooks.delete_endpoint(tenant.account_id, tenant.mode, endpoint_id, actor=tenant.key.id)
    return {"object": "webhook_endpoint", "id": endpoint_id, "deleted": True}


async def rotate(services: Services, request: Request, tenant: Tenant) -> Any:
    """``POST /v1/webhook_endpoints/{id}/rotate``: the older secret signs along for 24 hours. Raises NotFound."""
    endpoint, secret = await services.node.webhooks.rotate_secret(
        tenant.account_id, tenant.mode, _endpoint_id(request), actor=tenant.key.id
    )
    return shown(endpoint) | {"secret": secret}


async def hook_secret(services: Services, request: Request, tenant: Tenant) -> Response:
    """``POST /v1/hook_secret``: from now on a task's own hook is signed. Again: as a rotation."""
    secret = await services.node.webhooks.new_hook_secret(tenant.account_id, tenant.mode, actor=tenant.key.id)
    return json_answer(request, {"object": "hook_secret", "secret": secret}, 201)


async def deliveries(services: Services, request: Request, tenant: Tenant) -> Any:
    """``GET /v1/webhook_deliveries``, filtered by status, endpoint and task. Raises InvalidRequest."""
    limit, before = limit_of(request), before_of(request)
    filters = {name: request.query_params.get(name, "") for name in ("status", "endpoint_id", "task_id")}
    if filters["status"] and filters["status"] not in set(DeliveryStatus):
        raise InvalidRequest(f"status is one of {', '.join(DeliveryStatus)}.", param="status")
    if any("\x00" in value for value in filters.values()):
        return page([], limit, [])  # no id has a NUL, and PostgreSQL takes none
    found = await services.node.webhooks.deliveries(
        tenant.account_id, tenant.mode, before=before, limit=limit + 1, filters=filters
    )
    return page([delivery(one) for one in found], limit, [(one.created_at, one.id) for one in found])


async def delivery_shown(services: Services, request: Request, tenant: Tenant) -> Any:
    """``GET /v1/webhook_deliveries/{id}``. Raises NotFound, also for another tenant's."""
    return delivery(
        await services.node.webhooks.delivery(tenant.account_id, tenant.mode, request.path_params["delivery_id"])
    )


async def replay(services: Services, request: Request, tenant: Tenant) -> Response:
    """``POST /v1/webhook_deliveries/{id}/replay``. Raises NotFound, Conflict."""
    again = await services.node.webhooks.replay(tenant.account_id, tenant.mode, request.path_params["delivery_id"])
    return json_answer(request, delivery(again), 202)


async def replay_span(services: Services, request: Request, tenant: Tenant) -> Response:
    """``POST /v1/webhook_deliveries/replay``: all of a span of time. Raises InvalidRequest."""
    asked = await read_json(request, ReplayOf, limit_s=services.node.settings.client_body_s)
    from_ms, to_ms = span({"from": asked.from_, "to": asked.to}, services.node.clock.now_ms())
    if "\x00" in asked.endpoint_id:
        raise InvalidRequest("endpoint_id is not one of ours.", param="endpoint_id")
    count = await services.node.webhooks.replay_span(
        tenant.account_id,
        tenant.mode,
        from_ms=from_ms,
        to_ms=to_ms,
        endpoint_id=asked.endpoint_id,
        status=asked.status,
    )
    return json_answer(request, {"object": "webhook_replay", "count": count}, 202)


def shown(endpoint: Endpoint) -> dict[str, Any]:
    """Show an endpoint; never with its secret."""
    return {
        "object": "webhook_endpoint",
        "id": endpoint.id,
        "url": endpoint.url,
        "events": [event.value for event in (EventType if endpoint.events is None else endpoint.events)],
        "enabled": endpoint.enabled,
        "disabled_reason": endpoint.disabled_reason,
        "disabled_at": rfc3339_or_none(endpoint.disabled_at),
        "last_success_at": rfc3339_or_none(endpoint.last_success_at),
        "created_at": rfc3339(endpoint.created_at),
    }


def delivery(one: Delivery) -> dict[str, Any]:
    """Show a delivery with its event and attempts."""
    return {
        "object": "webhook_delivery",
        "id": one.id,
        "endpoint_id": one.endpoint_id,
        "task_id": one.task_id,
        "event": {"id": one.event_id, "type": one.event_type.value, "data": one.data},
        "status": one.status.value,
        "dead_reason": one.dead_reason,
        "attempts": [
            {"time": rfc3339(attempt.time), "status": attempt.status, "excerpt": attempt.excerpt}
            for attempt in one.attempts
        ],
        "next_attempt_at": rfc3339_or_none(one.next_attempt_at),
        "created_at": rfc3339(one.created_at),
    }


def _endpoint_id(request: Request) -> str:
    endpoint_id: str = request.path_params["endpoint_id"]
    return endpoint_id


def _events(given: list[EventType] | None) -> tuple[EventType, ...] | None:
    return None if given is None else tuple(dict.fromkeys(given))

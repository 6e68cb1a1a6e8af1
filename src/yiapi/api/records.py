"""Records of calls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from starlette.requests import Request

from yiapi.api.lists import before_of, limit_of, page
from yiapi.api.services import Services, Tenant
from yiapi.calls import store
from yiapi.clock import rfc3339
from yiapi.db import Row, Transaction
from yiapi.errors import NotFound
from yiapi.money import money_text
from yiapi.providers.contract import Unit


async def listed(services: Services, request: Request, tenant: Tenant) -> Any:
    """``GET /v1/requests``. Raises InvalidRequest."""
    limit, before = limit_of(request), before_of(request)
    await services.node.calls.settled()
    rows = await services.database.read(
        lambda tx: store.requests(tx, tenant.account_id, tenant.mode, before=before, limit=limit + 1)
    )
    return page([record(row) for row in rows], limit, [(row["created_at"], row["id"]) for row in rows])


async def show(services: Services, request: Request, tenant: Tenant) -> Any:
    """``GET /v1/requests/{id}``, with how many attempts it took. Raises NotFound, also for another tenant's."""
    wanted = request.path_params["request_id"]

    def read(tx: Transaction) -> tuple[Row | None, int]:
        found = store.request(tx, tenant.account_id, tenant.mode, wanted)
        return found, len(store.attempts(tx, wanted)) if found is not None else 0

    row, attempts = await services.database.read(read)
    if row is None:  # it may have ended just now
        await services.node.calls.settled()
        row, attempts = await services.database.read(read)
    if row is None:
        raise NotFound("No request of yours has this id.")
    return record(row) | {"attempts": attempts}


def record(row: Row) -> dict[str, Any]:
    """Show a record as callers read it."""
    lines = msgspec.json.decode(row["usage"])
    error = {"code": row["error_code"], "message": row["error_message"]} if row["error_code"] else None
    return {
        "object": "request",
        "id": row["id"],
        "created_at": rfc3339(row["created_at"]),
        "operation": row["operation"],
        "provider": row["provider"],
        "model": row["model"],
        "mode": row["mode"],
        "status": row["status"],
        "http_status": row["http_status"],
        "usage": folded((line["unit"], line["quantity"]) for line in lines),
        "is_estimated": bool(row["is_estimated"]),
        "is_partial": bool(row["is_partial"]),
        "charge": money_text(row["charge"]),
        "duration_ms": row["duration_ms"],
        "first_byte_ms": row["first_byte_ms"],
        "task_id": row["task_id"],
        "key_id": row["key_id"],
        "client_request_id": row["client_request_id"],
        "error": error,
    }


def folded(lines: Iterable[tuple[str, int]]) -> list[dict[str, Any]]:
    """Add up usage by the unit that people see."""
    sums: dict[str, int] = {}
    for unit, quantity in lines:
        seen = Unit(unit).counts_as.value
        sums[seen] = sums.get(seen, 0) + quantity
    return [{"unit": unit, "quantity": quantity} for unit, quantity in sums.items()]

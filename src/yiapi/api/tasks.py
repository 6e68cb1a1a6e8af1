"""One task API over every provider: get, list, wait, cancel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request

from yiapi.api.lists import before_of, limit_of, page
from yiapi.api.services import Node, Services, Tenant
from yiapi.db import Transaction
from yiapi.errors import InvalidRequest
from yiapi.providers.contract import Status
from yiapi.tasks import Task
from yiapi.tasks.render import task_object

WAIT_S_MAX = 60.0
LOOK_UP_S = 5.0
"""While a caller waits: how long until we look whether it is still there, and whether the station is being stopped."""


async def show(services: Services, request: Request, tenant: Tenant) -> Any:
    """``GET /v1/tasks/{id}``; ``Prefer: wait=N`` holds the answer until the end. Raises NotFound, RateLimited."""
    node = services.node
    wait_s = _wait_s(request)
    task = await task_of(services, request, tenant)
    if wait_s and not task.status.is_final:
        slot = node.apikeys.admit(tenant.key, 0)  # whoever waits is one of the account's parallel requests
        try:
            task = await _waited(node, request, task, wait_s)
        finally:
            slot.release()
    return await node.tasks.object(task)


async def task_of(services: Services, request: Request, tenant: Tenant) -> Task:
    """Return the task that a path names. Raises NotFound, also for another tenant's."""
    return await services.node.tasks.get(tenant.account_id, tenant.mode, request.path_params["task_id"])


async def _waited(node: Node, request: Request, task: Task, wait_s: float) -> Task:
    ends_at = node.clock.monotonic() + wait_s
    while not task.status.is_final and not node.is_draining:
        left_s = ends_at - node.clock.monotonic()
        if left_s <= 0 or await request.is_disconnected():
            break
        task = await node.tasks.wait(task, min(left_s, LOOK_UP_S))
    return task


def _wait_s(request: Request) -> float:
    for preference in request.headers.get("prefer", "").split(","):
        name, _, value = preference.strip().partition("=")
        if name.lower() == "wait":
            return min(_seconds(value), WAIT_S_MAX)
    return 0.0


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise InvalidRequest("Prefer: wait is a number of seconds above 0.", param="Prefer")
    return seconds


async def listed(services: Services, request: Request, tenant: Tenant) -> Any:
    """``GET /v1/tasks``, filtered by status, provider and operation. Raises InvalidRequest."""
    limit, before = limit_of(request), before_of(request)
    filters = _filters(services.node, request)
    if filters is None:
        return page([], limit, [])
    tasks = await services.node.tasks.list(
        tenant.account_id, tenant.mode, before=before, limit=limit + 1, filters=filters
    )
    return page(await _objects(services, tasks[:limit]), limit, [(task.created_at, task.id) for task in tasks])


def _filters(node: Node, request: Request) -> dict[str, str] | None:
    """Read what to look for; None where a name says that nothing can be found. Raises InvalidRequest."""
    asked = request.query_params
    filters = {name: asked.get(name, "") for name in ("status", "provider", "operation")}
    if filters["status"] and filters["status"] not in set(Status):
        raise InvalidRequest(f"status is one of {', '.join(Status)}.", param="status")
    is_known = (not filters["provider"] or filters["provider"] in node.registry.providers) and (
        not filters["operation"] or filters["operation"] in node.registry.served
    )
    return filters if is_known else None


async def _objects(services: Services, tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """Show tasks with their assets, read at once."""
    assets = services.node.assets
    ended = [task.id for task in tasks if task.result is not None]

    def read(tx: Transaction) -> dict[str, list[Any]]:
        return {task_id: [assets.view(asset) for asset in assets.of_task(tx, task_id)] for task_id in ended}

    found = await services.database.read(read) if ended else {}
    return [task_object(task, msgspec.to_builtins(found.get(task.id, []))) for task in tasks]


async def cancel(services: Services, request: Request, tenant: Tenant) -> Any:
    """``POST /v1/tasks/{id}/cancel``. Raises NotFound, NotCancellable."""
    tasks = services.node.tasks
    return await tasks.object(await tasks.cancel(tenant.account_id, tenant.mode, request.path_params["task_id"]))

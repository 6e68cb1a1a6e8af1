"""What callers are told of their tasks: every end through the outbox, changes before it where a dialect has them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from yiapi.assets import Assets
from yiapi.db import Database, Transaction
from yiapi.errors import StationError
from yiapi.logs import get_logger
from yiapi.providers.contract import Status, TaskShape
from yiapi.tasks import store
from yiapi.tasks.models import Task
from yiapi.tasks.render import task_object
from yiapi.webhooks import BODY_BYTES_MAX, Endpoint, Event, EventType, Webhooks, envelope

TELLING_AT_ONCE_MAX = 128
TELLING_OF_ACCOUNT_MAX = 16

Render = Callable[[Task, Mapping[str, str], str], Any]
ShapeOf = Callable[[Task], TaskShape]

log = get_logger()


class Outbox:
    """Puts out what happens to tasks. ``render`` writes a task in its dialect."""

    def __init__(
        self, database: Database, assets: Assets, webhooks: Webhooks, render: Render, shape_of: ShapeOf
    ) -> None:
        self._database = database
        self._assets = assets
        self._webhooks = webhooks
        self._render = render
        self._shape_of = shape_of
        self._telling: Counter[str] = Counter()
        self._under_way: set[asyncio.Task[None]] = set()

    def put_out(self, tx: Transaction, ends: Sequence[tuple[Task, Status]]) -> None:
        """Write the events of ends, in their transaction: for the tasks' own hooks, and for the tenants' endpoints.

        Who listens is asked once for each tenant and kind of end, and a task that nobody hears of is not read again.
        """
        known: dict[tuple[str, str, EventType], list[Endpoint]] = {}
        heard: dict[str, tuple[Event, list[Endpoint]]] = {}
        for ended, status in ends:
            kind = EventType(f"task.{status.value}")
            event = Event(account_id=ended.account_id, mode=ended.mode, task_id=ended.id, type=kind)
            key = (ended.account_id, ended.mode, kind)
            if key not in known:
                known[key] = self._webhooks.listeners(tx, event)
            if ended.hook_url is not None or known[key]:
                heard[ended.id] = (event, known[key])
        for task in store.by_ids(tx, heard) if heard else ():
            self._put_out_one(tx, task, *heard[task.id])

    def _put_out_one(self, tx: Transaction, task: Task, event: Event, listeners: list[Endpoint]) -> None:
        if task.hook_url is not None and not task.hook_is_gone:
            self._webhooks.put_out_hook(tx, event, task.hook_url, self._hook_body(tx, task))
        if listeners:
            assets = [msgspec.to_builtins(self._assets.view(asset)) for asset in self._assets.of_task(tx, task.id)]
            body = event_body(event.type, task.finished_at or 0, task_object(task, assets))
            self._webhooks.put_out(tx, event, listeners, body)

    def sent_soon(self) -> None:
        """Say that what was put out is committed."""
        self._webhooks.wake.set()

    def tell_soon(self, task_id: str, account_id: str) -> None:
        """Tell a task's own hook that something changed before its end: one try beside everything else, never kept.

        It is told of the row as it is by then, and of nothing where the task has ended meanwhile, or too much is being
        told already.
        """
        if len(self._under_way) >= TELLING_AT_ONCE_MAX or self._telling[account_id] >= TELLING_OF_ACCOUNT_MAX:
            log.info("change_not_told", task_id=task_id)
            return
        self._telling[account_id] += 1
        telling = asyncio.create_task(self._tell_safely(task_id, account_id))
        self._under_way.add(telling)
        telling.add_done_callback(self._under_way.discard)

    async def finish(self) -> None:
        """Wait for what is being told."""
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _tell_safely(self, task_id: str, account_id: str) -> None:
        try:
            await self._tell(task_id)
        except StationError as error:
            log.info("change_not_told", task_id=task_id, error=error.code)
        except Exception:
            log.exception("telling_broke", task_id=task_id)
        finally:
            self._telling[account_id] -= 1
            if not self._telling[account_id]:
                del self._telling[account_id]

    async def _tell(self, task_id: str) -> None:
        def read(tx: Transaction) -> tuple[Task, str] | None:
            task = store.by_id(tx, task_id)
            if task is None or task.status.is_final or task.hook_url is None or task.hook_is_gone:
                return None
            return task, self._hook_body(tx, task)

        found = await self._database.read(read)
        if found is None:
            return
        task, body = found
        if not await self._webhooks.tell_once(task.account_id, task.mode, task.hook_url or "", body):
            log.info("hook_gone", task_id=task.id)
            await self._database.write(lambda tx: tx.run(store.SQL.end_hook, id=task.id))

    def _hook_body(self, tx: Transaction, task: Task) -> str:
        """Write a task as its dialect's hook gets it."""
        links = {asset.id: self._assets.link(asset) for asset in self._assets.of_task(tx, task.id)}
        body, shape = self._render(task, links, task.request_id), self._shape_of(task)
        return msgspec.json.encode(body.get(shape.hook, body) if shape.hook else body).decode()


def event_body(event_type: EventType, time_ms: int, task: dict[str, Any]) -> str:
    """Write the event of an end for endpoints; what makes it too long is left out, and named beside ``data``.

    The whole is at ``/v1/tasks/{id}``.
    """
    body = envelope(event_type, time_ms, task)
    left_out: list[str] = []
    for name, shorter in _SHORTER.items():
        if len(body.encode()) < BODY_BYTES_MAX:
            break
        task = shorter(task)
        left_out.append(name)
        body = envelope(event_type, time_ms, task, left_out=left_out)
    return body


def _without_text(task: dict[str, Any]) -> dict[str, Any]:
    return task if task["result"] is None else task | {"result": task["result"] | {"text": None}}


def _without_assets(task: dict[str, Any]) -> dict[str, Any]:
    return task if task["result"] is None else task | {"result": task["result"] | {"assets": []}}


_SHORTER: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "result.text": _without_text,
    "metadata": lambda task: task | {"metadata": {}},
    "result.assets": _without_assets,
}

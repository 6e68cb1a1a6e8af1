"""How a task is shown: in its dialect, and as the object of ``/v1/tasks``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from yiapi.assets import Asset
from yiapi.clock import rfc3339, rfc3339_or_none
from yiapi.money import CURRENCY
from yiapi.providers.contract import Status, TaskShape, TaskView
from yiapi.providers.paths import replace
from yiapi.tasks.models import Task
from yiapi.tasks.words import names_of, renamed, renamed_in

ASSET_MARK = "asset:"
"""Stands in a kept answer where a link to an asset belongs; the link is written anew each time it is shown."""


def view_of(task: Task, shape: TaskShape, links: Mapping[str, str]) -> TaskView:
    """Return what a dialect may show of a task. ``links`` maps asset ids to links."""
    answer = task.answer_json()
    if answer is not None and shape.names_ids:
        answer = renamed_in(answer, names_of(task))
    if answer is not None:
        for path in shape.files:
            replace(answer, path, lambda link: _link(link, links))
    return TaskView(
        id=task.id,
        status=task.status,
        progress=task.progress,
        answer=answer,
        external_id=task.external_id,
        error_message=task.error_message and renamed(task.error_message, names_of(task)),
        created_at_ms=task.created_at,
        updated_at_ms=task.finished_at or task.started_at or task.created_at,
        started_at_ms=task.started_at,
        finished_at_ms=task.finished_at,
        asked=None if task.asked is None else msgspec.json.decode(task.asked),
        is_window=task.is_window,
    )


def view_as(task: Task, status: Status, answer: Any) -> TaskView:
    """Return what a dialect may show of a task that has just been taken; no file of it is kept yet."""
    return TaskView(
        id=task.id,
        status=status,
        progress=0,
        answer=answer,
        external_id=task.external_id,
        error_message=None,
        created_at_ms=task.created_at,
        updated_at_ms=task.created_at,
        asked=None if task.asked is None else msgspec.json.decode(task.asked),
    )


def _link(link: Any, links: Mapping[str, str]) -> Any:
    if isinstance(link, str) and link.startswith(ASSET_MARK):
        return links.get(link.removeprefix(ASSET_MARK))
    return link


def task_object(task: Task, assets: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the object of our own API; ``assets`` are the assets as callers read them."""
    names = names_of(task)
    result = None
    if task.result is not None:
        text = msgspec.json.decode(task.result)["text"]
        result = {"text": text and renamed(text, names), "assets": assets}
    message = task.error_message and renamed(task.error_message, names)
    error = {"code": task.error_code, "message": message} if task.error_code else None
    return {
        "object": "task",
        "id": task.id,
        "operation": task.operation,
        "provider": task.provider,
        "model": task.model,
        "mode": task.mode,
        "status": task.status.value,
        "progress": task.progress,
        "created_at": rfc3339(task.created_at),
        "started_at": rfc3339_or_none(task.started_at),
        "finished_at": rfc3339_or_none(task.finished_at),
        "deadline_at": rfc3339(task.deadline_at),
        "result": result,
        "error": error,
        "charge": {"held": str(task.held), "captured": str(task.captured), "currency": CURRENCY},
        "metadata": msgspec.json.decode(task.metadata),
    }


def links_of(assets: list[Asset], link: Any) -> dict[str, str]:
    """Map asset ids to links."""
    return {asset.id: link(asset) for asset in assets}

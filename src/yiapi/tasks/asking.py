"""Asking vendors: about one task, about many, and to stop one. Always at the channel and account that made it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from yiapi.channels import Channel, Channels
from yiapi.dispatch import AttemptFailed, Errand, Exchange, decoded, malformed, refused_inside
from yiapi.ids import new_id
from yiapi.providers.contract import Batch, Fault, read
from yiapi.tasks.waiting import Waiting
from yiapi.upstream import Limits

POLL_LIMITS = Limits(first_byte_s=30.0, total_s=60.0)
CANCEL_LIMITS = Limits(first_byte_s=10.0, total_s=10.0)
ID_CHARACTERS = "/:@!$&'()*+,;=-._~"
JSON_HEADERS = ((b"content-type", b"application/json"),)

_CHANNEL_FAULTS = frozenset(
    {
        Fault.UNAVAILABLE,
        Fault.TIMEOUT,
        Fault.RATE_LIMITED,
        Fault.CREDENTIAL,
        Fault.UPSTREAM_CREDIT,
        Fault.MALFORMED,
    }
)


class NobodyToAsk(Exception):
    """The channel is gone, or there is neither the vendor's id nor a way to find the task without it."""


def is_of_channel(failed: AttemptFailed) -> bool:
    """Whether a failed look says something about the channel, and not about the task alone."""
    return failed.fault in _CHANNEL_FAULTS


class Asker:
    """Sends the queries of a worker."""

    def __init__(self, channels: Channels, exchange: Exchange) -> None:
        self._channels = channels
        self._exchange = exchange

    async def one(self, task: Waiting) -> Any:
        """Return what the vendor says about one task. Raises AttemptFailed, NobodyToAsk."""
        path = _path_of(task)
        if path is None:
            raise NobodyToAsk
        answer = await self._send(task, task.request_id, "GET", path, b"", POLL_LIMITS)
        if not isinstance(answer, dict):
            raise malformed(_errand(task, task.request_id))
        return answer

    async def many(self, batch: Batch, tasks: Sequence[Waiting]) -> dict[str, Any]:
        """Return what the vendor says about many tasks, by its ids. Raises AttemptFailed, NobodyToAsk."""
        request_id = new_id("look")
        path = batch.path.format(path=tasks[0].operation.vendor_path)
        body = msgspec.json.encode(batch.body([task.vendor_task_id or "" for task in tasks]))
        answer = await self._send(tasks[0], request_id, batch.method, path, body, POLL_LIMITS)
        items = read(answer, batch.items) if batch.items else answer
        if not isinstance(items, list):
            raise malformed(_errand(tasks[0], request_id))
        return {str(read(item, batch.id)): item for item in items if isinstance(item, dict)}

    async def stop(self, task: Waiting) -> None:
        """Tell the vendor that nobody wants this task any more. Raises AttemptFailed, NobodyToAsk."""
        shape = task.shape
        if shape.cancel is None or task.vendor_task_id is None:
            raise NobodyToAsk
        path = shape.cancel.path.format(path=task.operation.vendor_path, id=_quoted(task.vendor_task_id))
        await self._send(task, task.request_id, shape.cancel.method, path, b"", CANCEL_LIMITS)

    async def _send(self, task: Waiting, request_id: str, method: str, path: str, body: bytes, limits: Limits) -> Any:
        channel = self._channels.get(task.channel_id or "")
        credential = channel.credential(task.credential_id) if channel is not None else None
        if channel is None or credential is None:
            raise NobodyToAsk
        errand = _errand(task, request_id)
        response = await self._exchange.send(
            errand,
            channel,
            credential,
            method=method,
            path=path,
            headers=JSON_HEADERS if body else (),
            body=body,
            limits=limits,
        )
        return self._read(errand, channel, await self._exchange.read(errand, channel, response))

    def _read(self, errand: Errand, channel: Channel, body: bytes) -> Any:
        answer = decoded(body)
        inside = errand.provider.faults.inside
        if inside is not None and isinstance(answer, dict) and inside(answer):
            raise refused_inside(errand, channel, answer)
        return answer


def _errand(task: Waiting, request_id: str) -> Errand:
    return Errand(
        provider=task.provider,
        operation=task.operation,
        mode="",
        price_group="",
        model="",
        request_id=request_id,
        kind="chat",
        deadline_at=0.0,
    )


def _path_of(task: Waiting) -> str | None:
    """Return the vendor's path for one task: by its own id, else by the reference of ours that went up."""
    operation, shape = task.operation, task.shape
    if task.vendor_task_id is not None and shape.poll is not None:
        return shape.poll.format(path=operation.vendor_path, id=_quoted(task.vendor_task_id))
    if task.vendor_task_id is None and shape.find is not None and task.provider.reference is not None:
        return shape.find.format(path=operation.vendor_path, reference=task.id)
    return None


def _quoted(vendor_task_id: str) -> str:
    return quote(vendor_task_id, safe=ID_CHARACTERS)

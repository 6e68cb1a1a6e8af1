"""Following a task: server-sent events from now, or from the last one seen, until the task has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from yiapi.api.answers import envelope, headers_of, request_id_of
from yiapi.api.services import Services, Tenant
from yiapi.api.tasks import task_of
from yiapi.apikeys import Slot
from yiapi.errors import Draining, InternalError, InvalidRequest, StationError, StorageUnavailable
from yiapi.logs import get_logger
from yiapi.tasks import Task

PAUSE_S = 0.25
COMMENT_S = 15.0
STALLED_S = 30.0  # how long a reader may take nothing
EVENT_ID_DIGITS_MAX = 18

log = get_logger()


async def events(services: Services, request: Request, tenant: Tenant) -> Response:
    """``GET /v1/tasks/{id}/events``. Raises NotFound, InvalidRequest, RateLimited.

    An event's id is the version of the row. ``progress`` for each change, ``completed`` at the end; whoever has seen
    the end gets nothing more. ``error`` where the station cannot go on: come back with the last id.
    """
    task = await task_of(services, request, tenant)
    seen = _last_seen(request)
    headers = headers_of(request) | {"cache-control": "no-cache", "content-type": "text/event-stream; charset=utf-8"}
    if request.method == "HEAD":
        return Response(headers=headers)
    slot = services.node.apikeys.admit(tenant.key, 0)  # whoever follows is one of the account's parallel requests
    return EventStream(follow(services, request, task, min(seen, task.version)), slot, headers)


def _last_seen(request: Request) -> int:
    text = request.headers.get("last-event-id", "").strip() or "0"
    if not (text.isascii() and text.isdigit() and len(text) <= EVENT_ID_DIGITS_MAX):
        raise InvalidRequest("Last-Event-ID is not one of ours.", param="Last-Event-ID")
    return int(text)


async def follow(services: Services, request: Request, task: Task, seen: int) -> AsyncGenerator[bytes, None]:
    """Yield an event for each change that is seen; an outage of the database is waited out."""
    node = services.node
    spoke_at = node.clock.monotonic()
    while True:
        if task.version > seen:
            name = b"completed" if task.status.is_final else b"progress"
            body = msgspec.json.encode(await node.tasks.object(task))
            yield b"id: %d\nevent: %b\ndata: %b\n\n" % (task.version, name, body)
            seen, spoke_at = task.version, node.clock.monotonic()
        if task.status.is_final:
            return
        if node.is_draining:
            yield in_band(request, Draining("The station is being stopped; come back with the last id."))
            return
        if node.clock.monotonic() - spoke_at >= COMMENT_S:
            spoke_at = node.clock.monotonic()
            yield b": keep-alive\n\n"
        await asyncio.sleep(PAUSE_S)
        try:
            task = await node.tasks.get(task.account_id, task.mode, task.id)
        except StorageUnavailable:
            continue


def in_band(request: Request, error: StationError) -> bytes:
    """Say an error within a stream."""
    return b"event: error\ndata: %b\n\n" % msgspec.json.encode(envelope(error, request_id_of(request)))


class EventStream(Response):
    """Sends events until there are no more, the reader leaves, or it takes nothing for too long."""

    def __init__(self, stream: AsyncGenerator[bytes, None], slot: Slot, headers: dict[str, str]) -> None:
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._stream = stream
        self._slot = slot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream; its place is free again when it is over, however it ends."""
        sending = asyncio.create_task(self._send(Request(scope), send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
            self._slot.release()

    async def _send(self, request: Request, send: Send) -> None:
        async def in_time(body: bytes, *, more: bool) -> None:
            async with asyncio.timeout(STALLED_S):
                await send({"type": "http.response.body", "body": body, "more_body": more})

        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async with aclosing(self._stream):
                async for event in self._stream:
                    await in_time(event, more=True)
        except OSError:
            return  # nobody reads
        except StationError as error:
            await in_time(in_band(request, error), more=True)
        except Exception:
            log.exception("events_broke", path=request.scope["path"])
            await in_time(in_band(request, InternalError("Something went wrong on our side.")), more=True)
        await in_time(b"", more=False)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

"""Lets an ASGI application answer what is no call of the relay, on the same port and connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

from yiapi.edge.heads import lines_of
from yiapi.edge.inbound import CallerGone, Inbound
from yiapi.ids import new_id

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

GONE: Message = {"type": "http.disconnect"}
UNREADABLE = (
    b'{"error": {"message": "The path is not UTF-8.", "code": "invalid_request", "type": "invalid_request_error"}}'
)


class AsgiBridge:
    """Hands requests to an application."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, inbound: Inbound) -> None:
        """Serve one request."""
        scope = scope_of(inbound)
        if scope is None:
            lines = b"content-type: application/json\r\nx-request-id: %b\r\n" % new_id("req").encode()
            inbound.answer(400, lines, UNREADABLE)
            return
        exchange = _Exchange(inbound)
        inbound.on_leave(exchange.leave)
        try:
            await self._application(scope, exchange.receive, exchange.send)
        except Exception as error:
            if not exchange.is_cut:
                raise
            raise CallerGone from error
        if exchange.is_cut and not inbound.has_begun:
            raise CallerGone


def scope_of(inbound: Inbound) -> Scope | None:
    """Describe a request as ASGI does; None for a target that is no text."""
    raw_path, query = inbound.path, inbound.query
    try:
        path = unquote(raw_path.decode("ascii"), errors="strict")
    except UnicodeDecodeError:
        return None
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": inbound.version,
        "scheme": "http",
        "method": inbound.method,
        "root_path": "",
        "path": path,
        "raw_path": raw_path,
        "query_string": query,
        "headers": inbound.pairs,
        "client": (inbound.peer, 0) if inbound.peer else None,
        "server": None,
        "state": {},
    }


class _Exchange:
    """The two callables of one request."""

    def __init__(self, inbound: Inbound) -> None:
        self._inbound = inbound
        self._has_read_all = False
        self.is_cut = False  # the request broke off: what the application says to that is not for the caller
        self._gone = asyncio.Event()
        self._head: tuple[int, list[tuple[bytes, bytes]]] | None = None

    def leave(self) -> None:
        """Note that the caller is gone."""
        self._gone.set()

    async def receive(self) -> Message:
        """Return the next part of the body, and after it that the caller has left, when it has."""
        inbound = self._inbound
        if not self._has_read_all:
            try:
                piece = await inbound.chunk()
            except CallerGone:
                self.is_cut = True
                return GONE
            self._has_read_all = inbound.is_complete
            return {"type": "http.request", "body": piece, "more_body": not self._has_read_all}
        if not inbound.has_left:
            await self._gone.wait()  # who has only ended its own side may still listen
        return GONE

    async def send(self, message: Message) -> None:
        """Write a part of the answer."""
        inbound = self._inbound
        if self.is_cut and not inbound.has_begun:
            return
        if message["type"] == "http.response.start":
            pairs = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
            if any(b"\r" in value or b"\n" in value for _, value in pairs):
                raise ValueError("a header has a line break")
            self._head = (message["status"], pairs)
            return
        body, is_last = message.get("body", b""), not message.get("more_body", False)
        if self._head is not None:
            (status, pairs), self._head = self._head, None
            size = next((int(value) for name, value in pairs if name.lower() == b"content-length"), None)
            head = lines_of([pair for pair in pairs if pair[0].lower() not in {b"content-length", b"date"}])
            if is_last and size in {None, len(body)} and inbound.method != "HEAD":
                inbound.answer(status, head, body)
                return
            inbound.begin(status, head, size_bytes=size)
        if is_last:
            inbound.end(body)
        else:
            inbound.write(body)
            await inbound.drained()

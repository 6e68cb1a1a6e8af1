"""Answers that are no answers: reset, silence, nonsense, and a stream that breaks half way.

They need the connection itself, which the server puts into the scope as ``scope["state"]["connection"]``.
"""

import asyncio
import contextlib
import socket
import struct
from typing import Protocol

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from yiapi_sandbox.streams import EventStream

SILENCE_S_MAX = 900


class Connection(Protocol):
    """The caller's connection, as far as it can be broken."""

    def get_extra_info(self, name: str) -> socket.socket | None:
        """Return the socket for the name ``socket``."""

    def abort(self) -> None:
        """Close without sending what waits."""

    def close(self) -> None:
        """Send what waits, then close."""


def connection(scope: Scope) -> Connection | None:
    """Return the caller's connection; there is none without a real server."""
    found: Connection | None = scope.get("state", {}).get("connection")
    return found


class Reset(Response):
    """Resets the connection before any byte was sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Abort; lingering of zero seconds makes the system send a reset instead of an orderly end."""
        peer = connection(scope)
        if peer is None:
            raise ConnectionResetError
        if sock := peer.get_extra_info("socket"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.abort()


class Silence(Response):
    """Says nothing until the caller has left."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Wait for the caller to leave, though not for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SILENCE_S_MAX):
                while (await receive())["type"] != "http.disconnect":
                    pass
        if peer := connection(scope):
            peer.abort()


class Garbage(Response):
    """A 200 that no client can make sense of."""

    def __init__(self) -> None:
        super().__init__("<html><body>%$#@! 0x00 \ufffd it is not what you asked for", 200, media_type="text/html")


class Cut(Response):
    """Another answer, of which half is sent before the connection closes without the end mark."""

    def __init__(self, whole: Response) -> None:
        super().__init__()
        self._whole = whole

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send half of the events of a stream, or half of the bytes of anything else."""
        sent: list[Message] = []

        async def keep(message: Message) -> None:
            sent.append(message)

        await self._whole(scope, receive, keep)
        head, *parts = sent
        bodies = [part["body"] for part in parts if part.get("body")]
        half = bodies[: len(bodies) // 2] if isinstance(self._whole, EventStream) else [_half(bodies)]
        await send(head)
        for body in half:
            await send({"type": "http.response.body", "body": body, "more_body": True})
        if peer := connection(scope):
            peer.close()


def _half(bodies: list[bytes]) -> bytes:
    body = b"".join(bodies)
    return body[: len(body) // 2]

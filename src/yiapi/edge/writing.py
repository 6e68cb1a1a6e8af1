"""Write answers to a connection: heads, whole answers, pieces of a body."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Final, Protocol

from yiapi.cork import Cork
from yiapi.edge.heads import status_line
from yiapi.edge.inbound import Inbound
from yiapi.edge.limits import EdgeLimits
from yiapi.edge.parsing import RequestParser
from yiapi.edge.refusals import Refusal

CLOSE: Final = b"connection: close\r\n"
_KEEP: Final = b"connection: keep-alive\r\n"  # HTTP/1.0 wants to be told
_CHUNKED: Final = b"transfer-encoding: chunked\r\n\r\n"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_BODILESS: Final = frozenset({204, 304})
_CHUNK_HEADS: Final = tuple(b"%x\r\n" % size_bytes for size_bytes in range(1024))
"""Of the sizes that events of streams have."""


def _chunk(piece: bytes) -> bytes:
    """Frame a piece of a body whose length nobody knows yet."""
    size_bytes = len(piece)
    head = _CHUNK_HEADS[size_bytes] if size_bytes < len(_CHUNK_HEADS) else b"%x\r\n" % size_bytes
    return b"".join((head, piece, b"\r\n"))


class Owner(Protocol):
    """The listening end that a connection belongs to."""

    limits: EdgeLimits
    connections: set[Any]
    is_draining: bool
    date_line: bytes
    refusal: Refusal
    begin: Callable[[Inbound], bool] | None
    """Begins with a request that is whole; False where a task has to answer it."""

    async def serve(self, inbound: Inbound) -> None:
        """Have a request answered, whatever happens."""


class AnswerWriter(RequestParser):
    """The sending half of a connection."""

    __slots__ = ("_blocked_since", "_cork", "_edge", "_transport")

    _transport: asyncio.Transport

    def __init__(self, edge: Owner, cork: Cork) -> None:
        super().__init__(edge.limits)
        self._edge = edge
        self._cork = cork
        self._blocked_since = 0.0

    @abstractmethod
    def abort(self) -> None:
        """Cut the connection."""

    def _send(self, piece: bytes) -> None:
        self._cork.write(self._transport, piece)

    def invite(self) -> None:
        """Tell a caller that waits with its body to send it."""
        self._send(_CONTINUE)

    def answer(self, inbound: Inbound, status: int, head: bytes, body: bytes) -> None:
        """Write a whole answer."""
        if inbound.has_left:
            return
        inbound.has_begun = inbound.has_answered = True
        edge = self._edge
        close = b""
        if not (inbound.keeps_connection and inbound.is_complete) or edge.is_draining:
            inbound.keeps_connection = False
            close = CLOSE
        elif inbound.version == "1.0":
            close = _KEEP
        length = b"" if status in _BODILESS else b"content-length: %d\r\n" % len(body)
        if inbound.method == "HEAD" or status in _BODILESS:
            body = b""
        self._cork.write(
            self._transport, b"".join((status_line(status), head, close, edge.date_line, length, b"\r\n", body))
        )

    def begin(self, inbound: Inbound, status: int, head: bytes, size_bytes: int | None) -> None:
        """Write the head of an answer; without a size the body goes in chunks, or ends with the connection."""
        if inbound.has_left:
            return
        inbound.has_begun = True
        inbound.is_bare = inbound.method == "HEAD" or status in _BODILESS
        tail = b"\r\n"
        if status in _BODILESS:
            pass
        elif size_bytes is not None:
            tail = b"content-length: %d\r\n\r\n" % size_bytes
            inbound.left_bytes = size_bytes
        elif inbound.version != "1.0":
            tail = _CHUNKED
            inbound.is_chunked = not inbound.is_bare
        elif not inbound.is_bare:
            inbound.keeps_connection = False  # the body ends where the connection does
        close = b""
        if not (inbound.keeps_connection and inbound.is_complete) or self._edge.is_draining:
            inbound.keeps_connection = False
            close = CLOSE
        elif inbound.version == "1.0":
            close = _KEEP
        self._send(b"".join((status_line(status), head, close, self._edge.date_line, tail)))

    def write(self, inbound: Inbound, piece: bytes, *, is_last: bool) -> bool:
        """Write a piece of a body; True when the caller does not keep up."""
        if is_last:
            inbound.has_answered = True
        if inbound.has_left or inbound.is_bare:
            return False
        if inbound.is_chunked:
            piece = _chunk(piece) if piece else b""
            if is_last:
                piece += b"0\r\n\r\n"
        elif inbound.left_bytes >= 0:
            inbound.left_bytes -= len(piece)
            if inbound.left_bytes < 0 or (is_last and inbound.left_bytes):
                self.abort()  # another size than was announced: what follows would be read as part of it
                return False
        if piece:
            self._send(piece)
        return self._blocked_since > 0.0

    @property
    def is_blocked(self) -> bool:
        """Whether the caller does not keep up."""
        return self._blocked_since > 0.0

"""One request of a caller: its head, its body as it comes, and the way back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from yiapi.edge.heads import HeaderPairs


class CallerGone(Exception):
    """The caller left before its request was whole."""


class Line(Protocol):
    """The connection that a request came in on, as far as the request needs to know it."""

    loop: asyncio.AbstractEventLoop
    unread_bytes_max: int

    @property
    def is_blocked(self) -> bool:
        """Whether the caller does not keep up."""

    def pause(self) -> None:
        """Stop reading."""

    def resume(self) -> None:
        """Read on."""

    def invite(self) -> None:
        """Tell the caller that its body is wanted."""

    def answer(self, inbound: Inbound, status: int, head: bytes, body: bytes) -> None:
        """Write a whole answer."""

    def begin(self, inbound: Inbound, status: int, head: bytes, size_bytes: int | None) -> None:
        """Write the head of an answer."""

    def write(self, inbound: Inbound, piece: bytes, *, is_last: bool) -> bool:
        """Write a piece of the body; True when the caller does not keep up."""

    async def drained(self) -> None:
        """Wait until the caller has read most of what was written."""

    def hand_over(self, inbound: Inbound) -> None:
        """Have a request answered by the task of the connection."""

    def done(self, inbound: Inbound) -> None:
        """Go on to the next request."""


class Head:
    """What the head of a request says; names of headers are lower case, of repeated ones ``headers`` has the last.

    Requests that come with the same head share it, so nobody changes it. ``known`` is for who serves the request: what
    was worked out of the head, so that it need not be once more.
    """

    __slots__ = ("headers", "keeps_connection", "known", "method", "pairs", "path", "peer", "query", "version")

    def __init__(
        self,
        method: str,
        target: bytes,
        pairs: HeaderPairs,
        headers: dict[bytes, bytes],
        *,
        version: str,
        peer: str | None,
        keeps_connection: bool,
    ) -> None:
        self.method = method
        self.path, _, self.query = target.partition(b"?")
        self.pairs = pairs
        self.headers = headers
        self.version = version
        self.peer = peer
        self.keeps_connection = keeps_connection
        self.known: Any = None


class Inbound:
    """A request whose head has arrived.

    Exactly one task may read the body. Writing to a caller that has left does nothing.
    """

    task: asyncio.Task[None] | None = None  # the one that has it answered
    has_answered = False  # all of the answer is written
    has_begun = False  # the answer's head is written
    has_left = False  # the connection is gone
    hung_up_at = 0.0  # when the caller ended its side, by the monotonic clock; it may still listen
    is_chunked = False
    is_complete = False  # the whole body has arrived, read or not
    is_taken = False  # it is being answered
    is_paused = False  # the connection was told to wait, because nobody reads the body
    is_bare = False  # the answer has no body, whatever is written
    left_bytes = -1  # that are still to be written, where the size of the answer was announced
    _on_leave: Callable[[], object] | None = None
    _on_drain: Callable[[], object] | None = None
    _own_length: bytes | None = None
    _unread_bytes = 0
    _waiter: asyncio.Future[None] | None = None

    begun: Any = None
    """What has been done for it already, when it is handed over to the task of its connection."""

    def __init__(self, line: Line, head: Head) -> None:
        self.head = head
        self.method = head.method
        self.path = head.path
        self.query = head.query
        self.pairs = head.pairs
        self.headers = head.headers
        self.version = head.version
        self.peer = head.peer
        self.keeps_connection = head.keeps_connection
        self._line = line
        self._pieces: list[bytes] = []
        self._is_invited = b"expect" not in head.headers or head.version == "1.0"

    def on_leave(self, told: Callable[[], object]) -> None:
        """Say who is told when the caller is gone."""
        self._on_leave = told

    def on_drain(self, told: Callable[[], object]) -> None:
        """Say who is told, once, when the caller has read most of what was written."""
        self._on_drain = told

    # The body

    def taken(self) -> bytes:
        """Return what has arrived of the body and was not read yet."""
        pieces = self._pieces
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._unread_bytes = 0
        return piece

    async def chunk(self) -> bytes:
        """Return what has arrived of the body, waiting for at least one byte; empty at its end. Raises CallerGone."""
        while not self._pieces:
            if self.is_complete:
                return b""
            if self.has_left or self.hung_up_at:
                raise CallerGone
            if not self._is_invited:
                self._is_invited = True
                self._line.invite()
            if self.is_paused:
                self.is_paused = False
                self._line.resume()
            self._waiter = self._line.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._is_invited = True  # or came without waiting for it
        return self.taken()

    # The answer

    def answer(self, status: int, head: bytes, body: bytes) -> None:
        """Write a whole answer. ``head`` is header lines, each with its end; length and date are added."""
        self._line.answer(self, status, head, body)

    def begin(self, status: int, head: bytes, *, size_bytes: int | None = None) -> None:
        """Write the head of an answer whose body follows in pieces, of a size that may be unknown."""
        self._line.begin(self, status, head, size_bytes)

    def write(self, piece: bytes) -> bool:
        """Write a piece; True when the caller does not keep up: who writes more waits with ``drained``."""
        return self._line.write(self, piece, is_last=False)

    @property
    def unread_bytes(self) -> int:
        """Return how much of the body has arrived and was not read yet."""
        return self._unread_bytes

    @property
    def is_blocked(self) -> bool:
        """Whether the caller does not keep up with what is written."""
        return self._line.is_blocked

    async def drained(self) -> None:
        """Wait until the caller has read most of what was written, or is gone."""
        await self._line.drained()

    def end(self, piece: bytes = b"") -> None:
        """Write the last piece."""
        self._line.write(self, piece, is_last=True)

    # Who answers

    def hand_over(self, begun: Any) -> None:
        """Have the rest done by the task of the connection."""
        self.begun = begun
        self._line.hand_over(self)

    def done(self) -> None:
        """Tell the connection that this request is answered."""
        self._line.done(self)

    # The rest is for the connection.

    def came_again(self, body: bytes, length: bytes) -> None:
        """Take a body that came in one piece with a head that is known, but for the length it says."""
        if body:
            self._pieces.append(body)
            self._unread_bytes = len(body)
        self.is_complete = True
        self._own_length = length

    def tell_length(self) -> None:
        """Put the length of its own among the headers, for whoever looks there."""
        length, self._own_length = self._own_length, None
        if length is not None:
            name = b"content-length"
            self.headers = self.headers | {name: length}
            self.pairs = [(key, length if key == name else value) for key, value in self.pairs]

    def arrived(self, piece: bytes) -> None:
        """Take a piece of the body; where nobody reads, the connection is told to wait."""
        self._pieces.append(piece)
        self._unread_bytes += len(piece)
        if self._waiter is not None:
            self._wake()
        elif self._unread_bytes > self._line.unread_bytes_max and not self.is_paused:
            self.is_paused = True
            self._line.pause()

    def completed(self) -> None:
        """Note the end of the body."""
        self.is_complete = True
        self._wake()

    def hung_up(self, at: float) -> None:
        """Note that the caller will send no more; whether it still listens, nobody knows."""
        self.hung_up_at = at
        self._wake()

    def left(self) -> None:
        """Note that the caller is gone."""
        self.has_left = True
        self._wake()
        if self._on_leave is not None:
            self._on_leave()

    def drains(self) -> None:
        """Note that the caller has caught up."""
        told, self._on_drain = self._on_drain, None
        if told is not None:
            told()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

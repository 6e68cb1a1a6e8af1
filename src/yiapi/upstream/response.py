"""One answer on its way in."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from yiapi.upstream.decoding import Decoder
from yiapi.upstream.errors import AnswerTooLarge, ConnectionLost, UpstreamError
from yiapi.upstream.target import Limits

UNREAD_BYTES_MAX = 64 * 1024

_REFUSALS = 300
_DESCRIBES_COMPRESSED = frozenset({b"content-encoding", b"content-length"})


class Source(Protocol):
    """The connection that an answer comes from, as far as the answer needs to know it."""

    loop: asyncio.AbstractEventLoop

    def pause(self) -> None:
        """Stop reading."""

    def resume(self) -> None:
        """Read on."""

    def drop(self) -> None:
        """Give the connection up."""

    def limit(self, seconds: float) -> None:
        """Let the answer take no longer than this from now on."""


class Response:
    """An answer whose head has arrived; the body is read with ``read`` or ``chunk``.

    Names of headers are lower case. Where the peer compressed the body unasked, it is decoded and
    the headers that describe the compressed form are taken out. Exactly one task may read. Who
    does not read to the end calls ``close``, or the connection stays taken until the total limit.
    """

    __slots__ = (
        "_collecting",
        "_complete",
        "_decoder",
        "_error",
        "_parts",
        "_paused",
        "_size_bytes",
        "_source",
        "_then",
        "_unread_bytes",
        "_waiter",
        "first_byte_at",
        "headers",
        "reused",
        "sent_at",
        "size_bytes_max",
        "status",
    )

    def __init__(
        self,
        source: Source,
        limits: Limits,
        sent_at: float,
        *,
        reused: bool,
        then: "Callable[[Response], None] | None" = None,
    ) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.sent_at = sent_at  # by the monotonic clock, when the request was written
        self.first_byte_at = 0.0  # by the monotonic clock, when the head of the answer arrived
        self.reused = reused  # whether the connection had served a call before
        self._source = source
        self.size_bytes_max = limits.answer_bytes_max
        self._parts: list[bytes] = []
        self._unread_bytes = 0
        self._size_bytes = 0
        self._complete = False
        self._collecting = then is not None
        self._then = then
        self._paused = False
        self._decoder: Decoder | None = None
        self._error: UpstreamError | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def first_byte_s(self) -> float:
        """Return how long the peer took to begin its answer, in seconds."""
        return self.first_byte_at - self.sent_at

    @property
    def is_final(self) -> bool:
        """Whether the answer is a refusal or already complete, so that the rest of a request is not wanted."""
        return self._complete or self.status >= _REFUSALS

    @property
    def is_complete(self) -> bool:
        """Whether the whole body has arrived, read or not."""
        return self._complete

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of a header, given by its lower-case name."""
        for known, value in self.headers:
            if known == name:
                return value
        return None

    async def read(self) -> bytes:
        """Return the rest of the body. Raises UpstreamError; what had arrived is then given up."""
        await self.collect()
        return self.whole()

    async def collect(self) -> None:
        """Wait until the answer has ended, for ``whole``."""
        if not self._complete:
            self._collecting = True
            self._resume()
            while not self.has_ended:
                await self._more()

    def whole(self) -> bytes:
        """Return the body of an answer that has ended. Raises UpstreamError."""
        if self._error is not None:
            self._parts.clear()
            raise self._error
        return self._take()

    async def chunk(self) -> bytes:
        """Return whatever has arrived, waiting for at least one byte; empty at the clean end.

        Raises UpstreamError once everything that arrived before the failure was returned.
        """
        while not self._parts:
            if self._error is not None:
                raise self._error
            if self._complete:
                return b""
            self._resume()
            await self._more()
        return self._take()

    # Read in callbacks

    def follow(self, then: "Callable[[Response], None]") -> None:
        """Have this called whenever something has arrived, and when the answer has ended; it reads ``at_hand``."""
        self._then = then
        self._collecting = False
        if self._parts or self.has_ended:
            self._tell(then)
        else:
            self._resume()

    def at_hand(self) -> bytes:
        """Return what has arrived of the body and was not read yet."""
        parts = self._parts
        if not parts:
            return b""
        if self._paused:
            self._resume()
        piece = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._unread_bytes = 0
        return piece

    async def more(self) -> None:
        """Wait until something has arrived that was not read yet, or the answer has ended."""
        if not self._parts and not self.has_ended:
            self._resume()
            await self._more()

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come, for a good reason or a bad one."""
        return self._complete or self._error is not None

    @property
    def error(self) -> UpstreamError | None:
        """Return what the answer failed with."""
        return self._error

    def hold(self) -> None:
        """Read no more from the peer until ``go_on``."""
        if not self._paused and not self.has_ended:
            self._paused = True
            self._source.pause()

    def go_on(self) -> None:
        """Read on."""
        if not self.has_ended:
            self._resume()

    def let_end(self, limit_s: float) -> None:
        """Throw the rest away as it comes, for a while, so that the connection can serve another call."""
        self._parts.clear()
        self._then = None
        if not self.has_ended:
            self._resume()
            self._then = _forget
            self._source.limit(limit_s)

    def limit(self, seconds: float) -> None:
        """Let the answer take no longer than this from now on."""
        if not self.has_ended:
            self._source.limit(seconds)

    def close(self) -> None:
        """Give the rest of the answer up. The connection is dropped unless the answer is complete.

        Repeating it changes nothing.
        """
        self._parts.clear()
        self._then = None
        if not self._complete and self._error is None:
            self._source.drop()

    @property
    def is_lost_unsent(self) -> bool:
        """Whether the connection was gone before a byte was sent on it, so that the request may go out once more."""
        return self.reused and isinstance(self._error, ConnectionLost) and not self._error.sent

    # The rest is for the client and the connection.

    def arrival(self) -> "asyncio.Future[None]":
        """Return what is done when the head is there or the answer has failed."""
        self._waiter = waiter = self._source.loop.create_future()
        if self.status or self._error is not None:
            waiter.set_result(None)
        return waiter

    def check(self) -> None:
        """Raise what went wrong, if anything did."""
        if self._error is not None:
            raise self._error

    def check_head(self) -> None:
        """Raise what went wrong before the head was there; what is wrong with the body is for its reader."""
        if not self.status:
            self.check()

    def begin(self, status: int, headers: list[tuple[bytes, bytes]], encoding: bytes) -> None:
        """Take the head; raises BadAnswer for an unknown compression."""
        self.first_byte_at = monotonic()
        self.status = status
        if encoding:
            self._decoder = Decoder(encoding, bytes_max=self.size_bytes_max)
            headers = [header for header in headers if header[0] not in _DESCRIBES_COMPRESSED]
        self.headers = headers

    def accept(self, piece: bytes) -> None:
        """Take a piece of the body; raises BadAnswer, AnswerTooLarge."""
        if self._decoder is not None:
            pieces = self._decoder.feed(piece)
            size_bytes = sum(map(len, pieces))
            self._parts += pieces
        else:
            size_bytes = len(piece)
            self._parts.append(piece)
        self._size_bytes += size_bytes
        self._unread_bytes += size_bytes
        if self._size_bytes > self.size_bytes_max:
            raise AnswerTooLarge("the answer exceeds the limit")

    def arrived(self) -> None:
        """Tell the reader that there is more, and the connection to stop where nobody reads."""
        then = self._then
        if then is not None:
            if not self._collecting:
                then(self)
        elif not self._collecting:
            if self._unread_bytes > UNREAD_BYTES_MAX and not self._paused:
                self._paused = True
                self._source.pause()
            self._wake()

    def end(self, error: UpstreamError | None) -> None:
        """Record how the answer ended, and wake the reader."""
        if error is None and self._decoder is not None:
            try:
                self._decoder.finish()
            except UpstreamError as cut:
                error = cut
        self._error = error
        self._complete = error is None
        then = self._then
        if then is None:
            self._wake()
        else:
            self._tell(then)

    def _take(self) -> bytes:
        parts = self._parts
        taken = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._unread_bytes = 0
        return taken

    def _tell(self, then: "Callable[[Response], None]") -> None:
        if self.has_ended:
            self._then = None
        then(self)

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._source.resume()

    async def _more(self) -> None:
        self._waiter = self._source.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def _forget(response: Response) -> None:
    response.at_hand()

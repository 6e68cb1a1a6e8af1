"""One connection to a peer: writes a request, parses the answer, watches the clock.

Everything happens in the callbacks of the transport. There is one timer per connection, moved
only when a limit comes nearer; a limit that moves away is noticed when the timer fires.
"""

import asyncio
import select
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from time import monotonic
from typing import Final, Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade

from yiapi.cork import cork_of
from yiapi.upstream.errors import (
    AnswerCut,
    BadAnswer,
    ConnectionLost,
    FirstByteTimeout,
    IdleTimeout,
    TotalTimeout,
    UpstreamError,
)
from yiapi.upstream.framing import UNTIL_CLOSE
from yiapi.upstream.parsing import BODY, DONE, HEAD, HEAD_BYTES_MAX, AnswerParser
from yiapi.upstream.response import Response
from yiapi.upstream.target import Limits

_WHOLE_WRITE_BYTES_MAX: Final = 16 * 1024  # an empty socket buffer takes this much whole, or nothing
_QUIET_S: Final = 0.005  # longer than a turn of the loop: an end that came before this turn was told already
_NEVER: Final = float("inf")


class Owner(Protocol):
    """The pool that a connection belongs to."""

    def freed(self, connection: "Connection") -> None:
        """Take a connection back that may serve another call."""

    def lost(self, connection: "Connection") -> None:
        """Forget a connection that has ended."""


class Connection(AnswerParser):
    """A kept-alive HTTP/1.1 connection that serves one call at a time."""

    __slots__ = (
        "_cork",
        "_deadline",
        "_is_paused",
        "_is_pouring",
        "_is_whole",
        "_left_bytes",
        "_limits",
        "_owner",
        "_poller",
        "_saw_end",
        "_timer",
        "_timer_at",
        "_total_at",
        "_transport",
        "_writable",
        "_write_blocked",
        "calls",
        "idle_at",
        "is_open",
        "loop",
    )

    _transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: Owner) -> None:
        super().__init__()
        self.loop = loop
        self._cork = cork_of(loop)
        self._owner = owner
        self._saw_end = False
        self._poller: select.poll | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = _NEVER
        self._deadline = _NEVER
        self._writable: asyncio.Future[None] | None = None
        self._write_blocked = False
        self._is_pouring = False
        self._is_paused = False
        self.is_open = False
        self.calls = 0
        self.idle_at = 0.0

    def is_usable(self, now: float, keep_s: float) -> bool:
        """Whether another call may be sent, looking at the socket when it was quiet for a while."""
        quiet_s = now - self.idle_at
        if not self.is_open or self._transport.is_closing() or quiet_s > keep_s or quiet_s > self.keep_s:
            return False
        return quiet_s < _QUIET_S or not self._is_readable()

    def _is_readable(self) -> bool:
        if self._poller is None:
            self._poller = select.poll()
            self._poller.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(self._poller.poll(0))

    # Sending

    def start(
        self,
        request: bytes,
        limits: Limits,
        total_at: float,
        *,
        is_head: bool,
        is_pouring: bool,
        then: Callable[[Response], None] | None = None,
    ) -> Response:
        """Write a request, or its head when the body is poured after it, and return its answer.

        ``then`` is called when the whole answer is there, or has failed.
        """
        now = monotonic()
        answer = Response(self, limits, now, reused=self.calls > 0, then=then)
        self._expect(answer, is_head=is_head)
        self.calls += 1
        self._is_pouring = is_pouring
        self._is_whole = not is_pouring and len(request) <= _WHOLE_WRITE_BYTES_MAX
        self._limits = limits
        self._total_at = total_at
        self._cork.write(self._transport, request)
        self._watch(now + limits.first_byte_s)
        return answer

    async def pour(
        self, answer: Response, chunks: Iterable[bytes | memoryview] | AsyncIterator[bytes], size_bytes: int
    ) -> None:
        """Write a body as fast as the peer takes it.

        Ends early when the peer has refused the request (status 300 and above) or answered
        completely; the connection then serves no further call. Raises UpstreamError, and
        ValueError when the body has not the size that was announced.
        """
        self._watch(_NEVER)
        self._left_bytes = size_bytes
        if isinstance(chunks, AsyncIterator):
            goes_on = await self._pour_async(answer, chunks)
        else:
            goes_on = True
            for chunk in chunks:
                goes_on = await self._poured(answer, chunk)
                if not goes_on:
                    break
        answer.check_head()
        now = monotonic()
        if goes_on:
            if self._left_bytes:
                raise ValueError("the body is shorter than its size")
            self._is_pouring = False
            answer.sent_at = now
        if self._answer is answer:
            waits = self._phase == HEAD and goes_on
            self._watch(now + (self._limits.first_byte_s if waits else self._limits.idle_s))

    async def _pour_async(self, answer: Response, chunks: AsyncIterator[bytes]) -> bool:
        try:
            async for chunk in chunks:
                if not await self._poured(answer, chunk):
                    return False
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()
        return True

    async def _poured(self, answer: Response, chunk: bytes | memoryview) -> bool:
        """Write a chunk once the peer has room for it; False when the peer wants no more."""
        while self._write_blocked and not answer.is_final:
            answer.check()
            self._watch(monotonic() + self._limits.idle_s)
            self._writable = self.loop.create_future()
            try:
                await self._writable
            finally:
                self._writable = None
            self._watch(_NEVER)
        if answer.is_final:
            return False
        answer.check()
        self._left_bytes -= len(chunk)
        if self._left_bytes < 0:
            raise ValueError("the body is longer than its size")
        self._cork.write(self._transport, chunk)
        return True

    def pause_writing(self) -> None:
        """Note that the peer does not keep up."""
        self._write_blocked = True

    def resume_writing(self) -> None:
        """Note that the peer took what was written."""
        self._write_blocked = False
        self._wake_writer()

    def _wake_writer(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    # Receiving

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Parse what came, and tell the reader once."""
        answer = self._answer
        parser = self._parser
        if answer is None or parser is None:  # nobody asked: it answers no request of ours
            self._abort()
            return
        self._bare_bytes += len(data)
        try:
            parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._broken(error)
        if self._bare_bytes > HEAD_BYTES_MAX and self._phase != DONE:
            self._refuse(BadAnswer("too many bytes around the answer"))
        if self._failure is not None:
            self._fail(self._failure)
        elif self._phase == DONE:
            self._finish(answer, data)
        elif self._phase == BODY:
            if not self._is_paused:
                at = self._deadline = min(self._total_at, monotonic() + self._limits.idle_s)
                if at < self._timer_at:
                    self._set_timer(at)
            answer.arrived()
            if self._writable is not None:
                self._wake_writer()

    # Ending

    def eof_received(self) -> None:
        """Note that the peer ended its side in order, which ends a body without a length."""
        self._saw_end = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the reader how the answer ended."""
        self.is_open = False
        self._set_timer(_NEVER)
        self._parser = None
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.end(self._loss(exc))
            self._wake_writer()
        self._owner.lost(self)

    def _loss(self, cause: Exception | None) -> UpstreamError | None:
        loss: UpstreamError
        if self._phase == BODY:
            if self._length == UNTIL_CLOSE and cause is None and self._saw_end:
                return None
            loss = AnswerCut("the connection ended inside the answer")
        else:
            # A broken pipe is found by writing, when the peer had gone before.
            unsent = isinstance(cause, BrokenPipeError) and self._is_whole
            loss = ConnectionLost("the connection ended before the answer", sent=not unsent or self._bare_bytes > 0)
        loss.__cause__ = cause
        return loss

    def _finish(self, answer: Response, data: bytes) -> None:
        keeps = self._keeps and not self._is_pouring and self._is_end(data)
        self._answer = None
        if keeps:
            if self._is_paused:
                self.resume()
            self.idle_at = monotonic()
            self._owner.freed(self)
        else:
            self._abort()
            self._wake_writer()
        answer.end(None)

    def _fail(self, failure: UpstreamError) -> None:
        answer, self._answer = self._answer, None
        self._abort()
        if answer is not None:
            answer.end(failure)
            self._wake_writer()

    def _abort(self) -> None:
        self.is_open = False
        self._transport.abort()

    def close(self) -> None:
        """Close an idle connection, or cut the call that it serves."""
        self._abort()

    # For the answer

    def drop(self) -> None:
        """Give the connection up, its answer is not wanted."""
        self._answer = None
        self._abort()

    def limit(self, seconds: float) -> None:
        """Let the answer take no longer than this from now on."""
        self._total_at = min(self._total_at, monotonic() + seconds)
        self._watch(self._deadline)

    def pause(self) -> None:
        """Stop reading: the caller does not keep up, and that is not the peer's fault."""
        self._is_paused = True
        self._transport.pause_reading()
        self._watch(_NEVER)

    def resume(self) -> None:
        """Read on."""
        self._is_paused = False
        self._transport.resume_reading()
        self._watch(monotonic() + self._limits.idle_s)

    # Time

    def _watch(self, limit_at: float) -> None:
        """Let the call fail at this time or at the end of its total time, whichever is nearer."""
        at = self._deadline = min(self._total_at, limit_at)
        if at < self._timer_at:
            self._set_timer(at)

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = at
        if at < _NEVER:
            self._timer = self.loop.call_later(max(at - monotonic(), 0.001), self._look)

    def _look(self) -> None:
        self._timer = None
        self._timer_at = _NEVER
        if self._answer is None:
            return
        now = monotonic()
        if now < self._deadline:
            self._set_timer(self._deadline)
        elif now >= self._total_at:
            self._fail(TotalTimeout("the call took too long"))
        elif self._phase == HEAD and not self._is_pouring:
            self._fail(FirstByteTimeout("the peer does not answer"))
        else:
            self._fail(IdleTimeout("the peer stopped in the middle"))

"""One connection of a caller: hands its requests over one at a time, and writes the answers."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import Final, cast

from httptools import HttpParserError, HttpParserUpgrade

from yiapi.cork import cork_of
from yiapi.edge.heads import status_line
from yiapi.edge.inbound import Inbound
from yiapi.edge.writing import CLOSE, AnswerWriter, Owner

_SMALL_DIGITS: Final = 5  # of the length of a body that is waited for: below 100 KB
_SOON_S: Final = 0.5


class Connection(AnswerWriter):
    """A kept-alive connection. Requests that come before the last one is answered wait their turn."""

    __slots__ = (
        "_current",
        "_has_ended",
        "_idle",
        "_since",
        "_spilled_bytes",
        "_task",
        "_unread_bytes",
        "_waiting",
        "_writable",
        "is_closing",
        "loop",
        "unread_bytes_max",
    )

    def __init__(self, edge: Owner, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(edge, cork_of(loop))
        self.loop = loop
        self.unread_bytes_max = edge.limits.unread_bytes_max
        self._current: Inbound | None = None  # the request that is being answered
        self._waiting: deque[Inbound] = deque()
        self._task: asyncio.Task[None] | None = None
        self._idle: asyncio.Future[Inbound] | None = None  # the task waits for the next request
        self._writable: asyncio.Future[None] | None = None
        self._since = monotonic()  # when it became idle, or a head began, or it was told to close
        self._unread_bytes = 0  # of the answer, when its reader was last found to be slow
        self._spilled_bytes = 0
        self._has_ended = False  # the caller will send no more
        self.is_closing = False

    # From the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) and peer else None
        self._edge.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and begin with the request whose head is there."""
        if self.is_closing:
            self._spill(len(data))
            return
        is_fresh = not self._bare_bytes and self._current is None
        if is_fresh:
            again = self._same_again(data)
            if again is not None:
                self._current = again
                self._start(again)
                return
            self._since = monotonic()
        self._remembered = None  # what goes to the parser may end in the middle of a head
        self._piece_bytes = size_bytes = len(data)
        self._bare_bytes += size_bytes
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            is_fresh = False
            self._feed_again(memoryview(data)[upgrade.args[0] :])
        except HttpParserError:
            self._refusal = self._refusal or 400
        if self._refusal or self._bare_bytes > self._limits.head_bytes_max:
            self._refuse(self._refusal or 431)
        current = self._current
        if current is not None and not current.is_taken:
            if current.is_complete:
                if is_fresh and not self._waiting:
                    self._remember(data, current)
                self._start(current)
            elif not self._is_soon_whole(current):
                self._start(current)

    def _is_soon_whole(self, inbound: Inbound) -> bool:
        """Whether the rest of a body is probably on its way, as clients send it: just behind the head, and small."""
        length = inbound.headers.get(b"content-length", b"")
        return (
            self._edge.begin is not None
            and b"expect" not in inbound.headers
            and len(length) <= _SMALL_DIGITS
            and length.isdigit()
            and monotonic() - self._since < _SOON_S
        )

    def eof_received(self) -> bool:
        """Keep the way back open where an answer is due: the caller may have ended its own side only."""
        self._has_ended = True
        self._cork.let_go()  # what is answered False here closes the transport
        if self._current is None or self.is_closing:
            return False
        for inbound in (self._current, *self._waiting):
            inbound.hung_up(monotonic())
        if not self._current.is_taken:
            self._start(self._current)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever answers that nobody listens."""
        del exc
        self.is_closing = True
        self._edge.connections.discard(self)
        self._wake_writer()
        self._waiting.clear()
        self._end_parsing()
        if self._current is not None:
            self._current.left()
        if self._idle is not None:
            self._idle.cancel()

    def pause_writing(self) -> None:
        """Note that the caller does not keep up."""
        self._blocked_since = monotonic()

    def resume_writing(self) -> None:
        """Note that the caller took what was written."""
        self._blocked_since = 0.0
        self._wake_writer()
        current = self._current
        if current is None:
            return
        if current.is_taken:
            current.drains()
        else:
            self._start(current)

    # From the parser

    def took(self, inbound: Inbound) -> None:
        """Let a request wait until those before it are answered; of a crowd the last ones are left to ask again."""
        if self._current is None:
            self._current = inbound
        elif len(self._waiting) < self._limits.waiting_max:
            self._waiting.append(inbound)
            self._transport.pause_reading()
        else:
            self._waiting[-1].keeps_connection = False
            self._refusal = 400
            self._newest = None

    # Serving

    def _start(self, inbound: Inbound) -> None:
        """Have a request answered, unless the answers before it are left unread."""
        if self._blocked_since:
            return
        inbound.is_taken = True
        begin = self._edge.begin
        if begin is None or not (inbound.is_complete and begin(inbound)):
            self.hand_over(inbound)

    async def _answer_all(self, inbound: Inbound) -> None:
        serve = self._edge.serve
        while True:
            inbound.task = asyncio.current_task()
            await serve(inbound)
            inbound.task = None
            following = self._served(inbound)
            if following is None:
                if self.is_closing:
                    self._forget_task()
                    return
                self._idle = self.loop.create_future()
                try:
                    following = await self._idle
                except asyncio.CancelledError:  # the connection is gone, or has to go
                    self.abort()
                    self._forget_task()
                    return
                self._idle = None
            inbound = following

    def _forget_task(self) -> None:
        """Let go of the task that ends now, which holds this connection: nobody should have to find such rings."""
        if self._task is asyncio.current_task():
            self._task = None

    def _served(self, inbound: Inbound) -> Inbound | None:
        """Return the request that waits, or end what has to end."""
        self._current = None
        if self.is_closing:
            return None
        if not inbound.has_answered:
            self.abort()
        elif not (inbound.keeps_connection and inbound.is_complete):
            self._farewell(is_heard=inbound.is_complete and not self._refusal)
        elif self._waiting:
            following = self._current = self._waiting.popleft()
            if not self._waiting and not following.is_paused and not self._refusal:
                self._transport.resume_reading()
            following.is_taken = not self._blocked_since
            return following if following.is_taken else None
        elif self._refusal:
            self._refuse(self._refusal)
        elif self._has_ended or self._edge.is_draining:
            self._farewell(is_heard=True)
        else:
            self._since = monotonic()
        return None

    def hand_over(self, inbound: Inbound) -> None:
        """Have a request answered by the one task of this connection."""
        inbound.tell_length()
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(inbound)
        else:
            self._task = self.loop.create_task(self._answer_all(inbound))

    def done(self, inbound: Inbound) -> None:
        """Go on to the next request, when one was answered without the task."""
        following = self._served(inbound)
        if following is not None:
            self._start(following)

    def _refuse(self, status: int) -> None:
        """Refuse what came, after everything before it was answered, and close."""
        self._refusal = status
        if self._newest is not None and self._newest in self._waiting:
            self._waiting.remove(self._newest)
            self._refused = self._newest.path
            self._newest = None
        if self._current is not None and self._newest is not self._current:
            self._transport.pause_reading()
            return
        if self._current is not None:  # its body broke: whoever reads it is told that the caller is gone
            self._newest = None
            self._current.keeps_connection = False
            self._current.hung_up(monotonic())
            return
        head, body = self._edge.refusal(status, (self._refused or self._target).partition(b"?")[0])
        tail = b"content-length: %d\r\n\r\n" % len(body)
        self._cork.write(
            self._transport, b"".join((status_line(status), head, CLOSE, self._edge.date_line, tail, body))
        )
        self._farewell(is_heard=status == 408)

    def _farewell(self, *, is_heard: bool) -> None:
        """Close; a caller that still sends is listened to for a while, or the reset would eat its answer."""
        self.is_closing = True
        self._since = monotonic()
        self._cork.let_go()
        if is_heard or self._has_ended:
            self._transport.close()
        else:
            self._transport.write_eof()
            self._transport.resume_reading()

    def _spill(self, size_bytes: int) -> None:
        self._spilled_bytes += size_bytes
        if self._spilled_bytes > self._edge.limits.farewell_bytes_max:
            self._transport.abort()

    # For the request

    def pause(self) -> None:
        """Stop reading: nobody has asked for what comes."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if not self._waiting:
            self._transport.resume_reading()

    async def drained(self) -> None:
        """Wait until the caller has read most of what was written, or is gone."""
        while self._blocked_since and not self.is_closing:
            self._writable = self.loop.create_future()
            try:
                await self._writable
            finally:
                self._writable = None

    def _wake_writer(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    # Time

    def look(self, now: float) -> None:
        """End what has taken too long."""
        limits = self._limits
        if self._blocked_since or (self.is_closing and self._transport.get_write_buffer_size()):
            self._look_at_reader(now)
        elif self.is_closing:
            if now - self._since > limits.farewell_s:
                self._transport.abort()
        elif self._current is not None:
            if not self._current.is_taken and now - self._since > _SOON_S:
                self._start(self._current)
        elif self._target or self._headers:
            if now - self._since > limits.head_s:
                self._refuse(408)
        elif now - self._since > (limits.head_s if self._bare_bytes else limits.keep_s):
            self._farewell(is_heard=True)

    def _look_at_reader(self, now: float) -> None:
        """Cut off a caller that takes next to nothing of its answer."""
        unread_bytes = self._transport.get_write_buffer_size()
        if unread_bytes > self._unread_bytes or self._unread_bytes - unread_bytes >= self._limits.read_bytes_min:
            self._since = self._blocked_since = now
            self._unread_bytes = unread_bytes
        elif now - self._blocked_since > self._limits.unread_s:
            self._transport.abort()

    def close_idle(self) -> None:
        """Close the connection if nothing is under way on it."""
        if self._current is None and not self.is_closing and not (self._target or self._headers):
            self._farewell(is_heard=True)

    def abort(self) -> None:
        """Cut the connection."""
        self.is_closing = True
        self._cork.let_go()
        self._transport.abort()

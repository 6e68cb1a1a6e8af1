"""The connections to one origin: those that wait for a call, and the room for more."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Protocol

from yiapi.upstream.connection import Connection
from yiapi.upstream.errors import ConnectFailed, ConnectTimeout

Dial = Callable[[Callable[[], Connection], float], Awaitable[Connection]]


class Keeper(Protocol):
    """The client, as far as a pool needs it."""

    is_closed: bool
    made: int
    reused: int

    def sweep_soon(self) -> None:
        """See to it that idle connections are looked at later."""


class Pool:
    """Connections to one origin. The one used last is used first, so that the others can expire."""

    def __init__(self, keeper: Keeper, dial: Dial, *, connections_max: int, keep_s: float) -> None:
        self._keeper = keeper
        self._dial = dial
        self._connections_max = connections_max
        self._keep_s = keep_s
        self._idle: list[Connection] = []
        self._taken_places = 0  # connections, and those being made
        self.members: set[Connection] = set()
        self._emptied: asyncio.Future[None] | None = None
        self.waiters: deque[asyncio.Future[Connection | None]] = deque()

    @property
    def idle(self) -> int:
        """Return how many connections wait for a call."""
        return len(self._idle)

    def take(self, now: float) -> Connection | None:
        """Return an idle connection that still looks usable."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.is_usable(now, self._keep_s):
                self._keeper.reused += connection.calls > 0
                return connection
            connection.close()
        return None

    async def acquire(self, timeout_s: float, *, fresh: bool = False) -> Connection:
        """Return a connection, a new one when ``fresh``, waiting for a place where there is none.

        Raises ConnectFailed, ConnectTimeout.
        """
        ends_at = monotonic() + timeout_s
        while True:
            if self._keeper.is_closed:
                raise ConnectFailed("the client is closed")
            if self._taken_places < self._connections_max:
                return await self._make(ends_at - monotonic())
            connection = await self._wait(ends_at)
            if connection is not None and connection.is_open:
                if not fresh:
                    self._keeper.reused += 1
                    return connection
                connection.close()

    async def _make(self, timeout_s: float) -> Connection:
        loop = asyncio.get_running_loop()
        self._taken_places += 1
        try:
            connection = await self._dial(lambda: Connection(loop, self), timeout_s)
        except BaseException:
            self._left()
            raise
        self.members.add(connection)
        if self._keeper.is_closed:
            connection.close()
            raise ConnectFailed("the client is closed")
        self._keeper.made += 1
        return connection

    async def _wait(self, ends_at: float) -> Connection | None:
        """Wait for a connection that becomes free, or for None: there is room for a new one."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Connection | None] = loop.create_future()
        self.waiters.append(waiter)
        timer = loop.call_later(max(ends_at - monotonic(), 0), _give_up, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._pass_on(waiter.result())
            raise
        finally:
            timer.cancel()
            if waiter in self.waiters:
                self.waiters.remove(waiter)

    def _pass_on(self, connection: Connection | None) -> None:
        if connection is None:
            self._call_next(None)
        elif connection.is_open:
            self.freed(connection)

    def _call_next(self, connection: Connection | None) -> bool:
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    def _left(self) -> None:
        self._taken_places -= 1
        self._call_next(None)

    def close(self) -> None:
        """Close every connection and turn away who waits."""
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_exception(ConnectFailed("the client is closed"))
        for connection in tuple(self.members):
            connection.close()

    async def emptied(self) -> None:
        """Wait until the transports of closed connections are gone."""
        if self.members:
            if self._emptied is None:
                self._emptied = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._emptied)

    # For the connections

    def freed(self, connection: Connection) -> None:
        """Take a connection back, or hand it to who has waited longest."""
        if self.waiters and self._call_next(connection):
            return
        self._idle.append(connection)
        self._keeper.sweep_soon()

    def lost(self, connection: Connection) -> None:
        """Forget a connection that has ended; its place is free."""
        if connection in self._idle:
            self._idle.remove(connection)
        if connection in self.members:
            self.members.remove(connection)
            self._left()
            if not self.members and self._emptied is not None and not self._emptied.done():
                self._emptied.set_result(None)

    def sweep(self) -> None:
        """Close idle connections that are past their time."""
        now = monotonic()
        for connection in [one for one in self._idle if not one.is_usable(now, self._keep_s)]:
            self._idle.remove(connection)
            connection.close()


def _give_up(waiter: "asyncio.Future[Connection | None]") -> None:
    if not waiter.done():
        waiter.set_exception(ConnectTimeout("all connections to the peer are taken"))

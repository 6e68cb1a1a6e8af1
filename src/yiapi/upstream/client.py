"""The client that all calls to vendors go through.

Made for a relay: one write per call, one wake-up per answer, no task and no timer of its own for
a call. What may be repeated is the caller's decision; the errors say whether anything was sent.

One thing is repeated here: a call on a kept-alive connection that the peer had closed before the
write, seen by the write itself failing before it took a byte. It is sent once more, on a new
connection. A connection that is closed or reset after the write raises ConnectionLost, because
the peer may have read the request.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic

from yiapi.upstream.connection import Connection
from yiapi.upstream.dial import dial
from yiapi.upstream.errors import ConnectFailed, ConnectionLost
from yiapi.upstream.guard import AddressGuard
from yiapi.upstream.pool import Pool
from yiapi.upstream.request import ended_head, head_of
from yiapi.upstream.response import Response
from yiapi.upstream.target import Body, Limits, Target

WHOLE_BODY_BYTES_MAX = 64 * 1024  # bodies up to this size go out in one write with the head

_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts of connections."""

    open: int
    idle: int
    made: int
    reused: int
    waiting: int


class Client:
    """An HTTP/1.1 client with kept-alive connections for each origin.

    ``tls_context`` replaces the system's trust; it must verify certificates and names.
    ``idle_keep_s`` is how long an unused connection is kept.
    """

    def __init__(
        self,
        guard: AddressGuard,
        *,
        tls_context: ssl.SSLContext | None = None,
        connections_per_target_max: int = 16_384,
        idle_keep_s: float = 30.0,
    ) -> None:
        self._guard = guard
        self._tls_context = verifying(tls_context)
        self._connections_max = connections_per_target_max
        self._idle_keep_s = idle_keep_s
        self._pools: dict[str, Pool] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self.is_closed = False
        self.made = 0
        self.reused = 0

    async def send(
        self,
        target: Target,
        method: str,
        path: str,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes | Body = b"",
        limits: Limits = _LIMITS,
        *,
        total_s: float | None = None,
    ) -> Response:
        """Send a request and return its answer as soon as the head of it is there.

        ``host`` and ``accept-encoding: identity`` are added unless given, the length always. ``total_s`` is the time of
        this call where it is not that of the limits. Raises ValueError for a request that cannot be written,
        UpstreamError for everything that goes wrong on the way, and whatever a Body raises while it is read. Redirects
        are answers.
        """
        size_bytes = len(body) if isinstance(body, bytes) else body.size_bytes
        head = head_of(target, method, path, headers, size_bytes)
        return await self._send(target, head, body, size_bytes, limits, total_s, is_head=method == "HEAD")

    async def send_begun(
        self, target: Target, head: bytes, body: bytes | Body, limits: Limits, *, total_s: float | None = None
    ) -> Response:
        """Send a request whose head was made by ``begun_head``: the same, without looking at each header again."""
        size_bytes = len(body) if isinstance(body, bytes) else body.size_bytes
        return await self._send(target, ended_head(head, size_bytes), body, size_bytes, limits, total_s, is_head=False)

    def send_now(
        self,
        target: Target,
        request: bytes,
        limits: Limits,
        *,
        total_s: float,
        then: Callable[[Response], None] | None = None,
    ) -> Response | None:
        """Send a request on a connection that is open, and call ``then`` when its answer has ended.

        ``request`` is head and body, as ``begun_head`` and ``ended_head`` make it. None, and nothing is sent, where
        there is no such connection or the request is too large for one write.
        """
        pool = self._pools.get(target.key)
        now = monotonic()
        if pool is None or len(request) > WHOLE_BODY_BYTES_MAX:
            return None
        connection = pool.take(now)
        if connection is None:
            return None
        return connection.start(request, limits, now + total_s, is_head=False, is_pouring=False, then=then)

    async def connect(self, target: Target, limits: Limits) -> None:
        """See to it that there is a connection for ``send_now``. Raises UpstreamError."""
        pool = self._pools.get(target.key) or self._pool_of(target)
        connection = pool.take(monotonic()) or await pool.acquire(limits.connect_s)
        connection.idle_at = monotonic()
        pool.freed(connection)

    async def _send(
        self,
        target: Target,
        request: bytes,
        body: bytes | Body,
        size_bytes: int,
        limits: Limits,
        total_s: float | None,
        *,
        is_head: bool,
    ) -> Response:
        pours = True
        if isinstance(body, bytes) and size_bytes <= WHOLE_BODY_BYTES_MAX:
            request += body
            pours = False
        now = monotonic()
        total_at = now + (limits.total_s if total_s is None else total_s)
        pool = self._pools.get(target.key) or self._pool_of(target)
        connection = pool.take(now) or await pool.acquire(min(limits.connect_s, total_at - now))
        while True:
            answer = connection.start(request, limits, total_at, is_head=is_head, is_pouring=pours)
            try:
                if pours:
                    await connection.pour(answer, _pieces(body), size_bytes)
                await answer.arrival()
                answer.check_head()
            except ConnectionLost as lost:
                if lost.sent or not answer.reused:
                    raise
            except BaseException:
                answer.close()
                raise
            else:
                return answer
            connection = await pool.acquire(limits.connect_s, fresh=True)

    async def aclose(self) -> None:
        """Close all connections; calls under way end with an error. Repeating it changes nothing."""
        self.is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for pool in self._pools.values():
            pool.close()
        for pool in self._pools.values():
            await pool.emptied()

    def stats(self) -> Stats:
        """Return the counts of this moment; made and reused count from the start."""
        pools = self._pools.values()
        return Stats(
            open=sum(len(pool.members) for pool in pools),
            idle=sum(pool.idle for pool in pools),
            made=self.made,
            reused=self.reused,
            waiting=sum(len(pool.waiters) for pool in pools),
        )

    def _pool_of(self, target: Target) -> Pool:
        if self.is_closed:
            raise ConnectFailed("the client is closed")
        pool = self._pools[target.key] = Pool(
            self, self._dial_of(target), connections_max=self._connections_max, keep_s=self._idle_keep_s
        )
        return pool

    def _dial_of(self, target: Target) -> Callable[[Callable[[], Connection], float], Awaitable[Connection]]:
        def dial_target(make: Callable[[], Connection], timeout_s: float) -> Awaitable[Connection]:
            return dial(self._guard, target, self._tls_context, make=make, timeout_s=timeout_s)

        return dial_target

    def sweep_soon(self) -> None:
        """Look at idle connections later, as long as there are any."""
        if self._sweeper is None and not self.is_closed:
            loop = asyncio.get_running_loop()
            self._sweeper = loop.call_later(max(self._idle_keep_s / 2, 0.01), self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        for pool in self._pools.values():
            pool.sweep()
        if any(pool.idle for pool in self._pools.values()):
            self.sweep_soon()


def verifying(context: ssl.SSLContext | None) -> ssl.SSLContext:
    """Return a context that verifies, the system's by default. Raises ValueError for one that does not."""
    if context is None:
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
    if context.verify_mode is not ssl.CERT_REQUIRED or not context.check_hostname:
        raise ValueError("a TLS context verifies certificates and host names")
    return context


def _pieces(body: bytes | Body) -> Iterator[bytes | memoryview] | AsyncIterator[bytes]:
    if not isinstance(body, bytes):
        return body.chunks()
    view = memoryview(body)
    return (view[at : at + WHOLE_BODY_BYTES_MAX] for at in range(0, len(view), WHOLE_BODY_BYTES_MAX))

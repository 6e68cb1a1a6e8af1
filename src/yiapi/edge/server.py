"""The listening end: makes connections, keeps them in time, and lets them go."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import cast

from yiapi.edge.connection import Connection
from yiapi.edge.heads import date_line
from yiapi.edge.inbound import CallerGone, Inbound
from yiapi.edge.limits import EdgeLimits
from yiapi.edge.refusals import Refusal, plain_refusal
from yiapi.logs import get_logger

TICK_S = 1.0
BACKLOG = 4096
JSON = b"content-type: application/json\r\n"
CUT = b'{"error": {"message": "The request is not whole.", "code": "invalid_request", "type": "invalid_request_error"}}'
BROKEN = (
    b'{"error": {"message": "Something went wrong on our side.", "code": "internal_error", "type": "server_error"}}'
)

Handler = Callable[[Inbound], Awaitable[None]]
log = get_logger()


class Edge:
    """Serves requests to a handler, which answers each of them; ``refusal`` words what is no request.

    ``begin`` is shown requests first that came whole and wait behind no other. It may answer one in the same breath or
    in a callback of its own, and says with ``Inbound.done`` when it has; where it returns False, or hands the request
    over, the handler is called.
    """

    def __init__(
        self,
        handler: Handler,
        limits: EdgeLimits | None = None,
        *,
        refusal: Refusal = plain_refusal,
        begin: Callable[[Inbound], bool] | None = None,
    ) -> None:
        self.limits = limits or EdgeLimits()
        self.connections: set[Connection] = set()
        self.is_draining = False
        self.date_line = date_line()
        self.refusal = refusal
        self.begin = begin
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._ticking: asyncio.Task[None] | None = None

    async def listen(self, listener: socket.socket) -> None:
        """Begin to take connections."""
        loop = asyncio.get_running_loop()

        def make() -> asyncio.Protocol:
            return cast("asyncio.Protocol", Connection(self, loop))  # it is one by what it can do

        self._server = await loop.create_server(make, sock=listener, backlog=BACKLOG)
        self._ticking = asyncio.create_task(self._tick())

    async def serve(self, inbound: Inbound) -> None:
        """Have a request answered, whatever happens."""
        try:
            await self._handler(inbound)
        except CallerGone:
            if not inbound.has_begun:
                inbound.answer(400, JSON, CUT)  # it may listen still: its body broke, not its connection
        except asyncio.CancelledError:
            log.warning("request_cancelled", path=inbound.path.decode("latin-1"))
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
        except Exception:
            log.exception("request_broke", path=inbound.path.decode("latin-1"))
            if not inbound.has_begun:
                inbound.answer(500, JSON, BROKEN)

    def sweep(self, now: float) -> None:
        """End connections that have taken too long, by the monotonic clock."""
        self.date_line = date_line()
        for connection in list(self.connections):
            connection.look(now)

    def stop_listening(self) -> None:
        """Take no more connections and close those that are idle; what is under way goes on."""
        self.is_draining = True
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.close_idle()

    async def aclose(self) -> None:
        """Cut every connection."""
        self.stop_listening()
        for connection in list(self.connections):
            connection.abort()
        if self._ticking is not None:
            self._ticking.cancel()
        await asyncio.sleep(0)  # transports tell their protocols

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.sweep(monotonic())

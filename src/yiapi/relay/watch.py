"""Watches calls that take a while: callers that leave, and streams that fall silent.

Most calls are over before anybody looks at them, so they cost nothing here.
"""

from __future__ import annotations

import asyncio

from yiapi.clock import Clock
from yiapi.errors import ClientClosed, Draining, StationError
from yiapi.relay.call import Call

TICK_S = 0.25
HALF_CLOSED_S = 0.5
"""Who has ended its side may still listen and gets a moment more: nobody can tell it from one that has left."""
LEAVE_GRACE_S = 30.0
COMMENT = b": keep-alive\n\n"


class Watch:
    """The calls under way in this process."""

    def __init__(self, clock: Clock, *, comment_s: float) -> None:
        self.calls: set[Call] = set()
        self._clock = clock
        self._comment_s = comment_s

    async def run(self) -> None:
        """Look at every call, four times a second."""
        while True:
            await asyncio.sleep(TICK_S)
            now = self._clock.monotonic()
            for call in list(self.calls):
                if now - call.began > TICK_S:
                    self._look(call, now)

    def _look(self, call: Call, now: float) -> None:
        inbound = call.inbound
        if not call.left_at and (
            inbound.has_left or (inbound.hung_up_at and now - inbound.hung_up_at >= HALF_CLOSED_S)
        ):
            call.left_at = now
        if call.left_at:
            self._let_go(call, now)
        elif call.touched and not inbound.is_blocked and now - call.touched >= self._comment_s:
            call.touched = now
            inbound.write(COMMENT)

    def _let_go(self, call: Call, now: float) -> None:
        """End a call whose caller has left, when its time has come."""
        if not call.inbound.has_begun:
            if call.claim is not None:
                return  # a call with an idempotency key runs to its end, is charged and stored
            operation = call.served.operation
            is_in_the_making = operation.task is None and not operation.may_repeat_after_timeout
            if is_in_the_making and now - call.left_at < LEAVE_GRACE_S:
                return  # the vendor bills what it makes: learn what that was
        self.stop(call, None)

    def stop(self, call: Call, error: StationError | None) -> None:
        """End a call from outside, once; its flow settles what it has."""
        call.stopped_by = call.stopped_by or error
        if call.is_stopped or call not in self.calls:
            return
        if call.task is not None:
            call.is_stopped = True
            call.task.cancel()
        elif call.stop is not None:
            call.is_stopped = True
            call.stop()

    def end_streams(self) -> None:
        """Tell every stream that the station ends: an in-band error, and what was used is settled."""
        for call in list(self.calls):
            if call.touched:
                self.stop(call, Draining("The station is being stopped."))

    def leave_all(self) -> None:
        """Let go of the tasks that wait for callers."""
        for call in list(self.calls):
            self.stop(call, ClientClosed("The station was stopped."))

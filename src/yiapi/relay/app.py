"""The relay: finds the operation of a path, runs its flow, and answers every error in dialect.

It sits on the edge; no framework object is made for a call, and what is no operation goes on to the next handler.
"""

from __future__ import annotations

from collections.abc import Awaitable

from yiapi.edge import CallerGone, Handler, Inbound
from yiapi.errors import InternalError, InvalidRequest, MethodNotAllowed, StationError
from yiapi.ids import new_id
from yiapi.logs import get_logger, notes_calls
from yiapi.providers.contract import Mode
from yiapi.relay import intake, query, stream, submit, sync
from yiapi.relay.call import Call
from yiapi.relay.express import Express
from yiapi.relay.forms import Form
from yiapi.relay.station import Station
from yiapi.relay.table import Table
from yiapi.relay.unread import Envelope, Unread
from yiapi.relay.watch import Watch

log = get_logger()


class Relay:
    """Serves the operations of the registry."""

    def __init__(self, station: Station, watch: Watch, otherwise: Handler, *, envelope: Envelope) -> None:
        self._station = station
        self._table = Table(station.registry)
        self.refusal = Unread(self._table, station.metrics, envelope)
        self._watch = watch
        self._otherwise = otherwise
        self.begin = Express(station, self._table, watch.calls, self._end).begin

    async def __call__(self, inbound: Inbound) -> None:
        """Serve one request, go on with one that was begun, or hand it on."""
        if inbound.begun is not None:
            (call, rest), inbound.begun = inbound.begun, None
            await self._serve(call, rest())
            return
        found = self._table.find(inbound.path)
        if found is None:
            await self._otherwise(inbound)
            return
        methods, values = found
        served = methods.get(inbound.method)
        clock = self._station.clock
        call = Call(
            served or next(iter(methods.values())),
            values,
            inbound,
            new_id("req"),
            began=clock.monotonic(),
            created_at_ms=clock.now_ms(),
        )
        self._watch.calls.add(call)
        await self._serve(call, flow_of(self._station, call, is_served=served is not None))

    async def _serve(self, call: Call, flow: Awaitable[None]) -> None:
        """Run a flow to its end, and answer what it raises."""
        call.task = call.inbound.task
        error: StationError | None = None
        try:
            await flow
        except StationError as refused:
            error = refused
        except CallerGone:
            if call.inbound.has_left:
                raise
            error = InvalidRequest("The body of the request is not whole.")
        except Exception:
            log.exception("call_broke", request_id=call.request_id, operation=call.served.name)
            error = InternalError("Something went wrong on our side.")
        except BaseException:
            self._let_go(call)
            raise
        self._end(call, error)

    def _end(self, call: Call, error: StationError | None) -> None:
        """Take a call off the books of this process, whatever became of it, and answer what went wrong."""
        self._let_go(call)
        if error is not None:
            self._refuse(call, error)
        if notes_calls():
            self._note(call, error)

    def _let_go(self, call: Call) -> None:
        self._watch.calls.discard(call)
        if call.slot is not None:
            call.slot.release()
        intake.let_go(self._station, call)
        if isinstance(call.body, Form):
            call.body.close()

    def _refuse(self, call: Call, error: StationError) -> None:
        if call.hold is None:
            self._station.metrics.refused.labels(error.code).inc()
        if not call.inbound.has_begun:
            call.refuse(error)

    def _note(self, call: Call, error: StationError | None) -> None:
        log.info(
            "call",
            request_id=call.request_id,
            operation=call.served.name,
            model=call.model or None,
            mode=call.key.mode if hasattr(call, "key") else None,
            status=200 if error is None else error.status,
            code=None if error is None else error.code,
            attempts=len(call.errand.attempts) if hasattr(call, "errand") else 0,
            duration_ms=round((self._station.clock.monotonic() - call.began) * 1000),
        )


async def flow_of(station: Station, call: Call, *, is_served: bool) -> None:
    """Take a call in and run the flow of its mode."""
    intake.authenticate(station, call)
    operation, mode = call.served.operation, call.served.mode
    if not is_served:
        raise MethodNotAllowed(f"{call.inbound.method} is not served here.")
    station.switches.refuse(call.served.name, call.served.provider.slug, None)
    if mode is Mode.QUERY:
        await query.serve(station, call)
        return
    await intake.take_in(station, call)
    if mode is Mode.TASK:
        await submit.serve(station, call)
    elif mode is Mode.STREAM and operation.wants_stream is not None and operation.wants_stream(call.request):
        await stream.serve(station, call)
    else:
        await sync.serve(station, call)

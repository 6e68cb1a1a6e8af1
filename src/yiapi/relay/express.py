"""The short way of a call that waits for nothing but its vendor.

Most calls find everything they need in memory: key, price, allowance, channel, and a connection that is open. Such a
call is begun in the callback that brought its last byte and ended in the callback that brought its vendor's last byte;
no task and no future is made for it. It takes the same steps as every other (``intake``, ``sync``). What needs more, as
another attempt or a hold of its own, is handed over to the task of its connection with what is left to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from yiapi.dispatch import AttemptFailed, Begun, Won
from yiapi.edge import Head, Inbound
from yiapi.errors import InternalError, StationError
from yiapi.ids import new_id
from yiapi.logs import get_logger
from yiapi.providers.contract import Mode
from yiapi.providers.registry import Served
from yiapi.relay import intake, stream, sync
from yiapi.relay.bodies import is_plain_json
from yiapi.relay.call import Call
from yiapi.relay.outgoing import body_for, limits_of
from yiapi.relay.passage import Opened, Passage
from yiapi.relay.station import Station
from yiapi.relay.sync import Answer
from yiapi.relay.table import Table
from yiapi.upstream import Limits, Response

Serve = Callable[[Station, Call, tuple[Begun, AttemptFailed] | None], Awaitable[None]]
"""Goes on with a call after an attempt that failed."""

log = get_logger()


class Way:
    """How an operation is asked: plainly, or for a stream."""

    __slots__ = ("accept", "is_stream", "limits", "serve")

    def __init__(self, limits: Limits, serve: Serve, *, is_stream: bool) -> None:
        self.limits = limits
        self.serve = serve  # the long way of it
        self.is_stream = is_stream
        self.accept = stream.EVENT_STREAM if is_stream else b""


class Known:
    """What the head of a request says of its way: which operation it is for, and that the short way is open to it."""

    __slots__ = ("limit_s", "plain", "served", "stream")

    def __init__(self, served: Served, station: Station) -> None:
        self.served = served
        self.limit_s = intake.limit_s_of(station, served)
        self.plain = Way(limits_of(station, served.operation.first_byte_s), sync.serve, is_stream=False)
        self.stream = Way(limits_of(station, station.settings.first_byte_stream_s), stream.serve, is_stream=True)


class Express:
    """Begins calls, and ends those that went well.

    ``calls`` are those under way; ``leave`` takes a call out that is over, and answers what went wrong.
    """

    def __init__(
        self,
        station: Station,
        table: Table,
        calls: set[Call],
        leave: Callable[[Call, StationError | None], None],
    ) -> None:
        self._station = station
        self._table = table
        self._calls = calls
        self._leave = leave

    def begin(self, inbound: Inbound) -> bool:
        """Begin with a call; False where it is one for the long way, of which nothing was done yet."""
        known = inbound.head.known
        if known is None:
            known = inbound.head.known = self._look_at(inbound.head) or False
        if known is False or inbound.unread_bytes > known.served.operation.body_bytes_max:
            return False
        clock = self._station.clock
        call = Call(known.served, {}, inbound, new_id("req"), began=clock.monotonic(), created_at_ms=clock.now_ms())
        call.deadline_at = call.began + known.limit_s
        self._calls.add(call)
        try:
            self._take_in(call, inbound.taken())
            self._send(call, known)
        except StationError as refused:
            self._end(call, refused)
        except Exception:  # noqa: BLE001 - who called back is a connection, and has others to serve
            self._break(call)
        return True

    def _look_at(self, head: Head) -> Known | None:
        """Work out what a head says; None for the long way."""
        found = self._table.find(head.path)
        served = found[0].get(head.method) if found is not None else None
        if (
            found is None
            or served is None
            or found[1]
            or served.mode not in {Mode.SYNC, Mode.STREAM}
            or not is_plain_json(head.headers, served.operation)
            or intake.has_options(head.headers)
        ):
            return None
        operation = served.operation
        files = operation.answer is not None and operation.answer.files
        if operation.flow or operation.parent or operation.fit or files:
            return None
        return Known(served, self._station)

    def _take_in(self, call: Call, body: bytes) -> None:
        """Read, price and admit a call. Raises the StationError that refuses it."""
        station, served = self._station, call.served
        intake.authenticate(station, call)
        station.switches.refuse(served.name, served.provider.slug, None)
        intake.refuse_at_the_end(station)
        intake.decode(call, body)
        intake.admit(station, call)

    def _send(self, call: Call, known: Known) -> None:
        """Reserve and send, or hand the call over where it would have to wait."""
        station, operation = self._station, call.served.operation
        is_stream = operation.wants_stream is not None and operation.wants_stream(call.request)
        way, begun = known.stream if is_stream else known.plain, None
        if intake.draw(station, call):
            begun = station.dispatcher.begin(intake.errand_of(call))
        if begun is None:
            self._hand_over(call, partial(way.serve, station, call))
            return
        station.dispatcher.count(call.errand)
        if not self._is_sent(call, begun, way):
            call.task = asyncio.ensure_future(self._connect(call, begun, way))

    async def _connect(self, call: Call, begun: Begun, way: Way) -> None:
        """Make a connection and send, which is all that has to be waited for."""
        try:
            while True:
                await self._station.exchange.connect(call.errand, begun.channel, way.limits)
                if self._is_sent(call, begun, way):
                    break
        except AttemptFailed as failed:
            self._hand_over(call, partial(way.serve, self._station, call, (begun, failed)))
        except asyncio.CancelledError as error:
            self._station.dispatcher.broken(begun)
            self._hand_over(call, partial(sync.fail, self._station, call, error))
        except Exception:  # noqa: BLE001 - as for a callback
            self._station.dispatcher.broken(begun)
            self._break(call)
        finally:
            call.task = None

    def _is_sent(self, call: Call, begun: Begun, way: Way) -> bool:
        """Send the call on an open connection; False where there is none."""
        body = body_for(call, begun.channel)
        assert isinstance(body, bytes)
        waiting = self._station.exchange.send_now(
            call.errand,
            begun.channel,
            begun.credential,
            method=call.served.operation.method,
            path=call.served.operation.vendor_path,
            body=body,
            limits=way.limits,
            total_s=call.deadline_at - self._station.clock.monotonic(),
            accept=way.accept,
            then=None if way.is_stream else partial(self._answered, call, begun),
        )
        if waiting is None:
            return False
        call.stop = partial(self._stop, call, begun, waiting)
        if way.is_stream:
            waiting.follow(partial(self._look, call, begun, stream.opening(call, waiting)))
        return True

    # When a stream comes

    def _look(self, call: Call, begun: Begun, opened: Opened, response: Response) -> None:
        """Look for the first content of a stream, and pass it on from there."""
        station = self._station
        try:
            while not stream.is_open(station, call, begun.channel, opened):
                if not response.has_ended:
                    return
        except AttemptFailed as failed:
            response.close()
            self._try_again(call, begun, failed, response, stream.serve)
        except Exception:  # noqa: BLE001 - who called back is a connection, and has others to serve
            response.close()
            station.dispatcher.broken(begun)
            self._break(call)
        else:
            won = station.dispatcher.worked(begun, opened, holds_channel=True)
            passage = Passage(call, opened, station.clock, partial(self._passed, call, won))
            call.stop = partial(stream.stop, call, won, passage)
            passage.begin()

    def _passed(self, call: Call, won: Won[Opened], failure: StationError | None) -> None:
        """Charge a stream that is over, and tell its caller."""
        station = self._station
        call.stop = None
        try:
            ending = stream.ended(station, call, won, failure)
            assert call.hold is not None
            finished = station.calls.noted(ending, call.hold)
            if finished is None:
                self._hand_over(call, partial(stream.settle, station, call, failure, ending))
                return
            stream.finish(call, failure, finished)
        except Exception:  # noqa: BLE001 - who called back is a connection, and has others to serve
            self._break(call)
        else:
            self._end(call, None)

    # When the vendor has answered

    def _answered(self, call: Call, begun: Begun, response: Response) -> None:
        """End a call whose vendor has answered, or go on where it has not."""
        station = self._station
        call.stop = None
        try:
            body = station.exchange.body(call.errand, begun.channel, response)
            decoded = sync.understand(call, begun.channel, body)
        except AttemptFailed as failed:
            self._try_again(call, begun, failed, response, sync.serve)
        except Exception:  # noqa: BLE001 - who called back is a connection, and has others to serve
            station.dispatcher.broken(begun)
            self._break(call)
        else:
            headers = sync.passed(call, response.headers)
            self._worked(call, begun, Answer(body, decoded, headers, response.first_byte_s))

    def _worked(self, call: Call, begun: Begun, answer: Answer) -> None:
        """Charge and answer a call that has worked."""
        station = self._station
        try:
            won = station.dispatcher.worked(begun, answer)
            usage, is_estimated = sync.used(call, answer)
            price, begun.attempt.cost = call.book.charged(call.served.provider.slug, usage, call.terms.multiplier)
            ending = sync.success(station, call, won, usage, price, answer.body, (), is_estimated=is_estimated)
            assert call.hold is not None
            finished = station.calls.noted(ending, call.hold)
            if finished is None:
                self._hand_over(call, partial(sync.settle, station, call, ending, won, answer.body))
                return
            sync.answer(call, won, answer.body, finished)
        except StationError as error:
            self._hand_over(call, partial(sync.fail, station, call, error))
        except Exception:  # noqa: BLE001 - who called back is a connection, and has others to serve
            self._break(call)
        else:
            self._end(call, None)

    # Other ends

    def _try_again(self, call: Call, begun: Begun, failed: AttemptFailed, response: Response, serve: Serve) -> None:
        """Go on after an attempt that failed; one of which nothing was sent does not count."""
        call.stop = None
        if response.is_lost_unsent:
            self._station.dispatcher.undo(call.errand, begun)
            self._hand_over(call, partial(serve, self._station, call))
        else:
            self._hand_over(call, partial(serve, self._station, call, (begun, failed)))

    def _hand_over(self, call: Call, rest: Callable[[], Awaitable[None]]) -> None:
        call.inbound.hand_over((call, rest))

    def _stop(self, call: Call, begun: Begun, waiting: Response) -> None:
        """Give up a call whose vendor has not answered: its caller has left, or the station ends."""
        call.stop = None
        waiting.close()
        self._station.dispatcher.broken(begun)
        self._hand_over(call, partial(sync.fail, self._station, call, asyncio.CancelledError()))

    def _break(self, call: Call) -> None:
        log.exception("call_broke", request_id=call.request_id, operation=call.served.name)
        self._end(call, InternalError("Something went wrong on our side."))

    def _end(self, call: Call, error: StationError | None) -> None:
        self._leave(call, error)
        call.inbound.done()

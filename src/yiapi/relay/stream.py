"""A call that is answered as a stream: events pass as bytes, a tap reads along, nothing waits on the database between.

The head is held back until the first content, so a failure before it has a real status and another channel may serve.
However the stream ends, what was measured is settled, and the caller gets the end mark or one in-band error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import msgspec

from yiapi.calls import Ending, Finished, Replay
from yiapi.channels import Channel, Credential
from yiapi.dispatch import AttemptFailed, Won, malformed, refused_inside
from yiapi.edge import HeaderPairs
from yiapi.errors import ClientClosed, StationError, StreamIncomplete, UpstreamFailed, UpstreamTimeout
from yiapi.money import money_text
from yiapi.providers.contract import Fault, Seen, Tap, Usage
from yiapi.relay import intake, sync
from yiapi.relay.call import JSON_TYPE, Call, texts_of
from yiapi.relay.outgoing import body_for, headers_of, limits_of
from yiapi.relay.station import Station
from yiapi.tokens import count_tokens
from yiapi.upstream import EventSplitter, EventTooLarge, IdleTimeout, Response, TotalTimeout, UpstreamError

EVENT_STREAM = b"text/event-stream"
STREAM_HEADERS: HeaderPairs = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
DRAIN_S = 30.0


@dataclass(slots=True)
class Opened:
    """A stream whose first content has arrived."""

    response: Response
    splitter: EventSplitter
    tap: Tap
    pending: list[bytes]
    has_ended: bool
    events: list[bytes] = field(default_factory=list)
    """Every event, where the answer must be kept whole for an idempotency key."""
    error: StationError | None = None
    """The vendor failed in the same breath as its first content."""


async def serve(station: Station, call: Call) -> None:
    """Serve one streamed call."""
    if not intake.draw(station, call):
        replay = await intake.reserve(station, call)
        if replay is not None:
            call.replay(replay)
            return
    errand = intake.errand_of(call)
    try:
        won = await station.dispatcher.run(
            errand, lambda channel, credential: open_stream(station, call, channel, credential), holds_channel=True
        )
    except (StationError, asyncio.CancelledError) as error:
        raise await sync.give_up(station, call, error) from error
    failure = await pass_on(station, call, won)
    finished = await settle(station, call, won, failure)
    finish(call, failure, finished)


async def open_stream(station: Station, call: Call, channel: Channel, credential: Credential) -> Opened:
    """Make one attempt: it has worked when the first content is there. Raises AttemptFailed."""
    operation, settings = call.served.operation, station.settings
    assert operation.stream is not None
    sent = body_for(call, channel)
    response = await station.exchange.send(
        call.errand,
        channel,
        credential,
        method=operation.method,
        path=operation.vendor_path,
        headers=[*headers_of(sent), (b"accept", EVENT_STREAM)],
        body=sent,
        limits=limits_of(station, settings.first_byte_stream_s),
        total_s=call.deadline_at - station.clock.monotonic(),
    )
    try:
        await _require_stream(station, call, channel, response)
        opened = Opened(response, EventSplitter(), operation.stream.tap(call.request), [], False)
        await _first_content(call, channel, opened)
    except BaseException:
        response.close()
        raise
    return opened


async def _require_stream(station: Station, call: Call, channel: Channel, response: Response) -> None:
    """Classify an answer that is no stream. Raises AttemptFailed."""
    if response.status == 200 and (response.header(b"content-type") or b"").startswith(EVENT_STREAM):
        return
    sync.understand(call, channel, await station.exchange.read(call.errand, channel, response))
    raise malformed(call.errand)


async def _first_content(call: Call, channel: Channel, opened: Opened) -> None:
    """Read up to the first content, or to an end without any."""
    while True:
        try:
            piece = await opened.response.chunk()
            events = list(opened.splitter.feed(piece)) if piece else []
        except UpstreamError as error:
            fault = Fault.TIMEOUT if isinstance(error, IdleTimeout | TotalTimeout) else Fault.UNAVAILABLE
            raise AttemptFailed(fault) from error
        if not piece:
            raise malformed(call.errand)
        has_content = False
        for event in events:
            try:
                seen = opened.tap.see(event)
            except ValueError as error:
                if not has_content:
                    raise malformed(call.errand) from error
                opened.error = UpstreamFailed("The vendor's stream broke.")
                return
            if seen is Seen.ERROR:
                if not has_content:
                    raise refused_inside(call.errand, channel, opened.tap.error())
                opened.error = UpstreamFailed("The vendor failed while it answered.")
                return
            if seen is not Seen.HIDE:
                opened.pending.append(event)
            has_content = has_content or seen is Seen.CONTENT
            opened.has_ended = opened.has_ended or seen is Seen.END
        if opened.has_ended and not has_content and opened.tap.usage() is None:
            raise malformed(call.errand)
        if has_content or opened.has_ended:
            return


async def pass_on(station: Station, call: Call, won: Won[Opened]) -> StationError | None:
    """Pass the stream on to its end; return what it failed with, or None for a clean end."""
    opened = won.value
    failure: StationError | None = opened.error
    try:
        call.begin(200, STREAM_HEADERS)
        await _send(station, call, opened, b"".join(opened.pending))
        opened.pending.clear()
        while failure is None and not opened.has_ended:
            failure = await _next_piece(station, call, opened)
    except asyncio.CancelledError:
        if not (call.has_left or call.stopped_by):
            raise
        if call.task is not None:
            call.task.uncancel()
        failure = call.stopped_by or ClientClosed("The caller left.")
        if call.has_left and won.channel.settings.get("on_leave") == "drain":
            await _drain(opened)
    finally:
        opened.response.close()
    station.dispatcher.ended(won, _fault(failure), is_our_fault=not (call.has_left or call.stopped_by))
    return failure


async def _next_piece(station: Station, call: Call, opened: Opened) -> StationError | None:
    """Read one piece and pass its events; return a failure."""
    try:
        piece = await opened.response.chunk()
        if not piece:
            return StreamIncomplete("The vendor's stream ended before its end.")
        events = list(opened.splitter.feed(piece))
    except (IdleTimeout, TotalTimeout):
        return UpstreamTimeout("The vendor fell silent.")
    except EventTooLarge:
        return UpstreamFailed("The vendor's stream broke.")
    except UpstreamError:
        return StreamIncomplete("The vendor's stream was cut.")
    passing: list[bytes] = []
    failure: StationError | None = None
    for event in events:
        try:
            seen = opened.tap.see(event)
        except ValueError:
            failure = UpstreamFailed("The vendor's stream broke.")
            break
        if seen is Seen.ERROR:
            failure = UpstreamFailed("The vendor failed while it answered.")
            break
        if seen is not Seen.HIDE:
            passing.append(event)
        if seen is Seen.END:
            opened.has_ended = True
            break
    if passing:
        await _send(station, call, opened, b"".join(passing))
    return failure


async def _send(station: Station, call: Call, opened: Opened, piece: bytes) -> None:
    if call.claim is not None:
        opened.events.append(piece)
    call.touched = station.clock.monotonic()
    inbound = call.inbound
    inbound.write(piece)
    if inbound.is_blocked:
        await inbound.drained()


async def _drain(opened: Opened) -> None:
    """Read on without a caller for a while, to learn the real usage."""
    try:
        async with asyncio.timeout(DRAIN_S), aclosing(_pieces(opened)) as pieces:
            async for piece in pieces:
                for event in opened.splitter.feed(piece):
                    opened.tap.see(event)
    except (TimeoutError, UpstreamError, ValueError):
        return


async def _pieces(opened: Opened):  # type: ignore[no-untyped-def]  # noqa: ANN202 - an async generator of bytes
    while piece := await opened.response.chunk():
        yield piece


def _fault(failure: StationError | None) -> Fault | None:
    if failure is None:
        return None
    return Fault.TIMEOUT if isinstance(failure, UpstreamTimeout) else Fault.UNAVAILABLE


def used(call: Call, tap: Tap) -> tuple[Sequence[Usage], bool]:
    """Say what a stream used: by the vendor's word, else by a count of what was read and delivered."""
    usage = tap.usage()
    if usage is not None:
        return usage, False
    operation = call.served.operation
    if operation.counted is None:
        return intake.asked(operation, call), False
    read_tokens = count_tokens(operation.prompt(call.request)) if operation.prompt else 0
    return operation.counted(call.request, read_tokens, count_tokens(tap.text())), True


async def settle(station: Station, call: Call, won: Won[Opened], failure: StationError | None) -> Finished:
    """Settle what was measured, whatever the end was."""
    assert call.hold is not None
    opened, provider = won.value, call.served.provider.slug
    usage, is_estimated = used(call, opened.tap)
    record = call.record(station.clock.monotonic())
    record.usage, record.is_estimated = usage, is_estimated
    record.first_byte_ms = round(opened.response.first_byte_s * 1000)
    if failure is not None:
        record.status, record.is_partial = "failed", True
        record.http_status = failure.status if isinstance(failure, ClientClosed) else 200
        record.error_code, record.error_message = failure.code, failure.message
    won.attempt.http_status = 200
    won.attempt.cost = call.book.cost(provider, usage)
    ending = Ending(
        record=record,
        hold_id=call.hold.id,
        attempts=call.errand.attempts,
        price=call.book.price(provider, usage, call.terms.multiplier),
        claim=call.claim,
        stored=whole_answer(call, opened) if failure is None else None,
        keeps_key=True,
    )
    station.metrics.finished(record)
    return await sync.end(station, call, ending)


def whole_answer(call: Call, opened: Opened) -> Replay | None:
    """Return a stream that came to its end as the answer that a plain call would have had, for a repeated key."""
    shape = call.served.operation.stream
    if call.claim is None or shape is None or shape.whole is None:
        return None
    events = EventSplitter().feed(b"".join(opened.events))
    return Replay(200, texts_of([JSON_TYPE]), msgspec.json.encode(shape.whole(list(events))))


def finish(call: Call, failure: StationError | None, finished: Finished) -> None:
    """End the stream: an in-band error where it failed, and the charge as the last line."""
    last = b""
    if failure is not None:
        shape = call.served.operation.stream
        assert shape is not None
        last = shape.error_event(msgspec.json.decode(call.envelope(failure)))
    charge = f": x-yiapi-charge: {money_text(finished.charge.nano)}\n\n".encode()
    call.inbound.end(last + charge)

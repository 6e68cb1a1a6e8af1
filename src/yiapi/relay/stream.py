"""A call that is answered as a stream: opened, passed on (``yiapi.relay.passage``), settled.

The head is held back until the first content, so a failure before it has a real status and another channel may serve.
However the stream ends, what was measured is settled, and the caller gets the end mark or one in-band error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from yiapi.calls import Ending, Finished, Replay
from yiapi.channels import Channel, Credential
from yiapi.clock import whole_ms
from yiapi.dispatch import AttemptFailed, Begun, Won, malformed, refused_inside
from yiapi.errors import ClientClosed, StationError, UpstreamFailed, UpstreamTimeout
from yiapi.money import money_text
from yiapi.providers.contract import Fault, Seen, Tap, Usage
from yiapi.relay import intake, sync
from yiapi.relay.call import JSON_TYPE, Call, texts_of
from yiapi.relay.outgoing import body_for, headers_of, limits_of
from yiapi.relay.passage import Opened, Passage
from yiapi.relay.station import Station
from yiapi.tokens import count_tokens
from yiapi.upstream import EventSplitter, IdleTimeout, Response, TotalTimeout, UpstreamError

EVENT_STREAM = b"text/event-stream"
DRAIN_S = 30.0


async def serve(station: Station, call: Call, first: tuple[Begun, AttemptFailed] | None = None) -> None:
    """Serve one streamed call, or go on after an attempt that failed."""
    if call.hold is None and not intake.draw(station, call):
        replay = await intake.reserve(station, call)
        if replay is not None:
            call.replay(replay)
            return
    errand = call.errand if first is not None else intake.errand_of(call)
    try:
        won = await station.dispatcher.run(
            errand,
            lambda channel, credential: open_stream(station, call, channel, credential),
            holds_channel=True,
            first=first,
        )
    except (StationError, asyncio.CancelledError) as error:
        raise await sync.give_up(station, call, error) from error
    failure = await pass_on(station, call, won)
    await settle(station, call, failure, ended(station, call, won, failure))


async def open_stream(station: Station, call: Call, channel: Channel, credential: Credential) -> Opened:
    """Make one attempt: it has worked when the first content is there. Raises AttemptFailed."""
    operation, settings = call.served.operation, station.settings
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
    opened = opening(call, response)
    try:
        while not is_open(station, call, channel, opened):
            await response.more()
    except BaseException:
        response.close()
        raise
    return opened


def opening(call: Call, response: Response) -> Opened:
    """Begin to look at the answer to a streamed call."""
    shape = call.served.operation.stream
    assert shape is not None
    return Opened(response, EventSplitter(), shape.tap(call.request), [], False)


def is_open(station: Station, call: Call, channel: Channel, opened: Opened) -> bool:
    """Look at what has arrived, and say whether the first content, or an end without any, is there.

    Raises AttemptFailed.
    """
    response = opened.response
    if response.status != 200 or not (response.header(b"content-type") or b"").startswith(EVENT_STREAM):
        if not response.has_ended:
            return False
        sync.understand(call, channel, station.exchange.body(call.errand, channel, response))
        raise malformed(call.errand)
    piece = response.at_hand()
    if not piece and not response.has_ended:
        return False
    if not piece and response.error is None:
        raise malformed(call.errand)
    try:
        events = opened.splitter.feed(piece)
        if response.error is not None and not piece:
            raise response.error
    except UpstreamError as error:
        fault = Fault.TIMEOUT if isinstance(error, IdleTimeout | TotalTimeout) else Fault.UNAVAILABLE
        raise AttemptFailed(fault) from error
    return _has_begun(call, channel, opened, events)


def _has_begun(call: Call, channel: Channel, opened: Opened, events: Sequence[bytes]) -> bool:
    """Judge the first events; until there is content a failure is one of the attempt. Raises AttemptFailed."""
    has_content = False
    for event in events:
        try:
            seen = opened.tap.see(event)
        except ValueError as error:
            if not has_content:
                raise malformed(call.errand) from error
            opened.error = UpstreamFailed("The vendor's stream broke.")
            return True
        if seen is Seen.ERROR:
            if not has_content:
                raise refused_inside(call.errand, channel, opened.tap.error())
            opened.error = UpstreamFailed("The vendor failed while it answered.")
            return True
        if seen is not Seen.HIDE:
            opened.pending.append(event)
        has_content = has_content or seen is Seen.CONTENT
        opened.has_ended = opened.has_ended or seen is Seen.END
    if opened.has_ended and not has_content and opened.tap.usage() is None:
        raise malformed(call.errand)
    return has_content or opened.has_ended


async def pass_on(station: Station, call: Call, won: Won[Opened]) -> StationError | None:
    """Pass the stream on to its end; return what it failed with, or None for a clean end."""
    over: asyncio.Future[StationError | None] = asyncio.get_running_loop().create_future()
    passage = Passage(call, won.value, station.clock, over.set_result)
    passage.begin()
    try:
        return await asyncio.shield(over)
    except asyncio.CancelledError:
        if call.has_left or call.stopped_by:
            if call.task is not None:
                call.task.uncancel()
            stop(call, won, passage)
            return await over
        passage.stop(StationError("The call was interrupted."))
        raise


def stop(call: Call, won: Won[Opened], passage: Passage) -> None:
    """End a stream whose caller has left, or that the station ends; a channel may want it read to its end."""
    drains = call.has_left and won.channel.settings.get("on_leave") == "drain"
    passage.stop(call.stopped_by or ClientClosed("The caller left."), drain_s=DRAIN_S if drains else 0.0)


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


def ended(station: Station, call: Call, won: Won[Opened], failure: StationError | None) -> Ending:
    """Give the channel back, and describe how the stream ends: what was measured is charged, whatever the end was."""
    assert call.hold is not None
    station.dispatcher.ended(won, _fault(failure), is_our_fault=not (call.has_left or call.stopped_by))
    opened, provider = won.value, call.served.provider.slug
    usage, is_estimated = used(call, opened.tap)
    record = call.record(station.clock.monotonic())
    record.usage, record.is_estimated = usage, is_estimated
    record.first_byte_ms = whole_ms(opened.response.first_byte_s)
    if failure is not None:
        record.status, record.is_partial = "failed", True
        record.http_status = failure.status if isinstance(failure, ClientClosed) else 200
        record.error_code, record.error_message = failure.code, failure.message
    won.attempt.http_status = 200
    price, won.attempt.cost = call.book.charged(provider, usage, call.terms.multiplier)
    ending = Ending(
        record=record,
        hold_id=call.hold.id,
        attempts=call.errand.attempts,
        price=price,
        claim=call.claim,
        stored=whole_answer(call, opened) if failure is None else None,
        keeps_key=True,
    )
    station.metrics.finished(record)
    return ending


async def settle(station: Station, call: Call, failure: StationError | None, ending: Ending) -> None:
    """Write down how a stream ended, and tell its caller."""
    finish(call, failure, await sync.end(station, call, ending))


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

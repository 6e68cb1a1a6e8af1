"""A call that is answered at once: hold, send, settle, answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from yiapi.assets import KeepFailed, KeptFile, Source
from yiapi.calls import Ending, Finished, Replay
from yiapi.channels import Channel, Credential
from yiapi.clock import whole_ms
from yiapi.db import Transaction
from yiapi.dispatch import AttemptFailed, Begun, Won, malformed, refused_inside
from yiapi.edge import HeaderPairs
from yiapi.errors import ClientClosed, StationError, UpstreamInvalid
from yiapi.money import Money
from yiapi.providers.contract import AnswerShape, Usage
from yiapi.providers.paths import read, replace
from yiapi.relay import flow, intake
from yiapi.relay.call import JSON_ONLY, JSON_TYPE, Call, texts_of
from yiapi.relay.outgoing import fitted, headers_of, limits_of
from yiapi.relay.station import Station
from yiapi.tokens import count_tokens


class Answer:
    """What the vendor answered: its bytes, what was read of them, and what passes to the caller beside them."""

    __slots__ = ("body", "decoded", "first_byte_s", "headers", "usage")

    def __init__(
        self,
        body: bytes,
        decoded: Any,
        headers: HeaderPairs,
        first_byte_s: float,
        usage: Sequence[Usage] | None = None,
    ) -> None:
        self.body = body
        self.decoded = decoded
        self.headers = headers
        self.first_byte_s = first_byte_s
        self.usage = usage


async def serve(station: Station, call: Call, first: tuple[Begun, AttemptFailed] | None = None) -> None:
    """Serve one call, or go on after an attempt that failed. Every way out settles or releases the hold."""
    if call.hold is None and not intake.draw(station, call):
        replay = await intake.reserve(station, call)
        if replay is not None:
            call.replay(replay)
            return
    errand = call.errand if first is not None else intake.errand_of(call)
    kept: list[KeptFile] = []
    try:
        won = await station.dispatcher.run(
            errand, lambda channel, credential: exchange(station, call, channel, credential), first=first
        )
        usage, is_estimated = used(call, won.value)
        price, won.attempt.cost = call.book.charged(call.served.provider.slug, usage, call.terms.multiplier)
        body = await keep_files(station, call, won, kept)
    except (StationError, asyncio.CancelledError) as error:
        raise await give_up(station, call, error) from error
    ending = success(station, call, won, usage, price, body, kept, is_estimated=is_estimated)
    await settle(station, call, ending, won, body)


async def settle(station: Station, call: Call, ending: Ending, won: Won[Answer], body: bytes) -> None:
    """Write down how a call ended that has worked, and answer it."""
    answer(call, won, body, await end(station, call, ending))


def answer(call: Call, won: Won[Answer], body: bytes, finished: Finished) -> None:
    """Answer a call that has worked."""
    call.answer_charged(won.value.headers, finished.charge, body)


async def fail(station: Station, call: Call, error: BaseException) -> None:
    """End a call that has failed: raises what its caller is told."""
    raise await give_up(station, call, error) from error


async def end(station: Station, call: Call, ending: Ending) -> Finished:
    """Write down how a call ended, before its answer leaves: in the journal, which waits for nothing, or the books."""
    assert call.hold is not None
    return station.calls.noted(ending, call.hold) or await station.calls.settle(ending, call.hold)


async def exchange(station: Station, call: Call, channel: Channel, credential: Credential) -> Answer:
    """Make one attempt. Raises AttemptFailed."""
    operation = call.served.operation
    if operation.flow is not None:
        outcome, first_byte_s = await flow.run(station, call, channel, credential)
        body = msgspec.json.encode(outcome.json)
        return Answer(body, outcome.json, [JSON_TYPE], first_byte_s, outcome.usage)
    path, sent = fitted(call, channel)
    response = await station.exchange.send(
        call.errand,
        channel,
        credential,
        method=operation.method,
        path=path,
        headers=headers_of(sent),
        body=sent,
        limits=limits_of(station, operation.first_byte_s),
        total_s=call.deadline_at - station.clock.monotonic(),
    )
    body = await station.exchange.read(call.errand, channel, response)
    decoded = understand(call, channel, body)
    if operation.decode is not None:
        decoded = operation.decode(call.request, decoded)
        body = msgspec.json.encode(decoded)
    return Answer(body, decoded, passed(call, response.headers), response.first_byte_s)


def understand(call: Call, channel: Channel, body: bytes) -> Any:
    """Decode a success. Raises AttemptFailed for one that is an error inside, empty, or no JSON."""
    shape = call.served.operation.answer or AnswerShape()
    try:
        decoded = decoder_of(shape).decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise malformed(call.errand) from error
    inside = call.served.provider.faults.inside
    if inside is not None and inside(decoded):
        raise refused_inside(call.errand, channel, msgspec.json.decode(body))
    if shape.is_empty is not None and shape.is_empty(decoded):
        raise malformed(call.errand)
    return decoded


_DECODERS: dict[type[Any], msgspec.json.Decoder[Any]] = {}


def decoder_of(shape: AnswerShape) -> msgspec.json.Decoder[Any]:
    """Return the decoder of a shape, made once."""
    if shape.decode not in _DECODERS:
        _DECODERS[shape.decode] = msgspec.json.Decoder(shape.decode)
    return _DECODERS[shape.decode]


def passed(call: Call, headers: HeaderPairs) -> HeaderPairs:
    """Return the vendor's headers that callers get."""
    names = call.served.passed_headers
    for name, _ in headers:
        if name in names:
            return [JSON_TYPE, *(header for header in headers if header[0] in names)]
    return JSON_ONLY


def used(call: Call, answer: Answer) -> tuple[Sequence[Usage], bool]:
    """Say what a call used: by the vendor's word, by the request where that is exact, else by our own count."""
    operation = call.served.operation
    shape = operation.answer or AnswerShape()
    if answer.usage is not None:
        return answer.usage, False
    usage = shape.usage(call.request, answer.decoded) if shape.usage else None
    if usage:
        return usage, False
    if shape.text is None or operation.counted is None:
        return intake.asked(operation, call), False
    read_tokens = count_tokens(operation.prompt(call.request)) if operation.prompt else 0
    return operation.counted(call.request, read_tokens, count_tokens(shape.text(answer.decoded))), True


async def keep_files(station: Station, call: Call, won: Won[Answer], kept: list[KeptFile]) -> bytes:
    """Copy the result files of an answer and put our links in; raises UpstreamInvalid when one cannot be had."""
    operation = call.served.operation
    shape = operation.answer
    if shape is None or not shape.files or station.switches.assets(call.served.name) == "original":
        return won.value.body
    decoded = won.value.decoded
    links = [link for path in shape.files for link in read(decoded, path) if isinstance(link, str) and link]
    permitted = won.channel.target.permitted
    try:
        kept += await asyncio.gather(
            *(
                station.assets.keep(call.account.id, call.key.mode, Source(url=link, permitted=permitted))
                for link in links
            )
        )
    except KeepFailed as error:
        raise UpstreamInvalid("The vendor's result could not be fetched.") from error
    urls = dict(zip(links, (station.assets.link_to(file) for file in kept), strict=True))
    for path in shape.files:
        replace(decoded, path, lambda link: urls.get(link, link))
    return msgspec.json.encode(decoded)


def success(
    station: Station,
    call: Call,
    won: Won[Answer],
    usage: Sequence[Usage],
    price: Money,
    body: bytes,
    kept: Sequence[KeptFile],
    *,
    is_estimated: bool,
) -> Ending:
    """Describe how a success ends: charge, record, result rows and stored answer are one transaction."""
    assert call.hold is not None
    won.attempt.http_status = 200
    record = call.record(station.clock.monotonic())
    record.usage, record.is_estimated = usage, is_estimated
    record.first_byte_ms = whole_ms(won.value.first_byte_s)
    gone = call.has_left and call.claim is None
    if gone:
        record.status, record.http_status, record.error_code, record.usage = "failed", 499, ClientClosed.code, ()
    station.metrics.finished(record)
    return Ending(
        record=record,
        hold_id=call.hold.id,
        attempts=call.errand.attempts,
        price=None if gone else price,
        claim=call.claim,
        stored=Replay(200, texts_of(won.value.headers), body) if call.claim else None,
        also=[_row(station, call, file, position) for position, file in enumerate(kept)],
    )


def _row(station: Station, call: Call, file: KeptFile, position: int) -> Any:
    def write(tx: Transaction) -> None:
        station.assets.record(tx, file, request_id=call.request_id, task_id=None, position=position)

    return write


async def give_up(station: Station, call: Call, error: BaseException) -> StationError:
    """Release the hold of a call that failed, record it, and return what the caller is told."""
    if isinstance(error, asyncio.CancelledError):
        if not (call.has_left or call.stopped_by):
            error_to_tell: StationError = StationError("The call was interrupted.")
        else:
            error_to_tell = call.stopped_by or ClientClosed("The caller left.")
            if call.task is not None:
                call.task.uncancel()
    else:
        assert isinstance(error, StationError)
        error_to_tell = error
    record = call.record(station.clock.monotonic())
    record.status, record.http_status = "failed", error_to_tell.status
    record.error_code, record.error_message = fault_code(call, error_to_tell), error_to_tell.message
    assert call.hold is not None
    ending = Ending(record=record, hold_id=call.hold.id, attempts=call.errand.attempts, price=None, claim=call.claim)
    station.metrics.finished(record)
    await end(station, call, ending)
    return error_to_tell


def fault_code(call: Call, error: StationError) -> str:
    """Name a failure for the record: the vendor's fault class where it was the vendor's refusal."""
    last = call.errand.attempts[-1].fault if call.errand.attempts else None
    return last.value if error.vendor and last else error.code

"""A submission: the task is ours before the vendor hears of it, and is sent at most once.

Accepted: the vendor's id is kept and the task polled. Refused: the hold is released and the caller told. Unclear: the
caller gets the accepted answer, and the task is looked for; nothing is sent again. What fills a window goes the same
way, with the window's own task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace as with_fields
from typing import Any

import msgspec

from yiapi.calls import Replay
from yiapi.channels import Channel, Credential
from yiapi.dispatch import AttemptFailed, Errand, Unclear, Won, malformed, refused_inside
from yiapi.errors import InvalidRequest, StationError, VendorRefusal
from yiapi.providers.contract import Fault, Parent, Provider, TaskShape, edit, read, write
from yiapi.relay import intake, taken
from yiapi.relay.call import Call
from yiapi.relay.outgoing import fitted, headers_of, limits_of
from yiapi.relay.station import Station
from yiapi.relay.sync import fault_code
from yiapi.relay.taken import Told, ending_of, headers_for, made_of, shape_of
from yiapi.tasks import HOLD_SPARE_S, IdTaken, NewTask, Task, WindowClosed, names_of, new_task_id, renamed, renamed_in

EXTERNAL_ID_LENGTH_MAX = 200
DRAWS_MAX = 20
ANCESTORS_MAX = 20


async def serve(station: Station, call: Call) -> None:
    """Serve one submission."""
    new, made = await _begin(station, call)
    if isinstance(made, Replay):
        call.replay(made)
        return
    call.made = made
    errand = await _errand_of(station, call)
    sending = station.dispatcher.run(
        errand, lambda channel, credential: submit(station, call, new.id, channel, credential)
    )
    ending = asyncio.ensure_future(_end(station, call, new, sending))
    try:
        told = await asyncio.shield(ending)  # what was submitted is written down, whoever stops listening
    except asyncio.CancelledError:
        told = await ending
        if not (call.has_left or call.stopped_by):
            raise
        if call.task is not None:
            call.task.uncancel()
    if not call.has_left:
        await answer(station, call, told)


# Before the vendor hears of it


async def _begin(station: Station, call: Call) -> tuple[NewTask, Task | Replay]:
    """Write the task with its hold, or take the window with one; or return the stored answer of the caller's key."""
    parent = call.served.operation.parent
    hook_url = await hook_of(station, call)
    if parent is not None and parent.fills_window:
        return await _fill(station, call, parent, hook_url)
    claim = intake.claim_of(call)
    for _ in range(DRAWS_MAX):
        new = new_task(call, new_task_id(call.served.provider.ids, station.clock.now_ms()), hook_url)
        hold = intake.new_hold(station, call, owner=None, expires_s=new.deadline_s + HOLD_SPARE_S, reference=new.id)
        try:
            return new, await station.tasks.create(new, hold, claim)
        except IdTaken as error:
            taken_id = error
    raise taken_id


async def _fill(station: Station, call: Call, parent: Parent, hook_url: str | None) -> tuple[NewTask, Task | Replay]:
    assert call.earlier is not None
    assert parent.closed is not None
    new = new_task(call, call.earlier.id, hook_url)
    expires_s = new.deadline_s + HOLD_SPARE_S
    hold = intake.new_hold(station, call, owner=None, expires_s=expires_s, reference=call.request_id)
    try:
        return new, await station.tasks.windows.fill(new, hold, intake.claim_of(call))
    except WindowClosed as error:
        raise parent.closed() from error


def new_task(call: Call, task_id: str, hook_url: str | None) -> NewTask:
    """Describe the task of a call. Raises InvalidRequest for a reference that cannot be."""
    operation, provider, key = call.served.operation, call.served.provider, call.key
    external_id = operation.external_id(call.request) if operation.external_id else None
    if external_id is not None and (not 1 <= len(external_id) <= EXTERNAL_ID_LENGTH_MAX or "\0" in external_id):
        raise InvalidRequest(f"A reference has 1 to {EXTERNAL_ID_LENGTH_MAX} characters, and none of them is NUL.")
    return NewTask(
        id=task_id,
        account_id=call.account.id,
        mode=key.mode,
        key_id=key.id,
        request_id=call.request_id,
        operation=call.served.name,
        provider=provider.slug,
        model=call.model,
        usage=tuple(intake.asked(operation, call)),
        price_version=call.book.version,
        multiplier=call.terms.multiplier,
        external_id=external_id,
        hook_url=hook_url,
        deadline_s=operation.deadline_s or provider.deadline_s,
        open_tasks_max=call.account.open_tasks_max,
        parent_id=call.earlier.id if call.earlier else None,
        names=_names(call.earlier),
        asked=_asked(call),
        id_may_clash=provider.ids.begins_with_time,
    )


def _names(earlier: Task | None) -> str:
    names = names_of(earlier) if earlier is not None else {}
    return msgspec.json.encode(dict([*names.items()][-ANCESTORS_MAX:])).decode()


def _asked(call: Call) -> str | None:
    """Note what is shown of a task before the vendor is asked; what fills a window adds to what opened it."""
    asked = shape_of(call).asked
    if asked is None:
        return None
    noted: dict[str, Any] = asked(call.request)
    if call.earlier is not None and call.earlier.is_window and call.earlier.asked is not None:
        said = {name: value for name, value in noted.items() if value is not None}
        noted = msgspec.json.decode(call.earlier.asked) | said
    return msgspec.json.encode(noted).decode()


async def hook_of(station: Station, call: Call) -> str | None:
    """Return the hook that the caller wants called, if it may be. Raises InvalidRequest."""
    hook = call.served.operation.hook_url
    url = hook(call.request) if hook else None
    if not url:
        return None
    await station.webhooks.check_url(url, param=None)
    return url


async def _errand_of(station: Station, call: Call) -> Errand:
    """Describe the way of a submission; where load decides and there is a choice, with the load of every channel."""
    errand, provider = intake.errand_of(call), call.served.provider
    if provider.spreads == "load" and station.dispatcher.has_choice(errand):
        errand.load = await station.tasks.lookup.load(provider.slug, call.key.mode)
    return errand


async def submit(station: Station, call: Call, task_id: str, channel: Channel, credential: Credential) -> Any:
    """Make one attempt; the vendor's answer must name its task. Raises AttemptFailed."""
    operation, provider, shape = call.served.operation, call.served.provider, shape_of(call)
    path, sent = fitted(call, channel)
    if isinstance(sent, bytes):
        sent = edit(sent, _of_ours(station, provider, task_id, channel))
    can_be_found = provider.reference is not None and shape.find is not None
    if can_be_found and not await station.tasks.sending(task_id, channel.id, credential.id):
        raise AttemptFailed(Fault.UNKNOWN, sent=False, is_unclear=True)  # whoever took it over decides on it
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
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise malformed(call.errand) from error
    if not isinstance(decoded, dict):
        raise malformed(call.errand)
    faults = call.errand.faults
    if faults.inside is not None and faults.inside(decoded):
        if faults.words(decoded) is None:
            raise malformed(call.errand)
        raise refused_inside(call.errand, channel, decoded)
    if read(decoded, shape.receipt.id if shape.receipt else shape.id) in {None, ""}:
        raise malformed(call.errand)
    return decoded


def _of_ours(station: Station, provider: Provider, task_id: str, channel: Channel) -> dict[str, str]:
    """Return the fields that we add: our id for the task, and where the vendor may call us."""
    callback = station.callbacks.url_for(channel) if provider.callback is not None else None
    given = {provider.reference: task_id, provider.callback: callback}
    return {name: value for name, value in given.items() if name is not None and value is not None}


# What came of it


async def _end(station: Station, call: Call, new: NewTask, sending: Awaitable[Won[Any]]) -> Told:
    """Write down how the submission ended. Raises the StationError of a refusal."""
    try:
        won = await sending
    except StationError as error:
        await _refused(station, call, new, error)
        raise
    except Unclear as unclear:
        return await _unclear(station, call, new, unclear)
    return await taken.accepted(station, call, new, won)


async def _unclear(station: Station, call: Call, new: NewTask, unclear: Unclear) -> Told:
    shape, provider, task = shape_of(call), call.served.provider, made_of(call)
    told = shape.receipt.told(None, new.id) if shape.receipt else None
    ending = ending_of(station, call, told)
    place = (unclear.channel.id, unclear.credential.id)
    has_vendor_id = task.vendor_task_id is not None  # a window has one, and is asked for by it
    await station.tasks.unclear(new.id, ending, shape, provider, place, has_vendor_id=has_vendor_id)
    return Told(told, task.held, is_receipt=told is not None)


async def _refused(station: Station, call: Call, new: NewTask, error: StationError) -> None:
    """Write a refusal down. One that names the vendor's task names ours to the caller, and that task has failed."""
    shape = shape_of(call)
    is_named = isinstance(error, VendorRefusal) and _rename(call, error, shape, new)
    ending = ending_of(station, call, None)
    record = ending.record
    record.status, record.http_status, record.task_id = "failed", error.status, None
    record.error_code, record.error_message = fault_code(call, error), error.message
    ending.keeps_hold, ending.stored = False, None
    station.metrics.finished(record)
    if made_of(call).window_until is not None:
        record.task_id = new.id
        await station.tasks.windows.refused(new.id, ending, asked=call.earlier.asked if call.earlier else None)
    elif is_named:
        record.task_id = new.id
        await station.tasks.refused_by_name(new.id, ending)
    else:
        await station.tasks.refused(new.id, ending)


def _rename(call: Call, error: VendorRefusal, shape: TaskShape, new: NewTask) -> bool:
    """Put our ids into a refusal; whether it named the task that it refuses."""
    words = error.vendor
    assert words is not None
    names = names_of(call.earlier) if call.earlier is not None else {}
    error.message = renamed(error.message, names)
    if words.answer is None:
        return False
    said = read(words.answer, shape.receipt.id) if shape.receipt else None
    answer = renamed_in(words.answer, names)
    is_named = isinstance(said, str | int) and said != ""
    if is_named and shape.receipt:
        write(answer, shape.receipt.id, new.id)
    error.vendor = with_fields(words, answer=answer)
    return is_named


async def answer(station: Station, call: Call, told: Told) -> None:
    """Answer with the task as it is, or as it is when it ends if the caller wants to wait; or with its receipt."""
    task, body = made_of(call), told.body
    if call.wait_s and told.may_wait:
        task = await station.tasks.wait(task, call.wait_s)
        body = body if told.is_receipt else None
    if body is None:
        body = await station.tasks.shown(task, call.request_id)
    call.answer(200, headers_for(told.held), msgspec.json.encode(body))

"""A submission that the vendor took: what is written, and what the caller is told.

Most vendors answer with the task. Where they answer with a receipt, it may say other things too: that a window is open,
that the task exists already, that it is done.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec

from yiapi.assets import KeepFailed, KeptFile, Source
from yiapi.calls import Ending, Replay
from yiapi.channels import Channel
from yiapi.db import Transaction
from yiapi.dispatch import Won
from yiapi.edge import HeaderPairs
from yiapi.errors import StorageUnavailable
from yiapi.logs import get_logger
from yiapi.money import ZERO, Money
from yiapi.providers.contract import Receipt, Status, TaskShape, read
from yiapi.providers.paths import replace
from yiapi.relay.call import JSON_TYPE, Call, texts_of
from yiapi.relay.station import Station
from yiapi.tasks import NewTask, Task, first_look_s, names_of, renamed_in
from yiapi.tasks import store as tasks_store
from yiapi.tasks.models import Ended
from yiapi.tasks.render import ASSET_MARK
from yiapi.tasks.words import kept_text

AT_ONCE_S = 20.0

log = get_logger()


@dataclass(frozen=True, slots=True)
class Told:
    """What the caller of a submission is told: a body (None: the task as it is then), and what is held for it.

    A receipt says the same however long its caller waits; a task does not.
    """

    body: Any
    held: Money
    may_wait: bool = True
    is_receipt: bool = True


def shape_of(call: Call) -> TaskShape:
    """Return the shape of the tasks that a call makes."""
    shape = call.served.operation.task
    assert shape is not None
    return shape


async def accepted(station: Station, call: Call, new: NewTask, won: Won[Any]) -> Told:
    """Write down that the vendor took it, and return what the caller is told."""
    won.attempt.http_status = 200
    shape, task = shape_of(call), made_of(call)
    if shape.receipt is not None:
        return await _receipt(station, call, new, won, shape.receipt)
    said = shape.statuses.get(str(read(won.value, shape.status)), Status.QUEUED)
    status = said if not said.is_final else Status.RUNNING
    said_id, text = str(read(won.value, shape.id)), msgspec.json.encode(won.value).decode()
    shown = station.tasks.rendered_as(task, status, won.value, call.request_id)
    is_open = await station.tasks.accepted(
        new.id,
        ending_of(station, call, shown),
        status=status,
        vendor_task_id=said_id,
        channel_id=won.channel.id,
        credential_id=won.credential.id,
        answer=text,
        look_s=first_look_s(call.served, won.channel, station.settings),
    )
    if not is_open:  # it was ended meanwhile, by its caller or by time
        call.made, shown = await station.tasks.get(new.account_id, new.mode, new.id), None
    return Told(shown, task.held, is_receipt=False)


async def _receipt(station: Station, call: Call, new: NewTask, won: Won[Any], receipt: Receipt) -> Told:
    task, vendor_id = made_of(call), str(read(won.value, receipt.id))
    if receipt.waiting is not None:
        station.dispatcher.note_waiting(won.channel, receipt.waiting(won.value) or 0)
    answer = won.channel.redactor.hide_in(won.value)
    answer = renamed_in(answer, names_of(call.earlier)) if call.earlier is not None else answer
    if task.window_until is None:  # else it fills a window, whose id the vendor repeats
        known = await station.tasks.lookup.by_vendor_id(task, won.channel.id, vendor_id)
        if known is not None:
            told = receipt.told(answer, known.id)
            if receipt.told_again is not None:
                told = receipt.told_again(told, await station.tasks.shown(known, call.request_id))
            return await _known(station, call, known, told)
        if receipt.window is not None and receipt.window.opens(won.value):
            return await _opened(station, call, new, won, receipt, answer)
    told = receipt.told(answer, new.id)
    ending = ending_of(station, call, told)
    _note(ending, task, receipt, answer)
    is_open = await station.tasks.accepted(
        new.id,
        ending,
        status=Status.QUEUED,
        vendor_task_id=vendor_id,
        channel_id=won.channel.id,
        credential_id=won.credential.id,
        answer=None,
        look_s=first_look_s(call.served, won.channel, station.settings),
    )
    finished = receipt.finished(won.value) if is_open and receipt.finished is not None else None
    if finished is not None:
        await _finish(station, call, won.channel, finished)
    return Told(told, task.held)


async def _known(station: Station, call: Call, known: Task, told: Any) -> Told:
    """Undo row and hold: the vendor's id is that of a task which the tenant has already."""
    ending = ending_of(station, call, told, held=ZERO)
    ending.keeps_hold = False
    ending.record.status, ending.record.task_id = "succeeded", known.id
    await station.tasks.refused(made_of(call).id, ending)
    return Told(told, ZERO, may_wait=False)


async def _opened(station: Station, call: Call, new: NewTask, won: Won[Any], receipt: Receipt, answer: Any) -> Told:
    """Keep the task as an open window, and release its hold: it is free until it is used."""
    assert receipt.window is not None
    task = made_of(call)
    told = receipt.told(answer, task.id)
    ending = ending_of(station, call, told, held=ZERO)
    ending.keeps_hold = False
    ending.record.status = "succeeded"
    await station.tasks.windows.open(
        new,
        ending,
        vendor_task_id=str(read(won.value, receipt.id)),
        channel_id=won.channel.id,
        credential_id=won.credential.id,
        asked=_noted(task, receipt, answer),
        open_s=receipt.window.open_s,
    )
    return Told(told, ZERO, may_wait=False)


def _noted(task: Task, receipt: Receipt, answer: Any) -> str | None:
    asked = None if task.asked is None else msgspec.json.decode(task.asked)
    return (
        None
        if asked is None
        else msgspec.json.encode(receipt.noted(answer, asked) if receipt.noted is not None else asked).decode()
    )


def _note(ending: Ending, task: Task, receipt: Receipt, answer: Any) -> None:
    """Have written, beside the acceptance, what the receipt adds to what is shown of the task."""
    asked = _noted(task, receipt, answer)

    def write(tx: Transaction) -> None:
        tx.run(tasks_store.SQL.note, id=task.id, asked=asked)

    ending.also = [*ending.also, write]


# A task that is done already


async def _finish(station: Station, call: Call, channel: Channel, finished: Any) -> None:
    """Keep the files of a task that is done already, and end it; when that takes too long, the poller does it."""
    shape, task = shape_of(call), made_of(call)
    links = shape.links(finished)
    kept: list[KeptFile] = []
    if station.switches.assets(call.served.name) != "original":
        sources = [Source(url=link, permitted=channel.target.permitted) for link in links]
        try:
            async with asyncio.timeout(AT_ONCE_S):
                kept += await asyncio.gather(*(station.assets.keep(task.account_id, task.mode, one) for one in sources))
        except (KeepFailed, StorageUnavailable, TimeoutError) as error:
            log.warning("result_not_kept_at_once", task_id=task.id, error=type(error).__name__)
            return
    marks = {link: ASSET_MARK + file.id for link, file in zip(links, kept, strict=False)}
    for path in shape.files:
        replace(finished, path, lambda link: marks.get(link, link))
    end = Ended(status=Status.SUCCEEDED, answer=kept_text(shape, finished, channel, is_end=True), captures=True)
    if not await station.tasks.end(task, end, fence=0, kept=kept):
        for file in kept:
            await station.assets.discard(file)


# The record


def made_of(call: Call) -> Task:
    """Return what a submission has written of its task."""
    assert call.made is not None
    return call.made


def ending_of(station: Station, call: Call, told: Any, *, held: Money | None = None) -> Ending:
    """Describe the end of a submission: the hold goes over to the task, and the key gets the accepted answer.

    ``told`` is that answer; None: the task as it is now.
    """
    task = made_of(call)
    record = call.record(station.clock.monotonic())
    record.status, record.task_id = "accepted", task.id
    stored = None
    if call.claim is not None:
        body = station.tasks.rendered(task, {}, call.request_id) if told is None else told
        stored = Replay(200, texts_of(headers_for(task.held if held is None else held)), msgspec.json.encode(body))
    return Ending(
        record=record,
        hold_id=task.hold_id,
        attempts=call.errand.attempts,
        price=None,
        claim=call.claim,
        stored=stored,
        keeps_hold=True,
    )


def headers_for(held: Any) -> HeaderPairs:
    """Return the headers of an accepted answer."""
    return [JSON_TYPE, (b"x-yiapi-held", str(held).encode())]

"""A question about a task that only its vendor can answer: free, and asked where the task was made."""

from __future__ import annotations

from dataclasses import replace as with_fields
from typing import Any

import msgspec

from yiapi.channels import Channel, Credential
from yiapi.dispatch import Errand, decoded, malformed, refused_inside
from yiapi.errors import VendorRefusal
from yiapi.providers.contract import Question
from yiapi.relay.call import JSON_TYPE, Call
from yiapi.relay.outgoing import limits_of
from yiapi.relay.station import Station
from yiapi.tasks import Task, names_of, renamed, renamed_in


async def serve(station: Station, call: Call, task: Task, question: Question) -> None:
    """Ask, and answer with what the vendor says; its refusals pass as the dialect wants it."""
    if task.vendor_task_id is None or task.channel_id is None:
        raise question.unready()
    path = question.path(call.path_values, task.vendor_task_id)
    call.model = task.model
    call.errand = errand = Errand(
        provider=call.served.provider,
        operation=call.served.operation,
        mode=task.mode,
        price_group=call.account.price_group,
        model=task.model,
        request_id=call.request_id,
        kind="making",
        deadline_at=call.deadline_at,
        only_channel=task.channel_id,
        only_credential=task.credential_id,
    )
    names = names_of(task)
    try:
        won = await station.dispatcher.run(
            errand, lambda channel, credential: _ask(station, call, path, channel, credential)
        )
    except VendorRefusal as refusal:
        refusal.message = renamed(refusal.message, names)
        if refusal.vendor is not None:
            refusal.vendor = with_fields(refusal.vendor, answer=renamed_in(refusal.vendor.answer, names))
        raise
    told = question.told(renamed_in(won.channel.redactor.hide_in(won.value), names))
    call.answer(200, [JSON_TYPE], msgspec.json.encode(told))


async def _ask(station: Station, call: Call, path: str, channel: Channel, credential: Credential) -> Any:
    """Make one attempt. Raises AttemptFailed."""
    errand = call.errand
    response = await station.exchange.send(
        errand,
        channel,
        credential,
        method="GET",
        path=path,
        headers=[],
        body=b"",
        limits=limits_of(station, call.served.operation.first_byte_s),
        total_s=call.deadline_at - station.clock.monotonic(),
    )
    answer = decoded(await station.exchange.read(errand, channel, response))
    if not isinstance(answer, dict):
        raise malformed(errand)
    inside = errand.faults.inside
    if inside is not None and inside(answer):
        raise refused_inside(errand, channel, answer)
    return answer

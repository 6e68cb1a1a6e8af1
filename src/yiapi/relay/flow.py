"""The third rung: an operation that needs several calls to its vendor, as a generator that yields them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from yiapi.channels import Channel, Credential
from yiapi.dispatch import JSON_HEADERS, decoded, malformed, refused_inside
from yiapi.providers.contract import Call as VendorCall
from yiapi.providers.contract import Outcome, Reply
from yiapi.relay.call import Call
from yiapi.relay.forms import Form, Part
from yiapi.relay.outgoing import limits_of
from yiapi.relay.station import Station


async def run(station: Station, call: Call, channel: Channel, credential: Credential) -> tuple[Outcome, float]:
    """Run a flow on one channel; a failure of any of its calls fails the attempt. Raises AttemptFailed."""
    assert call.served.operation.flow is not None
    steps = call.served.operation.flow(call.request, parts_of(call.body))
    first_byte_s = 0.0
    try:
        wanted = next(steps)
        while True:
            reply, took_s = await _step(station, call, channel, credential, wanted)
            first_byte_s += took_s
            wanted = steps.send(reply)
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome, first_byte_s


def parts_of(body: bytes | Form) -> Mapping[str, Part]:
    """Return the parts of a form by name, for a flow to send on."""
    return {part.name: part for part in body.parts} if isinstance(body, Form) else {}


async def _step(
    station: Station, call: Call, channel: Channel, credential: Credential, wanted: VendorCall
) -> tuple[Reply, float]:
    body, headers = _body(wanted)
    response = await station.exchange.send(
        call.errand,
        channel,
        credential,
        method=wanted.method,
        path=wanted.path,
        headers=[*headers, *wanted.headers],
        body=body,
        limits=limits_of(station, call.served.operation.first_byte_s),
        total_s=call.deadline_at - station.clock.monotonic(),
    )
    answer: Any = decoded(await station.exchange.read(call.errand, channel, response))
    if answer is None:
        raise malformed(call.errand)
    inside = call.served.provider.faults.inside
    if inside is not None and inside(answer):
        raise refused_inside(call.errand, channel, answer)
    texts = {name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
    return Reply(status=response.status, headers=texts, json=answer), response.first_byte_s


def _body(wanted: VendorCall) -> tuple[bytes | Form, Sequence[tuple[bytes, bytes]]]:
    if wanted.form is not None:
        form = Form([_renamed(name, value) for name, value in wanted.form])
        return form, [(b"content-type", form.content_type)]
    if wanted.json is None:
        return b"", []
    return msgspec.json.encode(wanted.json), JSON_HEADERS


def _renamed(name: str, value: Part | str) -> Part:
    if isinstance(value, Part):
        return Part(name, value.is_file, value.content_type, value.content, value.size_bytes)
    from io import BytesIO

    raw = value.encode()
    return Part(name, False, None, BytesIO(raw), len(raw))

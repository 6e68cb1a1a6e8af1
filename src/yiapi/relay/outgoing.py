"""What goes up: the caller's own bytes, with what this channel's account needs."""

from __future__ import annotations

from collections.abc import Sequence

from yiapi.channels import Channel
from yiapi.dispatch import JSON_HEADERS
from yiapi.providers.contract import Outgoing, edit
from yiapi.relay.call import Call
from yiapi.relay.forms import Form
from yiapi.relay.station import Station
from yiapi.tasks import earlier_of
from yiapi.upstream import Limits


def headers_of(body: bytes | Form) -> Sequence[tuple[bytes, bytes]]:
    """Return the headers that describe a body."""
    return [(b"content-type", body.content_type)] if isinstance(body, Form) else JSON_HEADERS


def body_for(call: Call, channel: Channel) -> bytes | Form:
    """Return the body for one channel: the model under the name that this account has for it."""
    name = channel.model_names.get(call.model)
    if name is None or isinstance(call.outgoing, Form):
        return call.outgoing
    field = "model_name" if hasattr(call.request, "model_name") else "model"
    return edit(call.outgoing, {field: name})


def fitted(call: Call, channel: Channel) -> tuple[str, bytes | Form]:
    """Return path and body for one channel. Raises the StationError of a request that this channel cannot be sent."""
    operation = call.served.operation
    body = body_for(call, channel)
    if operation.fit is None or isinstance(body, Form):
        return operation.vendor_path, body
    earlier = earlier_of(call.earlier) if call.earlier is not None else None
    outgoing = operation.fit(call.request, Outgoing(path=operation.vendor_path, body=body), channel.settings, earlier)
    return outgoing.path, outgoing.body


def limits_of(station: Station, first_byte_s: float) -> Limits:
    """Return how long each part of an attempt may take; the call's own deadline ends it all."""
    limits = station.limits.get(first_byte_s)
    if limits is None:
        settings = station.settings
        limits = station.limits[first_byte_s] = Limits(
            connect_s=settings.connect_s, first_byte_s=first_byte_s, idle_s=settings.idle_s
        )
    return limits

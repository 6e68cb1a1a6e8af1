"""The way in: key, body, model, price, limits. When it is through, the call may be reserved and sent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from yiapi import tasks
from yiapi.apikeys import budget_period_of
from yiapi.calls import Claim, Draw, Ending, Replay
from yiapi.dispatch import Errand
from yiapi.errors import (
    Draining,
    InternalError,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    StationError,
)
from yiapi.ledger import NewHold
from yiapi.providers.contract import Mode, Operation, Usage
from yiapi.providers.registry import Served
from yiapi.relay import bodies
from yiapi.relay.call import Call
from yiapi.relay.forms import Form
from yiapi.relay.station import Station

HOLD_SPARE_S = 60
OPTIONS = frozenset({b"x-yiapi-timeout", b"x-client-request-id", b"prefer", b"idempotency-key"})
IDEMPOTENCY_KEY_LENGTH_MAX = 255
CLIENT_REQUEST_ID_LENGTH_MAX = 200
WAIT_S_MAX = 60.0


def authenticate(station: Station, call: Call) -> None:
    """Find the caller by its key. Raises InvalidApiKey, PermissionDenied."""
    shown = None if call.served.provider.key_headers else call.headers.get(b"authorization")
    key = station.apikeys.shown_before(shown) if shown is not None else None
    if key is None:
        key = station.apikeys.authenticate(key_text(call))
        if shown is not None and key.account is not None:
            station.apikeys.remember(shown, key)
    if key.account is None:
        raise PermissionDenied("A key of the operator makes no calls.")
    call.key, call.account = key, key.account


def key_text(call: Call) -> str | None:
    """Return the key as the caller sent it: in the dialect's own header, else as a bearer."""
    provider = call.served.provider
    scheme, _, text = call.headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    bearer = text.strip() if scheme.lower() == "bearer" else None
    if provider.relays_keys and bearer:
        return bearer
    for name in provider.key_headers:
        value = call.headers.get(name.encode())
        if value is not None:
            text = value.decode("latin-1")
            return f"sk-{text.strip().removeprefix('Bearer ').removeprefix('sk-')}" if provider.relays_keys else text
    return bearer


async def take_in(station: Station, call: Call) -> None:
    """Read, decode and price a call. Raises the StationError that refuses it; nothing is reserved yet."""
    refuse_at_the_end(station)
    operation, settings = call.served.operation, station.settings
    read_options(station, call)
    body: bytes | Form | None = bodies.whole_body(call.inbound, operation)
    if body is None:
        body = await bodies.read_body(
            call.inbound, operation, window_s=settings.client_body_s, memory_bytes=settings.body_memory_bytes
        )
    decode(call, body)
    if operation.parent is not None:
        call.earlier = await earlier_of(station, call)
    admit(station, call)


def refuse_at_the_end(station: Station) -> None:
    """Raise Draining for a call that comes when nothing more is begun."""
    if station.is_ending:
        raise Draining("The station is being stopped; try again.", retry_after_s=1)


def decode(call: Call, body: bytes | Form) -> None:
    """Read what the body says. Raises InvalidRequest, UnsupportedMediaType."""
    call.body = call.outgoing = body
    call.request = bodies.decode(call.served.operation, body)
    if call.path_values:
        vars(call.request)["path_values"] = call.path_values


def admit(station: Station, call: Call) -> None:
    """Price a call, take its place, and write what goes up. Raises what ``price`` raises."""
    operation, body = call.served.operation, call.body
    price(station, call, asked(operation, call))
    if operation.encode is not None and isinstance(body, bytes):
        call.outgoing = operation.encode(call.request, body)
    call.is_taken_in = True


def asked(operation: Operation, call: Call) -> Sequence[Usage]:
    """Return what the call asks for, at the most."""
    assert operation.usage is not None
    if operation.parent is not None and operation.parent.usage is not None and call.earlier is not None:
        usage = operation.parent.usage(call.request, tasks.earlier_of(call.earlier))
    else:
        usage = operation.usage(call.request)
    return [usage] if isinstance(usage, Usage) else usage


def price(station: Station, call: Call, usage: Sequence[Usage]) -> None:
    """Quote the call, and see that its key may make it. Raises ModelNotFound, PermissionDenied, OperationDisabled."""
    provider, key = call.served.provider.slug, call.key
    model = call.model = usage[0].model
    terms = call.terms = station.terms.of(call.served, key, model, call.inbound.peer)
    book = call.book = terms.book  # pinned: an edit meanwhile is for later calls
    tokens = 0
    if key.tokens_per_minute is not None:
        tokens = sum(line.quantity for line in book.quote(provider, usage, terms.multiplier).parts)
    call.amount = book.at_most(provider, usage, terms.multiplier)
    call.slot = station.apikeys.admit(key, tokens)


def read_options(station: Station, call: Call) -> None:
    """Read the headers that every charging call understands. Raises InvalidRequest."""
    headers = call.headers
    limit_s = limit_s_of(station, call.served)
    call.deadline_at = call.began + limit_s
    if not has_options(headers):
        return
    if b"x-yiapi-timeout" in headers:
        limit_s = min(limit_s, _seconds(headers[b"x-yiapi-timeout"], "x-yiapi-timeout"))
    call.deadline_at = call.began + limit_s
    client_id = headers.get(b"x-client-request-id")
    if client_id is not None:
        text = client_id.decode("latin-1")
        call.client_request_id = text if text.isprintable() and len(text) <= CLIENT_REQUEST_ID_LENGTH_MAX else None
    for preference in headers.get(b"prefer", b"").split(b","):
        name, _, value = preference.strip().partition(b"=")
        if name.lower() == b"wait":
            call.wait_s = min(_seconds(value, "Prefer: wait"), WAIT_S_MAX)
    if b"idempotency-key" in headers:
        _check_key(headers[b"idempotency-key"])


def limit_s_of(station: Station, served: Served) -> float:
    """Return how long a call may take, unless its caller wants it shorter."""
    return station.settings.total_stream_s if served.mode is Mode.STREAM else station.settings.total_s


def _seconds(value: bytes, name: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise InvalidRequest(f"{name} must be a number of seconds above 0.", param=name)
    return seconds


def _check_key(key: bytes) -> None:
    if not 1 <= len(key) <= IDEMPOTENCY_KEY_LENGTH_MAX or any(not 0x20 < byte < 0x7F for byte in key):
        raise InvalidRequest("Idempotency-Key must have 1 to 255 printable ASCII characters.", param="Idempotency-Key")


def claim_of(call: Call) -> Claim | None:
    """Return the claim that the caller's idempotency key makes, if it sent one."""
    key = call.headers.get(b"idempotency-key")
    if key is None:
        return None
    method = call.inbound.method
    route = f"{method} {call.inbound.path.decode('latin-1')}"  # of an operation's places each is a route of its own
    call.claim = Claim(
        account_id=call.account.id,
        mode=call.key.mode,
        route=route,
        key=key.decode(),
        fingerprint=bodies.fingerprint(method, route, call.body),
        request_id=call.request_id,
    )
    return call.claim


def new_hold(station: Station, call: Call, *, owner: str | None, expires_s: float, reference: str) -> NewHold:
    """Describe the hold of a call."""
    key = call.key
    return NewHold(
        reference=reference,
        wallet=call.terms.wallet,
        amount=call.amount,
        owner=owner,
        expires_s=math.ceil(expires_s),
        key_id=key.id if key.budget is not None else None,
        budget_period=budget_period_of(key, station.clock.now_ms()) if key.budget is not None else None,
        budget=key.budget,
    )


def draw(station: Station, call: Call) -> bool:
    """Reserve a call that is answered at once below this node's allowance, where it reaches; nothing is waited for."""
    if may_draw(call):
        call.hold = station.calls.draw(call.terms.wallet, call.amount.nano)
    return call.hold is not None


def may_draw(call: Call) -> bool:
    """Whether a call needs no hold of its own: it has neither idempotency key nor budget, nor rows of its result."""
    shape = call.served.operation.answer
    return call.key.budget is None and b"idempotency-key" not in call.headers and not (shape and shape.files)


async def reserve(station: Station, call: Call) -> Replay | None:
    """Reserve a call that is answered at once, or return the stored answer of its key.

    Raises InsufficientQuota, StorageUnavailable, and what a claim raises.
    """
    if may_draw(call):
        call.hold = await station.calls.refill(call.terms.wallet, call.amount.nano)
        if call.hold is not None:
            return None
    remaining_s = call.deadline_at - station.clock.monotonic()
    new = new_hold(
        station,
        call,
        owner=station.calls.node.id,
        expires_s=remaining_s + HOLD_SPARE_S,
        reference=call.request_id,
    )
    accepted = await station.calls.accept(new, claim_of(call))
    if isinstance(accepted, Replay):
        return accepted
    call.hold = accepted
    return None


def has_options(headers: Mapping[bytes, bytes]) -> bool:
    """Whether headers ask for anything that ``read_options`` reads."""
    return not headers.keys().isdisjoint(OPTIONS)


def let_go(station: Station, call: Call) -> None:
    """Take back the reservation of a call whose flow broke before it could end it."""
    if not isinstance(call.hold, Draw) or not call.hold.is_open:
        return
    record = call.record(station.clock.monotonic())
    record.status, record.http_status, record.error_code = "failed", InternalError.status, InternalError.code
    attempts = call.errand.attempts if hasattr(call, "errand") else ()
    station.calls.noted(Ending(record=record, hold_id=call.hold.id, attempts=attempts, price=None), call.hold)


def errand_of(call: Call) -> Errand:
    """Describe the way of a call through the channels."""
    served = call.served
    call.errand = Errand(
        provider=served.provider,
        operation=served.operation,
        mode=call.key.mode,
        price_group=call.account.price_group,
        model=call.model,
        request_id=call.request_id,
        kind=served.kind,
        deadline_at=call.deadline_at,
    )
    serves = served.provider.serves
    if serves is not None:
        request = call.request
        call.errand.fits = lambda channel: serves(request, channel.settings)
    if call.earlier is not None:
        call.errand.only_channel, call.errand.only_credential = call.earlier.channel_id, call.earlier.credential_id
    return call.errand


async def earlier_of(station: Station, call: Call) -> tasks.Task | None:
    """Find the task that a call goes on from. Raises the refusal that the provider declares."""
    parent = call.served.operation.parent
    task_id = parent.id(call.request) if parent is not None else None
    if parent is None or task_id is None:
        return None
    try:
        task = await station.tasks.get(call.account.id, call.key.mode, task_id)
    except NotFound as error:
        raise parent.missing() from error
    if task.provider != call.served.provider.slug:
        raise parent.missing()
    if parent.check is not None:
        parent.check(call.request, tasks.earlier_of(task))
    if task.vendor_task_id is None or task.channel_id is None:
        raise parent.missing()
    return task


__all__ = [
    "StationError",
    "authenticate",
    "claim_of",
    "draw",
    "errand_of",
    "let_go",
    "new_hold",
    "reserve",
    "take_in",
]

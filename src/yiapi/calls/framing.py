"""How a call that ended below an allowance becomes a frame of the journal."""

from __future__ import annotations

from typing import Any, Final

from yiapi.calls import frames
from yiapi.calls.models import Ending
from yiapi.calls.purse import Draw

FRAME_BYTES_MAX: Final = 48 * 1024


def call_frame(ending: Ending, draw: Draw, charge: int, loss: int) -> bytes:
    """Write a call that ended as a frame."""
    allowance = draw.allowance
    frame = fields_of(ending, allowance.id, allowance.wallet, allowance.left, charge, loss)
    try:
        payload = frames.encode(frame)
    except UnicodeEncodeError:  # half a character, as callers and vendors may send it
        return frames.encode(frames.cleaned(frames.Ended(*frame[1:])))
    return payload if len(payload) <= FRAME_BYTES_MAX else frames.encode(frames.cleaned(frames.Ended(*frame[1:])))


def fields_of(  # length: one loop and one literal, because it is on the way of every call
    ending: Ending, hold_id: str, wallet: str, spare: int, charge: int, loss: int
) -> tuple[Any, ...]:
    """Return the fields of ``Ended`` with the tag before them; making the struct would cost more than encoding it."""
    record, cost = ending.record, 0
    usage: list[tuple[str, str, int]] = []
    for line in record.usage:
        usage.append((line.sku, line.unit, line.quantity))  # noqa: PERF401 - half the time of a comprehension
    attempts: list[tuple[Any, ...]] = []
    for attempt in ending.attempts:
        own_cost = attempt.cost.nano
        cost += own_cost
        attempts.append(
            (
                attempt.channel_id,
                attempt.credential_id,
                attempt.fault,
                attempt.http_status,
                own_cost,
                attempt.started_at_ms,
                attempt.duration_ms,
                attempt.detail,
            )
        )
    row = (
        record.id,
        record.account_id,
        record.mode,
        record.key_id,
        record.operation,
        record.provider,
        record.model,
        record.status,
        record.http_status,
        +record.is_estimated,
        +record.is_partial,
        record.price_version,
        record.multiplier,
        record.client_request_id,
        record.error_code,
        record.error_message,
        record.created_at_ms,
        record.duration_ms,
        record.first_byte_ms,
    )
    return ("c", hold_id, wallet, spare, charge, loss, cost, row, usage, attempts)

"""What is in a journal: calls that ended below an allowance, slices that go back, what is spare.

A frame is an array: its kind, and the rest by position, because it is written for every call.
"""

from __future__ import annotations

from typing import Any, Union

import msgspec

from yiapi.calls.models import Ending
from yiapi.calls.purse import Draw

FRAME_BYTES_MAX = 48 * 1024
TEXT_CHARACTERS_MAX = 500


class Ended(msgspec.Struct, array_like=True, tag="c", gc=False):
    """A call: what it used up of its allowance, what nothing covers, its row and its attempts."""

    hold_id: str
    wallet: str
    spare: int
    charge: int
    loss: int
    cost: int
    row: tuple[Any, ...]
    """``RECORD_COLUMNS`` of ``yiapi.calls.store``."""
    usage: list[tuple[str, str, int]]
    attempts: list[tuple[Any, ...]]
    """``ATTEMPT_COLUMNS`` of ``yiapi.calls.store``, but for the request's id and the number."""


class Returned(msgspec.Struct, array_like=True, tag="r", gc=False):
    """A part of an allowance, or what is left of it and the allowance itself."""

    hold_id: str
    wallet: str
    amount: int
    is_all: bool


class Spare(msgspec.Struct, array_like=True, tag="s", gc=False):
    """What no call needs of an allowance at the moment."""

    hold_id: str
    amount: int


class Answered(msgspec.Struct, array_like=True, tag="a", gc=False):
    """The answer to a recall: what was to be given back is in the frames before."""

    hold_ids: list[str]
    number: int


Frame = Union[Ended, Returned, Spare, Answered]  # noqa: UP007 - msgspec reads the union

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Frame).decode


def call_frame(ending: Ending, draw: Draw, charge: int, loss: int) -> bytes:
    """Write a call that ended as a frame."""
    allowance = draw.allowance
    frame = fields_of(ending, allowance.id, allowance.wallet, allowance.left, charge, loss)
    try:
        payload = encode(frame)
    except UnicodeEncodeError:  # half a character, as callers and vendors may send it
        return encode(cleaned(Ended(*frame[1:])))
    return payload if len(payload) <= FRAME_BYTES_MAX else encode(cleaned(Ended(*frame[1:])))


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


def cleaned(frame: Ended) -> Ended:
    """Return a call with texts that any database takes: short, without halves of characters and without NUL."""
    return msgspec.structs.replace(
        frame,
        row=tuple(map(_clean, frame.row)),
        usage=[(str(_clean(sku)), unit, quantity) for sku, unit, quantity in frame.usage],
        attempts=[tuple(map(_clean, attempt)) for attempt in frame.attempts],
    )


def _clean(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return value[:TEXT_CHARACTERS_MAX].encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")

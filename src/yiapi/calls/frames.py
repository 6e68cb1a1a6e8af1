"""What is in a journal: calls that ended below an allowance, slices that go back, what is spare.

A frame is an array: its kind, and the rest by position, because it is written for every call.
"""

from __future__ import annotations

from typing import Any, Union

import msgspec

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

"""What is in a journal: calls that ended below an allowance, slices that go back, what is spare.

A frame is an array: its kind, and the rest by position, because it is written for every call.
"""

from __future__ import annotations

from typing import Any, Union

import msgspec

from yiapi.providers.contract import Usage

TEXT_CHARACTERS_MAX = 500


class Ended(msgspec.Struct, array_like=True, tag="c", gc=False):
    """A call: what it used up of its allowance, what nothing covers, its row and its attempts."""

    hold_id: str
    wallet: str
    spare: int
    charge: int
    loss: int
    record: list[Any]
    """The fields of a ``Record``, in their order."""
    attempts: list[list[Any]]
    """The fields of each ``Attempt``."""


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


def cut(frame: tuple[Any, ...]) -> bytes:
    """Return the frame of a call whose texts are too long, or none that UTF-8 has: halves of characters."""
    *amounts, record, attempts = frame
    rows = [_clean(msgspec.structs.astuple(attempt)) for attempt in attempts]
    return encode((*amounts, _clean(msgspec.structs.astuple(record)), rows))


def cleaned(frame: Ended) -> Ended:
    """Return a call with texts that any database takes: short, without halves of characters and without NUL."""
    return msgspec.structs.replace(frame, record=_clean(frame.record), attempts=_clean(frame.attempts))


def _clean(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_clean(one) for one in value]
    if isinstance(value, Usage):
        return msgspec.structs.replace(value, sku=_clean(value.sku))
    if not isinstance(value, str):
        return value
    return value[:TEXT_CHARACTERS_MAX].encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")

"""Ids of our own: a prefix that says what it names, a time that sorts, and 128 random bits that nobody guesses."""

from __future__ import annotations

import os
from time import time_ns

POOL_IDS = 256
_ENDING_BYTES = 16
_TICK_BITS = 8
"""A tick is 256 ns: finer than two ids of one process can follow each other."""


class _Ticks:
    """The time, never the same twice: what one process makes sorts as it was made."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """Return the ticks since 1970, or one more than the last time."""
        now = time_ns() >> _TICK_BITS
        self._last = now if now > self._last else self._last + 1
        return self._last


_ticks = _Ticks()
_endings: list[str] = []


def _ending() -> str:
    """Return 128 random bits in hex, of which many are fetched at once: asking the system costs more than an id."""
    while True:
        try:
            return _endings.pop()  # in one step, whatever other threads do
        except IndexError:
            drawn = os.urandom(POOL_IDS * _ENDING_BYTES).hex()
            _endings.extend(drawn[at : at + 2 * _ENDING_BYTES] for at in range(0, len(drawn), 2 * _ENDING_BYTES))


os.register_at_fork(after_in_child=_endings.clear)  # no two processes draw from one pool


def new_id(prefix: str) -> str:
    """Make an id such as ``req_1ab06cf72e0c4f3…``: the prefix, the time in hex, 128 random bits in hex."""
    ticks = hex(_ticks.next())[2:]  # noqa: FURB116 - less work than a format; fourteen digits until 2540
    return f"{prefix}_{ticks}{_ending()}"

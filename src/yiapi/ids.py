"""Ids of our own: a prefix that says what it names, a time that sorts, and 128 random bits that nobody guesses."""

from __future__ import annotations

import os
import threading
import time

POOL_BYTES = 4096
_TICK_BITS = 8
"""A tick is 256 ns: finer than two ids of one process can follow each other."""


class _Ticks:
    """The time, never the same twice: what one process makes sorts as it was made."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """Return the ticks since 1970, or one more than the last time."""
        now = time.time_ns() >> _TICK_BITS
        self._last = now if now > self._last else self._last + 1
        return self._last


class _Pool(threading.local):
    """Random bytes of the system, fetched many at once: asking costs more than an id, and gives others the turn."""

    def __init__(self) -> None:
        self.bytes = b""
        self.at = 0


_ticks = _Ticks()
_pool = _Pool()


def _forget() -> None:
    _pool.bytes, _pool.at = b"", 0


os.register_at_fork(after_in_child=_forget)  # no two processes draw from one pool


def random_bytes(count: int) -> bytes:
    """Return so many bytes of the system's randomness, at most ``POOL_BYTES``."""
    at = _pool.at
    if at + count > len(_pool.bytes):
        _pool.bytes, at = os.urandom(POOL_BYTES), 0
    _pool.at = at + count
    return _pool.bytes[at : at + count]


def new_id(prefix: str) -> str:
    """Make an id such as ``req_1ab06cf72e0c4f3…``: the prefix, the time in hex, 128 random bits in hex."""
    return f"{prefix}_{_ticks.next():014x}{random_bytes(16).hex()}"

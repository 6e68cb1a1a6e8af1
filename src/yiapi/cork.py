"""Holds back what is written in one turn of the event loop, so that it goes out together at the turn's end.

A write wakes who reads it, and to wake a reader that sleeps on another core takes longer than to write. Written one
right after the other, only the first of them finds it asleep.
"""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakKeyDictionary

_HELD_BYTES_MAX: Final = 64 * 1024
"""More than this is not held: who writes much has to learn in time that nobody reads it."""


class Cork:
    """Holds the writes of a turn. Bytes for one transport go out in the order in which they came.

    Who closes a transport, or writes to it by another way, says ``let_go`` before.
    """

    __slots__ = ("_bytes", "_held", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._held: list[tuple[asyncio.WriteTransport, bytes | memoryview]] = []
        self._bytes = 0

    def write(self, transport: asyncio.WriteTransport, piece: bytes | memoryview) -> None:
        """Write a piece at the end of this turn."""
        if not self._held:
            self._loop.call_soon(self.let_go)
        self._held.append((transport, piece))
        self._bytes += len(piece)
        if self._bytes > _HELD_BYTES_MAX:
            self.let_go()

    def let_go(self) -> None:
        """Write everything that is held now."""
        held = self._held
        if not held:
            return
        self._held = []
        self._bytes = 0
        for transport, piece in held:
            try:
                transport.write(piece)
            except RuntimeError:  # it was closed meanwhile, which its protocol is told
                continue


_corks: WeakKeyDictionary[asyncio.AbstractEventLoop, Cork] = WeakKeyDictionary()


def cork_of(loop: asyncio.AbstractEventLoop) -> Cork:
    """Return the one cork of an event loop."""
    cork = _corks.get(loop)
    if cork is None:
        cork = _corks[loop] = Cork(loop)
    return cork

"""Calling allowances in: before a wallet is said to be empty, every node gives back what its calls do not need."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

from yiapi.db import Database
from yiapi.errors import BalanceReserved, StorageUnavailable
from yiapi.ledger import open_allowances, recall

T = TypeVar("T")

RECALL_S = 1.5
LOOK_S = 0.01


async def call_in(database: Database, wallet: str, *, asked: Callable[[int], object] = int) -> bool:
    """Ask every node for what it does not need of a wallet, and wait until it is back; False when one stays silent.

    What any call that has ended by now did not need is back then. ``asked`` gets the number of the recall.
    """
    number = await database.write(lambda tx: recall(tx, wallet))
    asked(number)
    ends_at = monotonic() + RECALL_S
    while True:
        found = await database.read(lambda tx: open_allowances(tx, wallet))
        if all(allowance.answered >= number for allowance in found):
            return True
        if monotonic() >= ends_at:
            return False
        await asyncio.sleep(LOOK_S)


class Recalls:
    """One recall of a wallet at a time, for everybody who waits for it. ``asked`` gets the wallet and the number."""

    def __init__(self, database: Database, asked: Callable[[str, int], object]) -> None:
        self._database = database
        self._asked = asked
        self._running: dict[str, asyncio.Task[bool]] = {}

    async def reserve(self, wallet: str, take: Callable[[], Awaitable[T]]) -> T:
        """Reserve; where nodes keep a part of the wallet, once more when that was called in.

        Raises what ``take`` raises, and StorageUnavailable where a silent node keeps something back.
        """
        try:
            return await take()
        except BalanceReserved:
            is_back = await self.call_in(wallet)
        try:
            return await take()
        except BalanceReserved as error:
            if is_back:
                raise
            text = "A part of the balance is on its way back; try again."
            raise StorageUnavailable(text, retry_after_s=1) from error

    async def call_in(self, wallet: str) -> bool:
        """Get back what no call needs of the allowances on a wallet; False when a node stays silent."""
        running = self._running.get(wallet)
        if running is not None:  # it may have asked before we were refused: the next one has not
            await asyncio.wait({running})
        if wallet not in self._running:
            asking = call_in(self._database, wallet, asked=lambda number: self._asked(wallet, number))
            task = self._running[wallet] = asyncio.ensure_future(asking)
            task.add_done_callback(lambda _: self._running.pop(wallet, None))
        return await asyncio.shield(self._running[wallet])

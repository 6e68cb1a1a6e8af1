"""What a node does beside its calls so that they need no database: space for the journal, allowances, recalls."""

from __future__ import annotations

import asyncio
import math

from yiapi.calls import store
from yiapi.calls.beside import AnySettler
from yiapi.calls.journal import BEGINNING, Place
from yiapi.calls.service import Calls
from yiapi.clock import Clock
from yiapi.db import Database, Transaction
from yiapi.errors import StorageUnavailable
from yiapi.ledger import allowances_of, recalled, release_many
from yiapi.logs import get_logger

TICK_S = 0.05
LOOK_S = 0.2
"""From one look into the books to the next: each hands the interpreter to another thread and back."""

BEHIND_S = 1.0
"""A settler that has not written a frame for so long is behind: calls take exact holds until it has."""
STRANGERS_S = 5.0

log = get_logger()


class Tending:
    """Looks after the purses, the journal and the settler of a node."""

    def __init__(self, database: Database, calls: Calls, settler: AnySettler, clock: Clock) -> None:
        self._database = database
        self._calls = calls
        self._purses, self._journal, self._settler = calls.purses, calls.journal, settler
        self._now = clock.monotonic
        self._mark, self._marked_at = BEGINNING, self._now()
        self._sought_at = self._now()
        self._looked_at = -math.inf

    async def run(self) -> None:
        """Do it for as long as the node lives."""
        while True:
            await asyncio.sleep(TICK_S)
            self._settler.look_after()
            try:
                if await self.prepare() and self._now() - self._looked_at >= LOOK_S:
                    await self.look()
            except StorageUnavailable as error:
                if not self._purses.is_suspended:
                    log.warning("allowances_suspended", error=error.code)
                self._purses.is_suspended = True

    async def tick(self) -> None:
        """Do it once. Raises StorageUnavailable."""
        if await self.prepare():
            await self.look()

    async def prepare(self) -> bool:
        """Do what needs no books: age the allowances, and keep space for the journal; False if nothing is under way."""
        is_active = self._purses.tick()
        if not (is_active or self._purses.is_suspended):
            return False
        await self._purses.make_room()
        return True

    async def look(self) -> None:
        """Answer recalls, see how far the settler is, and release what nobody knows. Raises StorageUnavailable."""
        self._looked_at = self._now()
        calls_in, place = await self._database.read(self._look)
        for wallet, number in calls_in:
            self._purses.answer(wallet, number)
        self._notice(place)
        if self._now() - self._sought_at > STRANGERS_S:
            self._sought_at = self._now()
            await self._release_strangers()

    def _look(self, tx: Transaction) -> tuple[list[tuple[str, int]], Place]:
        node_id = self._journal.node_id
        return recalled(tx), store.journal_places(tx, (node_id,)).get(node_id, BEGINNING)

    def _notice(self, settled: Place) -> None:
        """Notice how far the settler is."""
        now = self._now()
        if settled >= self._mark and self._journal.is_whole:
            self._mark, self._marked_at = self._journal.place(), now
            if self._purses.is_suspended:
                log.info("allowances_resumed")
            self._purses.is_suspended = False
        elif now - self._marked_at > BEHIND_S and not self._purses.is_suspended:
            log.warning("settler_is_behind", segment=settled.segment, at=settled.position)
            self._purses.is_suspended = True

    async def _release_strangers(self) -> None:
        """Release allowances that the books name as ours and nobody here knows."""
        found = await self._database.read(lambda tx: allowances_of(tx, self._calls.node.id))
        strangers = self._purses.strangers(found)
        if strangers:
            log.warning("allowances_unknown", holds=strangers)
            await self._database.write(lambda tx: release_many(tx, strangers))

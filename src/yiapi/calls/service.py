"""Accept calls and finish them: below an allowance in memory and journal, otherwise in grouped transactions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Final, TypeVar

import msgspec

from yiapi.calls import frames, store
from yiapi.calls.frames import Answered, Returned, Spare
from yiapi.calls.journal import BEGINNING, Journal, Place, journals_in, written_until
from yiapi.calls.models import Claim, Ending, Finished, Replay
from yiapi.calls.nodes import Deaths, Node
from yiapi.calls.purse import Allowance, Draw, Purses
from yiapi.calls.recall import Recalls
from yiapi.clock import Clock
from yiapi.db import Database, Transaction
from yiapi.errors import StorageUnavailable
from yiapi.ledger import (
    Balance,
    Hold,
    NewHold,
    OpenAllowance,
    Settlement,
    balance,
    carve_hold,
    expire_holds,
    open_allowances,
    release,
    release_orphans,
    settle_many,
    take_hold,
    take_holds,
)
from yiapi.logs import get_logger
from yiapi.money import ZERO, Money

T = TypeVar("T")

SWEEP_ROWS_MAX = 500
CALLS_S_MAX = 1800.0
FRAME_BYTES_MAX: Final = 48 * 1024
EXACT_EXPIRY_S = 60
SETTLED_S = 2.0
SETTLED_LOOK_S = 0.002
log = get_logger()


class Calls:
    """Opens and closes calls for one node."""

    def __init__(
        self,
        database: Database,
        node: Node,
        clock: Clock,
        journal: Journal,
        *,
        calls_s_max: float = CALLS_S_MAX,
        grace_s: float = 0.0,
    ) -> None:
        self._database = database
        self._clock = clock
        self.node = node
        self.journal = journal
        self.purses = Purses(
            database,
            node,
            clock,
            journal,
            give_back=self._give_back,
            tell=self._tell,
            answer=self._answer,
            calls_s_max=calls_s_max,
        )
        self._deaths = Deaths(clock, grace_s)
        self._recalls = Recalls(database, self.purses.answer)
        self._holds = database.group(take_holds)
        self._endings = database.group(_finish_many)

    # The way of a call

    def draw(self, wallet: str, amount: int) -> Draw | None:
        """Reserve an amount below this node's allowance on a wallet, in memory; None where it does not reach."""
        return self.purses.draw(wallet, amount)

    async def refill(self, wallet: str, amount: int) -> Draw | None:
        """Get an allowance and reserve below it; None for a call that wants its own hold. Raises StorageUnavailable."""
        return await self.purses.refill(wallet, amount)

    async def accept(self, new: NewHold, claim: Claim | None) -> Hold | Replay:
        """Reserve the quote, and claim the key in the same transaction.

        A key that was used before gives its stored answer. Raises InsufficientQuota, IdempotencyMismatch,
        IdempotencyInProgress, IdempotencyNotReplayable, StorageUnavailable.
        """

        def both(tx: Transaction) -> Hold | Replay:
            replay = store.claim(tx, claim, owner=self.node.id) if claim is not None else None
            return replay or take_hold(tx, new)

        async def take() -> Hold | Replay:
            return await (self._holds.submit(new) if claim is None else self._database.write(both))

        return await self._recalls.reserve(new.wallet, take)

    def noted(self, ending: Ending, hold: Hold | Draw) -> Finished | None:
        """End a call by its place in the journal; None where that takes a transaction (``settle``).

        That is a call with a hold of its own, one that cost more than this node has reserved, and any after the node's
        lease, because others may have released what it had reserved.
        """
        if not isinstance(hold, Draw) or self._clock.monotonic() >= self.node.valid_until:
            return None
        if ending.price is not None and ending.price.nano > hold.amount + hold.allowance.left:
            return None
        return self._note(ending, hold)

    async def settle(self, ending: Ending, hold: Hold | Draw) -> Finished:
        """End a call in a transaction, whoever stops waiting for it."""
        return await asyncio.shield(asyncio.ensure_future(self._settle(ending, hold)))

    def finish(self, ending: Ending) -> asyncio.Future[Finished]:
        """Settle or release a hold, and write the record: all in one transaction, whoever stops waiting for it."""
        return self._endings.submit(ending)

    def _note(self, ending: Ending, draw: Draw) -> Finished:
        """Journal a call that has ended; what its allowance does not cover is our loss."""
        charge, loss = self.purses.end(draw, 0 if ending.price is None else ending.price.nano)
        draw.allowance.told = draw.allowance.left
        self.journal.append(frame_of(ending, draw.allowance, charge, loss))
        self.purses.ended(draw.allowance)
        return Finished(Money(charge), Money(loss))

    async def _settle(self, ending: Ending, hold: Hold | Draw) -> Finished:
        if isinstance(hold, Draw):
            try:
                own = await self._carve(ending, hold)
            except StorageUnavailable:  # the journal keeps it until the database is back
                return self._note(ending, hold)
            if own is None:
                self._note(ending, hold)
                return Finished(ZERO, ending.price or ZERO)  # the allowance has ended: it is all our loss
            ending, hold = msgspec.structs.replace(ending, hold_id=own.id), own
        if ending.price is not None and ending.price > hold.amount:
            await self._uncover(hold.wallet, ending.price - hold.amount)
        return await self.finish(ending)

    async def _uncover(self, wallet: str, amount: Money) -> None:
        """Call allowances in where a charge above its hold wants them: it is paid as far as the balance reaches."""
        found = await self._database.read(lambda tx: balance(tx, wallet))
        if found.available < amount and found.held:
            await self._recalls.call_in(wallet)

    async def _carve(self, ending: Ending, draw: Draw) -> Hold | None:
        """Give a call a hold of its own instead of its part of an allowance; None where that has ended."""
        allowance = draw.allowance
        new = NewHold(
            reference=ending.record.id,
            wallet=allowance.wallet,
            amount=Money(draw.amount),
            owner=self.node.id,
            expires_s=EXACT_EXPIRY_S,
        )
        hold = await self._database.write(lambda tx: carve_hold(tx, allowance.id, new, spare=allowance.left))
        if hold is not None:
            self.purses.carve(draw)
        return hold

    # What the journal is told

    def _give_back(self, allowance: Allowance, amount: int, is_all: bool) -> None:
        self.journal.append(frames.encode(Returned(allowance.id, allowance.wallet, amount, is_all)))

    def _tell(self, allowance: Allowance) -> None:
        self.journal.append(frames.encode(Spare(allowance.id, allowance.left)))

    def _answer(self, hold_ids: list[str], number: int) -> None:
        self.journal.append(frames.encode(Answered(hold_ids, number)))
        self.journal.poke()

    # What the books say

    async def reserve(self, wallet: str, take: Callable[[], Awaitable[T]]) -> T:
        """Reserve; where nodes keep a part of the wallet, once more when that was called in."""
        return await self._recalls.reserve(wallet, take)

    async def balance(self, wallet: str) -> Balance:
        """Return what a wallet has; only calls count as held. Raises UnknownWallet."""
        await self.settled()

        def read(tx: Transaction) -> tuple[Balance, list[OpenAllowance]]:
            return balance(tx, wallet), open_allowances(tx, wallet)

        found, allowances = await self._database.read(read)
        unused, unsettled = self.purses.unused(allowances, wallet), self.purses.unsettled(allowances, wallet)
        return found.freed(Money(unused)).charged(Money(unsettled))

    async def settled(self) -> None:
        """Wait until the calls that have ended on this machine are in the books; for a settler that is stuck, 2 s."""
        missing = self._unsettled_journals()
        ends_at = monotonic() + SETTLED_S
        while missing and monotonic() < ends_at:
            places = await self._database.read(partial(store.journal_places, node_ids=tuple(missing)))
            missing = {node: place for node, place in missing.items() if places.get(node, BEGINNING) < place}
            if missing:
                self.journal.poke()
                await asyncio.sleep(SETTLED_LOOK_S)

    def _unsettled_journals(self) -> dict[str, Place]:
        folder, own = self.journal.folder, (self.journal.name, self.journal.node_id)
        found = {
            node_id: self.journal.place() if (name, node_id) == own else written_until(folder, name, node_id)
            for name, node_id in journals_in(folder)
        }
        return {node_id: place for node_id, place in found.items() if place > BEGINNING}

    # What others left

    async def end_leases(self) -> None:
        """End the leases of nodes that have been silent for too long."""
        await self._deaths.end_leases(self._database)

    async def recover(self) -> int:
        """End what nodes without a lease left: release their holds and free their keys. Repeatable, by any node."""
        found = await self._database.write(_recover)
        if found:
            log.warning("recovered", holds=found)
        return found

    async def lose(self) -> None:
        """End whatever this node holds: others have ended its lease."""
        self.purses.drop()
        while await self.recover():
            pass

    async def sweep(self) -> None:
        """Release holds past their expiry, and forget claims after their time."""
        expired = await self._database.write(lambda tx: expire_holds(tx, SWEEP_ROWS_MAX))
        if expired:
            log.warning("holds_expired", count=expired)
        await self._database.write(store.forget_claims)


def frame_of(ending: Ending, allowance: Allowance, charge: int, loss: int) -> bytes:
    """Return the frame of a call that has ended, which is what ``frames.Ended`` decodes.

    It is encoded from what it is made of: making the struct would cost more than encoding it.
    """
    frame = ("c", allowance.id, allowance.wallet, allowance.left, charge, loss, ending.record, ending.attempts)
    try:
        payload: bytes = frames.encode(frame)
    except UnicodeEncodeError:  # half a character, as callers and vendors may send it
        return frames.cut(frame)
    return payload if len(payload) <= FRAME_BYTES_MAX else frames.cut(frame)


def _recover(tx: Transaction) -> int:
    holds = release_orphans(tx, SWEEP_ROWS_MAX)
    for hold in holds:
        if not hold.is_allowance:
            store.record_interrupted(tx, hold)
    store.free_orphan_claims(tx, SWEEP_ROWS_MAX)
    return len(holds)


def _finish_many(tx: Transaction, endings: list[Ending]) -> list[Finished | Exception]:
    """Settle every ending, then write every record; an ending whose hold is gone is recorded as our loss."""
    results: list[Finished | Exception] = [Finished(ZERO, ZERO)] * len(endings)
    charged = [(index, ending, ending.price) for index, ending in enumerate(endings) if ending.price is not None]
    settled = settle_many(tx, [Settlement(ending.hold_id, price) for _, ending, price in charged])
    for (index, ending, price), outcome in zip(charged, settled, strict=True):
        if isinstance(outcome, Exception):
            log.error("settlement_refused", request_id=ending.record.id, error=str(outcome))
            store.forget_interrupted(tx, ending.record.id)
            results[index] = Finished(ZERO, price)
        else:
            results[index] = Finished(outcome.captured, outcome.uncovered)
    for ending in endings:
        if ending.price is None and not ending.keeps_hold:
            release(tx, ending.hold_id)
    store.write_records(
        tx, [(ending, result) for ending, result in zip(endings, results, strict=True) if isinstance(result, Finished)]
    )
    for ending, result in zip(endings, results, strict=True):
        _end_one(tx, ending, result)
    return results


def _end_one(tx: Transaction, ending: Ending, result: Finished | Exception) -> None:
    for write in ending.also:
        write(tx)
    if ending.claim is not None and isinstance(result, Finished):
        store.end_claim(tx, ending, result.charge)

"""Purses: what a node may spend of each wallet without asking the database, because it has reserved it before.

Everything here is in memory and belongs to one event loop. Amounts are nano-dollars. At every moment an allowance's
amount in the books is what its calls were charged and may still need, what is left, and what is on its way back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator

from yiapi.calls.journal import FRAME_BYTES, SPARE_BYTES, Journal
from yiapi.calls.nodes import Node
from yiapi.clock import Clock
from yiapi.db import Database
from yiapi.ledger import Hold, OpenAllowance, take_allowance
from yiapi.logs import get_logger

WINDOW_S = 1.0
IDLE_S = 0.5
AGE_S_MAX = 30.0
AGE_GRACE_S = 5.0
CALLS_AHEAD = 16
ENDING_S = 30.0
REFUSED_S = 0.25
TOLD_S = 0.25
EXPIRY_SPARE_S = 2 * 3600
"""An allowance ends with its last call or its node's lease; its expiry is far, and no jump of a clock reaches it."""

log = get_logger()


class Allowance:
    """A slice of a wallet that this node has reserved."""

    __slots__ = ("calls", "captured", "id", "left", "needed", "since", "told", "wallet")

    def __init__(self, hold: Hold, now: float) -> None:
        self.id = hold.id
        self.wallet = hold.wallet
        self.left = hold.amount.nano
        self.needed = 0  # what calls under way may use
        self.captured = 0
        self.calls = 0
        self.since = now
        self.told = self.left  # what the others were told to be spare


class Draw:
    """The reservation of one call below an allowance. It ends once."""

    __slots__ = ("allowance", "amount", "is_open")

    def __init__(self, allowance: Allowance, amount: int) -> None:
        self.allowance = allowance
        self.amount = amount
        self.is_open = True

    @property
    def id(self) -> str:
        """Return the hold that pays for the call."""
        return self.allowance.id


class Purse:
    """What this node has of one wallet: the allowance in use, and those whose last calls still run."""

    __slots__ = (
        "answered", "charged", "charged_before", "current", "drawn_at", "ending", "filling", "low", "needed_most",
        "old", "refused_at", "told_at", "waiting", "window_at",
    )  # fmt: skip

    def __init__(self, now: float) -> None:
        self.current: Allowance | None = None
        self.old: list[Allowance] = []
        self.ending: list[tuple[float, Allowance]] = []  # given back, but perhaps not yet in the books
        self.filling: asyncio.Task[None] | None = None
        self.low = 0  # below so much the next allowance is asked for
        self.charged = 0  # what calls cost in this window
        self.charged_before = 0  # and in the one before
        self.needed_most = 0  # what calls under way needed at the most
        self.waiting = 0  # what calls that wait for an allowance want
        self.window_at = now
        self.drawn_at = now
        self.told_at = now
        self.refused_at = now - REFUSED_S
        self.answered = 0  # the last recall

    def all(self) -> Iterator[Allowance]:
        """Yield every allowance that may still be in the books."""
        if self.current is not None:
            yield self.current
        yield from self.old
        yield from (allowance for _, allowance in self.ending)


class Purses:
    """The purses of a node.

    ``give_back`` journals that an amount of an allowance returns to its wallet, and whether it ends with that; ``tell``
    what is spare of one; ``answer`` that a recall was answered for some.
    """

    def __init__(
        self,
        database: Database,
        node: Node,
        clock: Clock,
        journal: Journal,
        *,
        give_back: Callable[[Allowance, int, bool], None],
        tell: Callable[[Allowance], None],
        answer: Callable[[list[str], int], None],
        calls_s_max: float,
    ) -> None:
        self._database = database
        self._node = node
        self._now = clock.monotonic
        self._journal = journal
        self._give_back = give_back
        self._tell = tell
        self._answer = answer
        self._expires_s = round(AGE_S_MAX + AGE_GRACE_S + calls_s_max + EXPIRY_SPARE_S)
        self._purses: dict[str, Purse] = {}
        self._strangers: set[str] = set()
        self.promised = SPARE_BYTES
        """Bytes of the journal that calls under way may want."""
        self.is_suspended = False
        """The books cannot be reached, or the settler is behind: calls take holds of their own."""

    # The way of a call

    def draw(self, wallet: str, amount: int) -> Draw | None:
        """Reserve an amount; None where no allowance reaches, or what it would say of the call has no place."""
        purse = self._purses.get(wallet)
        if purse is None:
            return None
        allowance = purse.current
        if allowance is None or allowance.left < amount or self.is_suspended:
            return None
        now = self._now()
        if now >= self._node.valid_until or self._journal.free < self.promised + FRAME_BYTES:
            return None
        self.promised += FRAME_BYTES
        left = allowance.left = allowance.left - amount
        needed = allowance.needed = allowance.needed + amount
        allowance.calls += 1
        purse.drawn_at = now
        if needed > purse.needed_most:
            purse.needed_most = needed
        if left < purse.low and purse.filling is None:
            self._fill(wallet, purse, amount)
        return Draw(allowance, amount)

    async def refill(self, wallet: str, amount: int) -> Draw | None:
        """Get an allowance that reaches, and reserve; None when each call wants an exact hold.

        That is so near the end of a wallet, without a lease, and where the journal has no space. Raises
        StorageUnavailable.
        """
        now = self._now()
        purse = self._purses.get(wallet)
        if purse is None:
            purse = self._purses[wallet] = Purse(now)
        if self.is_suspended or now - purse.refused_at < REFUSED_S or now >= self._node.valid_until:
            return None
        if not await self.make_room():
            return None
        purse.waiting += amount
        try:
            for _ in range(2):
                draw = self.draw(wallet, amount)
                if draw is not None or purse.refused_at > now:
                    return draw
                if purse.filling is None:
                    self._fill(wallet, purse, amount)
                assert purse.filling is not None
                await asyncio.shield(purse.filling)
            return self.draw(wallet, amount)
        finally:
            purse.waiting -= amount

    async def make_room(self) -> bool:
        """Reserve space for the journal; False where there is none."""
        if self._journal.needs_room(self.promised):
            try:
                await asyncio.to_thread(self._journal.make_room, self.promised)
            except OSError as error:
                log.warning("journal_has_no_space", error=str(error))
                return False
        self._journal.catch_up()
        return True

    def end(self, draw: Draw, charge: int) -> tuple[int, int]:
        """End a reservation; return what the allowance pays of the charge, and what it cannot."""
        assert draw.is_open
        draw.is_open = False
        self.promised -= FRAME_BYTES
        allowance, amount = draw.allowance, draw.amount
        allowance.needed -= amount
        allowance.calls -= 1
        rest = amount - charge
        if rest < 0 and allowance.left < -rest:
            rest = -allowance.left
        paid = amount - rest
        allowance.left += rest
        allowance.captured += paid
        purse = self._purses.get(allowance.wallet)
        if purse is not None:
            purse.charged += paid
        return paid, charge - paid

    def carve(self, draw: Draw) -> None:
        """End a reservation that has become a hold of its own in the books: the allowance is smaller by it."""
        assert draw.is_open
        draw.is_open = False
        self.promised -= FRAME_BYTES
        draw.allowance.needed -= draw.amount
        draw.allowance.calls -= 1
        self.ended(draw.allowance)

    def ended(self, allowance: Allowance) -> None:
        """Look after an allowance whose call has just been journaled."""
        purse = self._purses.get(allowance.wallet)
        if purse is None or allowance is purse.current or allowance not in purse.old:
            return
        if allowance.left or not allowance.calls:
            self._retire(purse, allowance)

    # Allowances come and go

    def _fill(self, wallet: str, purse: Purse, amount: int) -> None:
        purse.filling = asyncio.ensure_future(self._take(wallet, purse, amount))
        purse.filling.add_done_callback(_look_at)

    async def _take(self, wallet: str, purse: Purse, amount: int) -> None:
        in_use = 2 * max(purse.charged, purse.charged_before) + 2 * purse.needed_most + purse.waiting
        wanted, least = max(in_use, CALLS_AHEAD * amount), 2 * amount
        try:
            hold = await self._database.write(
                lambda tx: take_allowance(
                    tx, wallet, owner=self._node.id, wanted=wanted, least=least, expires_s=self._expires_s
                )
            )
        finally:
            purse.filling = None
        now = self._now()
        if hold is None:
            purse.refused_at, purse.low = now, 0
            return
        taken = Allowance(hold, now)
        before, purse.current = purse.current, taken
        purse.low = taken.left // 4
        purse.drawn_at = now
        if before is not None:
            purse.old.append(before)
            self._retire(purse, before)
        if self._purses.get(wallet) is not purse:  # dropped meanwhile
            self._retire_current(purse)

    def _retire_current(self, purse: Purse) -> None:
        if purse.current is not None:
            allowance, purse.current = purse.current, None
            purse.old.append(allowance)
            self._retire(purse, allowance)

    def _retire(self, purse: Purse, allowance: Allowance) -> None:
        """Give back what no call needs; the allowance ends with its last call."""
        amount, allowance.left = allowance.left, 0
        is_all = allowance.calls == 0
        if is_all:
            purse.old.remove(allowance)
            purse.ending.append((self._now(), allowance))
        allowance.told = 0
        self._give_back(allowance, amount, is_all)

    def answer(self, wallet: str, number: int) -> None:
        """Give back what this node does not need of a wallet, and say so; a recall is answered once.

        While an allowance is on its way the answer waits for it, and is asked for again.
        """
        purse = self._purses.get(wallet)
        if purse is None or purse.answered >= number or purse.filling is not None:
            return
        purse.answered = number
        purse.refused_at = self._now()
        self._retire_current(purse)
        self._answer([allowance.id for allowance in purse.all()], number)

    def give_all_back(self) -> None:
        """Give back what no call needs of any wallet."""
        for purse in self._purses.values():
            self._retire_current(purse)

    def drop(self) -> None:
        """Forget every allowance: the node's lease was over, and others have released them."""
        self._purses.clear()

    def tick(self) -> bool:
        """Give back what is idle or old, and tell what is spare; True while there is anything to look after."""
        now = self._now()
        for wallet, purse in list(self._purses.items()):
            if now - purse.window_at >= WINDOW_S:
                purse.charged_before, purse.charged, purse.window_at = purse.charged, 0, now
                purse.needed_most = sum(allowance.needed for allowance in purse.all())
            purse.ending = [(at, allowance) for at, allowance in purse.ending if now - at < ENDING_S]
            if purse.current is not None:
                self._tend_current(wallet, purse, purse.current, now)
            if not (purse.current or purse.old or purse.ending or purse.filling or purse.waiting):
                del self._purses[wallet]
        return bool(self._purses)

    def _tend_current(self, wallet: str, purse: Purse, current: Allowance, now: float) -> None:
        age = now - current.since
        if now - purse.drawn_at > IDLE_S or age > AGE_S_MAX + AGE_GRACE_S:
            self._retire_current(purse)
        elif age > AGE_S_MAX and purse.filling is None:
            self._fill(wallet, purse, purse.needed_most // CALLS_AHEAD)
        elif now - purse.told_at > TOLD_S and current.left != current.told:
            current.told, purse.told_at = current.left, now
            self._tell(current)

    # What the books do not say

    def strangers(self, found: Iterable[tuple[str, str]]) -> list[str]:
        """Return the allowances (id, wallet) that the books name as this node's and that it does not know.

        A commit whose answer was lost leaves such; one is only believed that was there the last time too.
        """
        known = {allowance.id for purse in self._purses.values() for allowance in purse.all()}
        filling = {wallet for wallet, purse in self._purses.items() if purse.filling is not None}
        unknown = {hold_id for hold_id, wallet in found if hold_id not in known and wallet not in filling}
        believed, self._strangers = unknown & self._strangers, unknown
        return sorted(believed)

    def own(self, wallet: str) -> dict[str, Allowance]:
        """Return this node's allowances on a wallet by id."""
        purse = self._purses.get(wallet)
        return {allowance.id: allowance for allowance in purse.all()} if purse else {}

    def unused(self, found: Iterable[OpenAllowance], wallet: str) -> int:
        """Return how much of the allowances in the books no call needs, by what this node knows of its own."""
        own = self.own(wallet)
        total = 0
        for allowance in found:
            known = own.get(allowance.id)
            total += allowance.spare if known is None else allowance.amount - known.captured - known.needed
        return total

    def unsettled(self, found: Iterable[OpenAllowance], wallet: str) -> int:
        """Return what this node's calls have used of the allowances in the books, and the books do not say yet."""
        own = self.own(wallet)
        return sum(own[one.id].captured - one.captured for one in found if one.id in own)


def _look_at(filling: asyncio.Task[None]) -> None:
    """See the failure of an allowance that nobody waited for."""
    if not filling.cancelled() and filling.exception() is not None:
        log.warning("allowance_not_taken", error=str(filling.exception()))

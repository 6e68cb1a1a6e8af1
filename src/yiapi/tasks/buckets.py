"""The buckets of one worker: leases with fences, shared evenly among the workers that live.

A bucket is taken, renewed and handed back in the database; what is known here may be older. So a worker stops by its
own clock when a lease may be over, and every write of its looks is checked against the fence.
"""

from __future__ import annotations

from dataclasses import dataclass

from yiapi.calls import Node
from yiapi.clock import Clock
from yiapi.crashpoints import crashpoint
from yiapi.db import Database, Transaction
from yiapi.logs import get_logger
from yiapi.tasks import store

CLOCK_SPARE_SHARE = 0.1
"""Of a lease: how long before its end its owner stops, because clocks do not run alike."""

log = get_logger()


@dataclass(frozen=True, slots=True)
class Change:
    """What a worker has taken and what it has lost."""

    taken: frozenset[int]
    lost: frozenset[int]


class Buckets:
    """Which buckets this worker owns, and since which fence."""

    def __init__(self, database: Database, node: Node, clock: Clock, lease_s: float) -> None:
        self.fences: dict[int, int] = {}
        self._database = database
        self._node = node
        self._clock = clock
        self._lease_s = lease_s
        self._valid_until = 0.0
        self._renewed_at = float("-inf")

    @property
    def are_valid(self) -> bool:
        """Whether the leases hold for certain, by this worker's own clock."""
        return self._clock.monotonic() < self._valid_until

    async def tend(self, *, renew_s: float) -> Change:
        """Renew what is owned when it is time, take what is free up to the fair share, hand back what is above it."""
        began = self._clock.monotonic()
        is_due = began - self._renewed_at >= renew_s
        share, free = await self._database.read(self._look)
        if not is_due and len(self.fences) == share and self.are_valid:
            return Change(frozenset(), frozenset())
        if not is_due and len(self.fences) < share and not free:
            return Change(frozenset(), frozenset())
        crashpoint("buckets.renew")
        fences = await self._database.write(self._share)
        crashpoint("buckets.renewed")
        self._renewed_at, self._valid_until = began, began + self._lease_s * (1 - CLOCK_SPARE_SHARE)
        return self._exchange(fences)

    async def keep(self, numbers: frozenset[int]) -> None:
        """Take part no more: let others have everything but these buckets, and renew those."""
        began = self._clock.monotonic()
        kept = await self._database.write(lambda tx: self._keep(tx, numbers))
        self.fences = {number: fence for number, fence in self.fences.items() if kept.get(number) == fence}
        self._valid_until = began + self._lease_s * (1 - CLOCK_SPARE_SHARE)

    def _keep(self, tx: Transaction, numbers: frozenset[int]) -> dict[int, int]:
        tx.run(store.SQL.leave_workers, node_id=self._node.id)
        store.hand_back(tx, self._node.id, set(range(store.BUCKETS)) - numbers)
        return store.renew_buckets(tx, self._node.id, self._lease_s)

    async def leave(self) -> None:
        """Let others have everything."""
        self.fences.clear()
        self._valid_until = 0.0
        await self._database.write(self._leave)

    def _look(self, tx: Transaction) -> tuple[int, int]:
        return self._share_of(store.workers(tx)), store.free_buckets(tx)

    def _share(self, tx: Transaction) -> dict[int, int]:
        """Renew, hand back and take in one transaction, and return what is owned then."""
        tx.run(store.SQL.forget_workers)
        tx.run(store.SQL.join_workers, node_id=self._node.id)
        owned = store.renew_buckets(tx, self._node.id, self._lease_s)
        share = self._share_of(store.workers(tx))
        if len(owned) > share:
            surplus = sorted(owned)[share:]
            store.hand_back(tx, self._node.id, surplus)
            return {number: fence for number, fence in owned.items() if number not in surplus}
        if len(owned) < share:
            owned |= store.take_buckets(tx, self._node.id, self._lease_s, share - len(owned))
        return owned

    def _share_of(self, workers: list[str]) -> int:
        """Return how many buckets are this worker's; 0 while its node counts as dead."""
        if self._node.id not in workers:
            return 0
        share, rest = divmod(store.BUCKETS, len(workers))
        return share + (workers.index(self._node.id) < rest)

    def _exchange(self, fences: dict[int, int]) -> Change:
        before, self.fences = self.fences, fences
        taken = frozenset(number for number, fence in fences.items() if before.get(number) != fence)
        lost = frozenset(number for number, fence in before.items() if fences.get(number) != fence)
        if taken or lost:
            log.info("buckets_changed", owned=len(fences), taken=len(taken), lost=len(lost))
        return Change(taken, lost)

    def _leave(self, tx: Transaction) -> None:
        store.hand_back(tx, self._node.id, range(store.BUCKETS))
        tx.run(store.SQL.leave_workers, node_id=self._node.id)

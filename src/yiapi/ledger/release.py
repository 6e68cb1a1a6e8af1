"""Release holds: of calls that came to nothing, of owners that vanished, and of those that nobody ended in time."""

from __future__ import annotations

from collections.abc import Sequence

from yiapi.db import Transaction
from yiapi.ledger import store
from yiapi.ledger.models import Hold, Release, UnknownHold
from yiapi.ledger.movements import Movements
from yiapi.ledger.rounds import in_rounds


def release(tx: Transaction, hold_id: str, kind: Release = "released") -> bool:
    """Free a whole hold; False, and nothing changed, when it has ended before. Raises UnknownHold."""
    [result] = release_many(tx, [hold_id], kind)
    if isinstance(result, Exception):
        raise result
    return result


def release_many(tx: Transaction, hold_ids: Sequence[str], kind: Release = "released") -> list[bool | Exception]:
    """Free many holds in few statements; each gets its result or what ``release`` would raise."""
    now = store.take_turn(tx)
    return in_rounds(hold_ids, str, lambda part: _release_once_each(tx, now, part, kind))


def expire_holds(tx: Transaction, limit: int) -> int:
    """Free holds past their expiry, at most ``limit``, and return how many. Any node may, as often as it likes."""
    now = store.take_turn(tx)
    return sum(result is True for result in release_many(tx, store.expired_holds(tx, now, limit), "expired"))


def release_orphans(tx: Transaction, limit: int) -> list[Hold]:
    """Free holds whose owner's lease is over, at most ``limit``, and return them. Any node may.

    A hold without an owner belongs to a task and stays.
    """
    orphans = store.orphaned_holds(tx, store.take_turn(tx), limit)
    released = release_many(tx, [hold.id for hold in orphans])
    return [hold for hold, result in zip(orphans, released, strict=True) if result is True]


def _release_once_each(tx: Transaction, now: int, hold_ids: list[str], kind: Release) -> list[bool | Exception]:
    if not hold_ids:
        return []
    holds = store.holds_by_id(tx, hold_ids)
    movements = Movements(now)
    results: list[bool | Exception] = []
    for hold_id in hold_ids:
        hold = holds.get(hold_id)
        if hold is None:
            results.append(UnknownHold(hold_id))
            continue
        is_open = hold["resolution"] is None
        if is_open:
            freed = 0 if hold["parent_hold_id"] is not None else hold["amount"] - hold["captured_below"]
            movements.resolve(hold, kind, freed=freed)
        results.append(is_open)
    movements.write(tx)
    return results

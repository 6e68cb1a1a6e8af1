"""Settle holds: capture what a call used and free the rest."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from yiapi.db import Row, Transaction
from yiapi.ledger import store
from yiapi.ledger.models import AlreadyResolved, Settled, Settlement, UnknownHold
from yiapi.ledger.movements import Movements
from yiapi.ledger.rounds import in_rounds
from yiapi.money import ZERO, AmountOutOfRange, Money


class _Part(NamedTuple):
    """A settlement by where its money comes from: ``within`` the hold, or ``over`` it."""

    hold: Row
    within: int
    over: int
    freed: int


def settle(tx: Transaction, settlement: Settlement) -> Settled:
    """Capture the charge of a call that has ended: from its hold, and what is above it as far as the balance covers.

    What nothing covers is posted as the operator's loss. Settling again with the same charge returns what the first
    did. Raises AlreadyResolved when the hold has ended otherwise, UnknownHold, AmountOutOfRange.
    """
    [result] = settle_many(tx, [settlement])
    if isinstance(result, Exception):
        raise result
    return result


def settle_many(tx: Transaction, settlements: Sequence[Settlement]) -> list[Settled | Exception]:
    """Settle many holds in few statements; each gets its result or what ``settle`` would raise."""
    now = store.take_turn(tx)
    return in_rounds(settlements, attrgetter("hold_id"), lambda part: _settle_once_each(tx, now, part))


def _settle_once_each(tx: Transaction, now: int, settlements: list[Settlement]) -> list[Settled | Exception]:
    holds = store.holds_by_id(tx, [settlement.hold_id for settlement in settlements])
    movements, above = Movements(now), list[_Part]()
    results: dict[str, Settled | Exception] = {}
    for settlement in settlements:
        hold = holds.get(settlement.hold_id)
        done = _answer(hold, settlement)
        if done is not None or hold is None:
            results[settlement.hold_id] = done or UnknownHold(settlement.hold_id)
            continue
        part = _part(tx, hold, settlement.charge.nano)
        if part.over:
            above.append(part)
            continue
        movements.resolve(hold, "captured", freed=part.freed, within=part.within)
        results[settlement.hold_id] = Settled(settlement.charge, ZERO)
    movements.write(tx)
    if above:
        results.update(_settle_above(tx, now, above))
    return [results[settlement.hold_id] for settlement in settlements]


def _answer(hold: Row | None, settlement: Settlement) -> Settled | Exception | None:
    """Answer without moving anything: nonsense, and what was resolved before; None: there is something to do."""
    try:
        settlement.charge.movable()
    except AmountOutOfRange as error:
        return error
    if hold is None or hold["resolution"] is None:
        return None
    first = Settled(Money(hold["captured"] + hold["above"]), Money(hold["uncovered"]))
    if hold["resolution"] == "captured" and first.captured + first.uncovered == settlement.charge:
        return first
    return AlreadyResolved(hold["id"], hold["resolution"])


def _part(tx: Transaction, hold: Row, charge: int) -> _Part:
    """Divide a charge; below another hold it is that one's reservation which is used up."""
    left = hold["amount"] - hold["captured_below"]
    within = min(charge, left)
    if hold["parent_hold_id"] is None:
        return _Part(hold, within, charge - within, freed=left)
    if within and not store.capture_below(tx, hold["parent_hold_id"], within):
        within = 0
    return _Part(hold, within, charge - within, freed=within)


def _settle_above(tx: Transaction, now: int, parts: list[_Part]) -> dict[str, Settled]:
    """Settle what is above its hold, after all that frees something has."""
    movements = Movements(now)
    results: dict[str, Settled] = {}
    for part in parts:
        above = _debit_up_to(tx, part.hold["wallet"], part.over)
        uncovered = part.over - above
        movements.resolve(part.hold, "captured", freed=part.freed, within=part.within, above=above, uncovered=uncovered)
        results[part.hold["id"]] = Settled(Money(part.within + above), Money(uncovered))
    movements.write(tx)
    return results


def _debit_up_to(tx: Transaction, wallet: str, amount: int) -> int:
    """Take an amount, or what there is of it; the taking itself is conditional either way."""
    if store.debit(tx, wallet, amount):
        return amount
    rest = min(amount, store.available(tx, wallet))
    return rest if rest and store.debit(tx, wallet, rest) else 0

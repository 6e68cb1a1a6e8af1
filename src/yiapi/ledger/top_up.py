"""Move money between a wallet and the world outside: top up, refund, adjust."""

from __future__ import annotations

from yiapi.db import Transaction
from yiapi.ledger import store
from yiapi.ledger.models import Credit, RepeatedDifferently, UnknownOperation, UnknownWallet, mode_of
from yiapi.ledger.movements import Movements
from yiapi.money import Money


def top_up(
    tx: Transaction, operation_id: str, wallet: str, amount: Money, kind: Credit = "top_up", corrects: str | None = None
) -> bool:
    """Add money to a wallet; False, and nothing changed, when this operation was done before.

    ``corrects`` names the postings that were wrong: an operation id, or the id of a captured hold. Raises
    UnknownWallet, UnknownOperation, AmountOutOfRange, and RepeatedDifferently when the operation id was used for
    another movement.
    """
    return _move(tx, operation_id, kind, wallet, amount.movable(), corrects)


def refund(tx: Transaction, operation_id: str, wallet: str, amount: Money, corrects: str | None = None) -> bool:
    """Pay available money back to the customer; False, and nothing changed, when this operation was done before.

    Raises as ``top_up``, and InsufficientQuota when the amount is not available.
    """
    return _move(tx, operation_id, "refund", wallet, Money(-amount.movable().nano), corrects)


def adjust(tx: Transaction, operation_id: str, wallet: str, amount: Money, corrects: str | None = None) -> bool:
    """Correct a wallet by an amount that may be negative.

    False, and nothing changed, when this operation was done before. Raises as ``refund``.
    """
    return _move(tx, operation_id, "adjustment", wallet, amount, corrects)


def _move(tx: Transaction, operation_id: str, kind: str, wallet: str, amount: Money, corrects: str | None) -> bool:
    now = store.take_turn(tx)
    size = Money(abs(amount.nano)).movable().nano
    funding = f"funding:{mode_of(wallet)}"
    source, destination = (wallet, funding) if amount.nano < 0 or kind == "refund" else (funding, wallet)
    if _was_done(tx, operation_id, (kind, source, destination, size, corrects)):
        return False
    if store.account(tx, wallet) is None:
        raise UnknownWallet(wallet)
    if corrects is not None and not store.postings_of(tx, corrects):
        raise UnknownOperation(corrects)
    movements = Movements(now)
    if source == wallet:
        if not store.debit(tx, wallet, size):
            raise store.refusal(tx, wallet, f"the wallet's available balance does not cover {Money(size)} USD")
    else:
        movements.account(wallet, posted=size)
    movements.account(funding, posted=size if source == wallet else -size)
    movements.post(operation_id, kind, source, destination, size, corrects=corrects)
    movements.write(tx)
    return True


def _was_done(tx: Transaction, operation_id: str, wanted: tuple[object, ...]) -> bool:
    """Tell whether the operation was done before. Raises RepeatedDifferently when it was another one."""
    done = [tuple(row.values()) for row in store.postings_of(tx, operation_id)]
    if done and done != [wanted]:
        raise RepeatedDifferently(f"{operation_id} was used for another movement")
    return bool(done)

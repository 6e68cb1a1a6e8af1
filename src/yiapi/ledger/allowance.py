"""Allowances: a node's hold on a slice of a wallet, below which it keeps the reservations of its calls in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from yiapi.db import Transaction
from yiapi.ids import new_id
from yiapi.ledger import store
from yiapi.ledger.hold import take_hold
from yiapi.ledger.models import Batch, Hold, NewHold, OpenAllowance, mode_of
from yiapi.ledger.movements import Movements
from yiapi.money import SINGLE_AMOUNT_MAX, Money

SHARE_OF_AVAILABLE = 4
"""An allowance is at most one part in this many of what is available; a wallet near empty gives none."""

RECALLED_MS = 2000
"""For so long after a wallet was called in, nobody gets an allowance on it."""


def take_allowance(tx: Transaction, wallet: str, *, owner: str, wanted: int, least: int, expires_s: int) -> Hold | None:
    """Reserve a slice of a wallet for a node, in nano-dollars.

    None when the wallet is too near its end for ``least``, or was called in just now, or the node's lease was ended.
    """
    now = store.take_turn(tx)
    if not store.may_take_allowance(tx, wallet, owner, RECALLED_MS):
        return None
    amount = min(wanted, store.available(tx, wallet) // SHARE_OF_AVAILABLE, SINGLE_AMOUNT_MAX)
    if amount < least or not store.reserve(tx, wallet, amount):
        return None
    hold_id = new_id("hold")
    hold = Hold(hold_id, f"allowance:{hold_id}", wallet, Money(amount), now + expires_s * 1000, is_allowance=True)
    store.insert_allowance(
        tx,
        {
            "id": hold.id,
            "reference": hold.reference,
            "wallet": wallet,
            "amount": amount,
            "owner": owner,
            "expires_at": hold.expires_at_ms,
            "now": now,
        },
    )
    return hold


def capture_batch(tx: Transaction, reference: str, batches: Mapping[str, Batch]) -> set[str]:
    """Post what calls used up of their allowances, one posting each under ``reference``.

    Returns the allowances that do not pay, because they have ended or have not so much left: for these nothing moved.
    Raises DuplicateRow when the reference has postings.
    """
    now = store.take_turn(tx)
    left = store.left_of_allowances(tx, list(batches))
    paying = {hold_id: batch for hold_id, batch in sorted(batches.items()) if left.get(hold_id, -1) >= batch.captured}
    movements = Movements(now)
    for number, (hold_id, batch) in enumerate(paying.items()):
        revenue, loss = (f"{kind}:{mode_of(batch.wallet)}" for kind in ("revenue", "loss"))
        if batch.captured:
            movements.account(batch.wallet, posted=-batch.captured, held=-batch.captured, captured=batch.captured)
            movements.account(revenue, posted=batch.captured)
            movements.post(
                reference, "capture", batch.wallet, revenue, batch.captured, ordinal=2 * number, hold_id=hold_id
            )
        if batch.uncovered:
            movements.account(loss, posted=-batch.uncovered)
            movements.account(revenue, posted=batch.uncovered)
            movements.post(
                reference, "uncovered", loss, revenue, batch.uncovered, ordinal=2 * number + 1, hold_id=hold_id
            )
    store.capture_allowances(
        tx,
        [{"id": hold_id, "captured": batch.captured, "spare": batch.spare} for hold_id, batch in paying.items()],
    )
    movements.write(tx)
    return set(batches) - set(paying)


def shrink_allowance(tx: Transaction, wallet: str, hold_id: str, amount: int, *, spare: int = 0) -> bool:
    """Give a part of an allowance back to its wallet; False, and nothing changed, when it has ended.

    What is ``spare`` of the rest is at most so much.
    """
    store.take_turn(tx)
    if not store.shrink_allowance(tx, hold_id, amount, spare):
        return False
    store.unreserve(tx, wallet, amount)
    return True


def carve_hold(tx: Transaction, allowance_id: str, new: NewHold, *, spare: int) -> Hold | None:
    """Turn a part of an allowance into a hold of its own; None when the allowance has ended."""
    if not shrink_allowance(tx, new.wallet, allowance_id, new.amount.nano, spare=spare):
        return None
    return take_hold(tx, new)


def note_spare(tx: Transaction, hold_id: str, spare: int) -> None:
    """Note what no call needs of an allowance."""
    store.note_spare(tx, hold_id, spare)


def open_allowances(tx: Transaction, wallet: str) -> list[OpenAllowance]:
    """Return the allowances that nodes have on a wallet."""
    return [
        OpenAllowance(row["id"], row["amount"], row["captured_below"], row["spare"], row["answered"])
        for row in store.open_allowances(tx, wallet)
    ]


def allowances_of(tx: Transaction, owner: str) -> list[tuple[str, str]]:
    """Return the allowances of a node with their wallets."""
    return [(row["id"], row["wallet"]) for row in store.allowances_of(tx, owner)]


def recall(tx: Transaction, wallet: str) -> int:
    """Ask every node to give back what its calls do not need of a wallet, and return the number of the recall.

    An allowance that was taken before is seen by who reads after this is committed; after it none is taken.
    """
    store.take_turn(tx)
    return store.recall(tx, wallet)


def answer_recall(tx: Transaction, hold_ids: Sequence[str], number: int) -> None:
    """Note that a node has given back what its calls did not need of its allowances when it heard of a recall."""
    store.answer_recall(tx, hold_ids, number)


def recalled(tx: Transaction) -> list[tuple[str, int]]:
    """Return the wallets whose allowances were called in lately, each with the number of its recall."""
    return store.recalled(tx, RECALLED_MS)

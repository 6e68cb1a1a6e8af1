"""Take holds: the promise that a call can be paid, made before anything is asked of a vendor."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from yiapi.db import Transaction
from yiapi.errors import InsufficientQuota
from yiapi.ids import new_id
from yiapi.ledger import store
from yiapi.ledger.models import Hold, NewHold, RepeatedDifferently
from yiapi.ledger.rounds import in_rounds
from yiapi.money import AmountOutOfRange, Money

WALLETS_AT_ONCE_MIN = 2


def take_hold(tx: Transaction, new: NewHold) -> Hold:
    """Reserve an amount of a wallet, and of the key's budget if it has one: both or neither.

    Repeating a reference returns the first hold, ended or not. Raises InsufficientQuota (its message says which of the
    two is short), RepeatedDifferently, AmountOutOfRange.
    """
    [result] = take_holds(tx, [new])
    if isinstance(result, Exception):
        raise result
    return result


def take_holds(tx: Transaction, news: Sequence[NewHold]) -> list[Hold | Exception]:
    """Take many holds in few statements; each gets its hold or what ``take_hold`` would raise."""
    now = store.take_turn(tx)
    return in_rounds(news, attrgetter("reference"), lambda part: _take_once_each(tx, now, part))


def _take_once_each(tx: Transaction, now: int, news: list[NewHold]) -> list[Hold | Exception]:
    known = store.holds_by_reference(tx, [new.reference for new in news])
    results: dict[str, Hold | Exception] = {}
    by_wallet: dict[str, list[NewHold]] = {}
    for new in news:
        earlier = known.get(new.reference)
        fault = _refusal_of(new, earlier)
        if fault is not None:
            results[new.reference] = fault
        elif earlier is not None:
            results[new.reference] = earlier
        else:
            by_wallet.setdefault(new.wallet, []).append(new)
    taken = _reserve_at_once(tx, by_wallet)
    for wallet in sorted(by_wallet):
        results.update(_reserve(tx, wallet, by_wallet[wallet], taken))
    results.update(_insert(tx, now, taken))
    return [results[new.reference] for new in news]


def _refusal_of(new: NewHold, earlier: Hold | None) -> Exception | None:
    try:
        new.amount.movable()
    except AmountOutOfRange as error:
        return error
    if earlier is not None and (earlier.amount, earlier.wallet) != (new.amount, new.wallet):
        return RepeatedDifferently(f"{new.reference} already has a hold of {earlier.amount} USD on {earlier.wallet}")
    if new.budget is not None and (new.key_id is None or new.budget_period is None):
        return ValueError(f"the hold of {new.reference} has a budget without a key or period")
    return None


def _reserve_at_once(tx: Transaction, by_wallet: dict[str, list[NewHold]]) -> list[NewHold]:
    """Reserve for many wallets in one statement; what was reserved leaves ``by_wallet``, the rest is for one by one."""
    amounts = {
        wallet: sum(_from_wallet(new) for new in news)
        for wallet, news in by_wallet.items()
        if all(new.budget is None for new in news)
    }
    if len(amounts) < WALLETS_AT_ONCE_MIN:
        return []
    return [new for wallet in store.reserve_many(tx, amounts) for new in by_wallet.pop(wallet)]


def _reserve(tx: Transaction, wallet: str, news: list[NewHold], taken: list[NewHold]) -> dict[str, Exception]:
    """Reserve together what fits together; otherwise one after the other, so that what fits alone is taken."""
    if len(news) > 1 and _reserve_together(tx, wallet, news):
        taken += news
        return {}
    refusals: dict[str, Exception] = {}
    for new in news:
        refusal = _reserve_one(tx, new)
        if refusal is None:
            taken.append(new)
        else:
            refusals[new.reference] = refusal
    return refusals


def _reserve_together(tx: Transaction, wallet: str, news: list[NewHold]) -> bool:
    """Reserve the sum for holds of one wallet without budgets; False when it does not fit or there is a budget."""
    if any(new.budget is not None for new in news):
        return False
    return store.reserve(tx, wallet, sum(_from_wallet(new) for new in news))


def _reserve_one(tx: Transaction, new: NewHold) -> InsufficientQuota | None:
    if not store.reserve(tx, new.wallet, _from_wallet(new)):
        return store.refusal(
            tx, new.wallet, f"the wallet's available balance does not cover {new.amount} USD for this call"
        )
    if new.budget is None or _reserve_budget(tx, new, new.budget):
        return None
    store.unreserve(tx, new.wallet, _from_wallet(new))
    return InsufficientQuota(f"the budget of this API key does not cover {new.amount} USD for this call")


def _from_wallet(new: NewHold) -> int:
    """Return what a hold takes from its wallet: nothing when a hold above it covers it."""
    return new.amount.nano if new.parent_hold_id is None else 0


def _reserve_budget(tx: Transaction, new: NewHold, budget: Money) -> bool:
    assert new.key_id is not None
    assert new.budget_period is not None
    return store.reserve_budget(tx, new.key_id, new.budget_period, new.amount.nano, budget.nano)


def _insert(tx: Transaction, now: int, taken: list[NewHold]) -> dict[str, Hold]:
    rows: list[dict[str, object]] = []
    holds: dict[str, Hold] = {}
    for new in taken:
        hold = Hold(new_id("hold"), new.reference, new.wallet, new.amount, now + new.expires_s * 1000)
        holds[new.reference] = hold
        rows.append(
            {
                "id": hold.id,
                "reference": hold.reference,
                "wallet": hold.wallet,
                "amount": hold.amount.nano,
                "parent_hold_id": new.parent_hold_id,
                "owner": new.owner,
                "key_id": new.key_id if new.budget is not None else None,
                "budget_period": new.budget_period if new.budget is not None else None,
                "expires_at": hold.expires_at_ms,
                "now": now,
            }
        )
    store.insert_holds(tx, rows)
    return holds

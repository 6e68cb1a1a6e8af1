"""The statements of the ledger. Nothing here commits or decides: a condition is part of its statement."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from yiapi.db import Query, Row, Transaction, queries
from yiapi.errors import BalanceReserved, InsufficientQuota
from yiapi.ledger.models import Hold
from yiapi.money import Money

_SQL = queries("ledger")

Fields = Mapping[str, Any]


def take_turn(tx: Transaction) -> int:
    """Wait until no other transaction writes to the ledger, and return the database's time in milliseconds."""
    row = tx.one(_SQL.take_turn)
    assert row is not None
    return int(row["now"])


def open_wallet(tx: Transaction, wallet: str, account_id: str, mode: str) -> None:
    """Add a wallet without money, if it is not there."""
    tx.run(_SQL.open_wallet, id=wallet, account_id=account_id, mode=mode)


def account(tx: Transaction, account: str) -> Row | None:
    """Return the balances of one ledger account."""
    return tx.one(_SQL.account, id=account)


# Holds


def holds_by_reference(tx: Transaction, references: Sequence[str]) -> dict[str, Hold]:
    """Return the holds that have one of these references."""
    rows = tx.all(_SQL.holds_by_reference, refs=json.dumps(references))
    return {row["reference"]: hold_of(row) for row in rows}


def holds_by_id(tx: Transaction, ids: Sequence[str]) -> dict[str, Row]:
    """Return the holds that have one of these ids, each with its resolution."""
    return {row["id"]: row for row in tx.all(_SQL.holds_by_id, ids=json.dumps(ids))}


def expired_holds(tx: Transaction, now: int, limit: int) -> list[str]:
    """Return open holds past their expiry, oldest first."""
    return [row["id"] for row in tx.all(_SQL.expired_holds, now=now, count_max=limit)]


def orphaned_holds(tx: Transaction, now: int, limit: int) -> list[Hold]:
    """Return open holds whose owner is unknown or has let its lease run out."""
    return [hold_of(row) for row in tx.all(_SQL.orphaned_holds, now=now, count_max=limit)]


def insert_holds(tx: Transaction, rows: Sequence[Fields]) -> None:
    """Write the rows of holds that were taken."""
    tx.run_many(_SQL.insert_hold, rows)


def close_holds(tx: Transaction, ids: Sequence[str]) -> None:
    """Mark holds as resolved, so that no sweep looks at them again."""
    tx.run(_SQL.close_holds, ids=json.dumps(ids))


def insert_resolutions(tx: Transaction, rows: Sequence[Fields]) -> None:
    """Write how holds ended. Raises DuplicateRow when one has ended before."""
    tx.run_many(_SQL.insert_resolution, rows)


def hold_of(row: Row) -> Hold:
    """Read a hold."""
    is_allowance = bool(row.get("is_allowance"))
    return Hold(row["id"], row["reference"], row["wallet"], Money(row["amount"]), row["expires_at"], is_allowance)


# Allowances


def insert_allowance(tx: Transaction, row: Fields) -> None:
    """Write the row of an allowance that was taken."""
    tx.run(_SQL.insert_allowance, **row)


def may_take_allowance(tx: Transaction, wallet: str, owner: str, within_ms: int) -> bool:
    """Whether the node still has its lease, and the wallet was not called in lately."""
    return tx.one(_SQL.may_take_allowance, wallet=wallet, owner=owner, within_ms=within_ms) is not None


def left_of_allowances(tx: Transaction, ids: Sequence[str]) -> dict[str, int]:
    """Return what is left of allowances that are open, which nobody else changes before the end of this turn."""
    rows = tx.all(_SQL.allowances_by_id, ids=json.dumps(ids))
    return {row["id"]: row["amount"] - row["captured_below"] for row in rows}


def capture_allowances(tx: Transaction, rows: Sequence[Fields]) -> None:
    """Use up parts of allowances that have so much left."""
    tx.run_many(_SQL.capture_allowance, rows)


def shrink_allowance(tx: Transaction, hold_id: str, amount: int, spare: int) -> bool:
    """Take a part off an allowance; False when it has ended or has not so much left."""
    return tx.run(_SQL.shrink_allowance, id=hold_id, amount=amount, spare=spare) == 1


def note_spare(tx: Transaction, hold_id: str, spare: int) -> None:
    """Note what no call needs of an allowance."""
    tx.run(_SQL.note_spare, id=hold_id, spare=spare)


def allowances_of(tx: Transaction, owner: str) -> list[Row]:
    """Return the open allowances of a node."""
    return tx.all(_SQL.allowances_of, owner=owner)


def open_allowances(tx: Transaction, wallet: str) -> list[Row]:
    """Return the allowances of a wallet."""
    return tx.all(_SQL.open_allowances, wallet=wallet)


def recall(tx: Transaction, wallet: str) -> int:
    """Ask all nodes for what they do not need of a wallet, and return the number of the recall."""
    row = tx.one(_SQL.recall, wallet=wallet)
    assert row is not None
    return int(row["number"])


def answer_recall(tx: Transaction, ids: Sequence[str], number: int) -> None:
    """Note that what these allowances did not need is given back."""
    tx.run(_SQL.answer_recall, ids=json.dumps(ids), number=number)


def recalled(tx: Transaction, within_ms: int) -> list[tuple[str, int]]:
    """Return the wallets that were called in lately, each with the number of its recall."""
    return [(row["wallet"], row["number"]) for row in tx.all(_SQL.recalled, within_ms=within_ms)]


# Conditional movements: each is one statement that tests and takes


def reserve(tx: Transaction, wallet: str, amount: int) -> bool:
    """Move an available amount of a wallet under hold; False when it is not there."""
    return tx.run(_SQL.reserve, wallet=wallet, amount=amount) == 1


def refusal(tx: Transaction, wallet: str, text: str) -> InsufficientQuota:
    """Say that a wallet does not reach, and whether nodes keep a part of it."""
    return (BalanceReserved if open_allowances(tx, wallet) else InsufficientQuota)(text)


def reserve_many(tx: Transaction, amounts: Mapping[str, int]) -> list[str]:
    """Move available amounts of wallets under hold; return the wallets where they were there."""
    wanted = [{"wallet": wallet, "amount": amount} for wallet, amount in sorted(amounts.items())]
    return [row["id"] for row in tx.all(_SQL.reserve_many, wanted=json.dumps(wanted))]


def unreserve(tx: Transaction, wallet: str, amount: int) -> None:
    """Take back a reservation of this transaction."""
    tx.run(_SQL.unreserve, wallet=wallet, amount=amount)


def reserve_budget(tx: Transaction, key_id: str, period: str, amount: int, budget: int) -> bool:
    """Move an amount of a key's budget under hold; False when it is not there."""
    return tx.run(_SQL.reserve_budget, key_id=key_id, period=period, amount=amount, budget=budget) == 1


def unreserve_budget(tx: Transaction, key_id: str, period: str, amount: int) -> None:
    """Take back a budget's reservation of this transaction."""
    tx.run(_SQL.unreserve_budget, key_id=key_id, period=period, amount=amount)


def capture_below(tx: Transaction, parent_hold_id: str, amount: int) -> bool:
    """Use up a part of a hold for a hold below it; False when it has ended or has not so much left."""
    return tx.run(_SQL.capture_below, id=parent_hold_id, amount=amount) == 1


def debit(tx: Transaction, wallet: str, amount: int) -> bool:
    """Take an available amount from a wallet; False when it is not there."""
    return tx.run(_SQL.debit, wallet=wallet, amount=amount) == 1


def available(tx: Transaction, wallet: str) -> int:
    """Return what is available in a wallet, which nobody else changes before the end of this transaction."""
    row = tx.one(_SQL.available, wallet=wallet)
    return 0 if row is None else int(row["available"])


# Movements that were decided


def move_accounts(tx: Transaction, rows: Sequence[Fields]) -> None:
    """Change balances by the differences in the rows."""
    tx.run_many(_SQL.move_account, rows)


def move_budgets(tx: Transaction, rows: Sequence[Fields]) -> None:
    """Change what keys have held and spent by the differences in the rows."""
    tx.run_many(_SQL.move_budget, rows)


def insert_postings(tx: Transaction, rows: Sequence[Fields]) -> None:
    """Write postings. Raises DuplicateRow when their reference has some."""
    tx.run_many(_SQL.insert_posting, rows)


def postings_of(tx: Transaction, reference: str) -> list[Row]:
    """Return the postings under one reference."""
    return tx.all(_SQL.postings_of, reference=reference)


# The check

PRICED_REQUESTS = _SQL.priced_requests
PRICED_TASKS = _SQL.priced_tasks


def begin_check(tx: Transaction) -> int:
    """Let statements take their time, and return the database's in milliseconds."""
    row = tx.one(_SQL.begin_check)
    assert row is not None
    return int(row["now"])


def check_counts(tx: Transaction) -> str:
    """Say how much there is to check."""
    row = tx.one(_SQL.check_counts)
    assert row is not None
    return f"{row['postings']} postings, {row['holds']} holds, {row['resolutions']} resolutions"


def contradictions(tx: Transaction, query: str, *, now: int, limit: int) -> list[Row]:
    """Return what one statement of the check finds."""
    return tx.all(getattr(_SQL, query), now=now, count_max=limit)


def triggers(tx: Transaction) -> set[str]:
    """Return the names of the triggers that are there and work."""
    return {row["name"] for row in tx.all(_SQL.check_triggers)}


def page(tx: Transaction, query: Query, *, after: str, limit: int) -> list[Row]:
    """Return the next rows by id."""
    return tx.all(query, after=after, count_max=limit)


def charges_and_costs(tx: Transaction, limit: int) -> list[Row]:
    """Return the channels and days on which customers paid something else than the attempts cost."""
    return tx.all(_SQL.charges_and_costs, count_max=limit)

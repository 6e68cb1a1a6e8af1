"""Crash points: a transaction that stops between any two statements leaves nothing, and the next try does it all."""

import pytest

from yiapi.db.database import Transaction
from yiapi.errors import InternalError
from yiapi.ledger import NewHold, Settlement, adjust, balance, refund, release, settle, take_hold, top_up
from yiapi.ledger.check import check
from yiapi.money import Money

WALLET = "wallet:acct_a:live"
STATEMENTS_MAX = 30


class Crash(BaseException):
    """The process is gone."""


class CrashingTransaction(Transaction):
    """A transaction that ends after a number of statements."""

    __slots__ = ("_left",)

    def __init__(self, tx: Transaction, statements: int) -> None:
        super().__init__(tx._connection)
        self._left = statements

    def _count(self) -> None:
        if not self._left:
            raise Crash
        self._left -= 1

    def one(self, query, **params):
        self._count()
        return super().one(query, **params)

    def all(self, query, **params):
        self._count()
        return super().all(query, **params)

    def run(self, query, **params):
        self._count()
        return super().run(query, **params)

    def run_many(self, query, rows):
        self._count()
        super().run_many(query, rows)


def take(tx, suffix: str = "") -> NewHold:
    new = NewHold(
        f"req{suffix}", WALLET, Money(100), "node_1", 600, key_id="key_1", budget_period="total", budget=Money(500)
    )
    return take_hold(tx, new)


VERBS = {
    "hold": lambda tx, hold: take(tx, "_other"),
    "settle below": lambda tx, hold: settle(tx, Settlement(hold.id, Money(40))),
    "settle above": lambda tx, hold: settle(tx, Settlement(hold.id, Money(140))),
    "settle far above": lambda tx, hold: settle(tx, Settlement(hold.id, Money(1400))),
    "release": lambda tx, hold: release(tx, hold.id),
    "expire": lambda tx, hold: release(tx, hold.id, "expired"),
    "top up": lambda tx, hold: top_up(tx, "op_1", WALLET, Money(5)),
    "refund": lambda tx, hold: refund(tx, "op_1", WALLET, Money(5)),
    "adjust": lambda tx, hold: adjust(tx, "op_1", WALLET, Money(-5), "funds"),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_a_crash_between_two_statements_leaves_nothing(database, verb):
    await database.write(lambda tx: top_up(tx, "funds", WALLET, Money(1000)))
    hold = await database.write(take)
    before = await database.read(lambda tx: balance(tx, WALLET))

    async def crashes_after(statements: int) -> bool:
        try:
            await database.write(lambda tx: VERBS[verb](CrashingTransaction(tx, statements), hold))
        except InternalError:  # what the writer answers for a unit that was interrupted
            return True
        return False

    statements = 0
    while await crashes_after(statements):
        assert await database.read(lambda tx: balance(tx, WALLET)) == before
        assert [found for found in (await check(database)).violations if found.invariant != "I11"] == []
        statements += 1
        assert statements < STATEMENTS_MAX
    done = await database.read(lambda tx: balance(tx, WALLET))
    await database.write(lambda tx: VERBS[verb](tx, hold))

    assert statements >= 4
    assert done != before
    assert await database.read(lambda tx: balance(tx, WALLET)) == done
    assert [found for found in (await check(database)).violations if found.invariant != "I11"] == []

"""Wallets: one for each tenant, opened with its account."""

from __future__ import annotations

from yiapi.db import Transaction
from yiapi.ledger import store
from yiapi.ledger.allowance import open_allowances
from yiapi.ledger.models import Balance, UnknownWallet, wallet_of
from yiapi.money import Money


def open_wallet(tx: Transaction, account_id: str, mode: str) -> None:
    """Open the empty wallet of a tenant. Repeating it changes nothing."""
    store.open_wallet(tx, wallet_of(account_id, mode), account_id, mode)


def tenant_balance(tx: Transaction, wallet: str) -> Balance:
    """Return a wallet as its tenant sees it: only calls hold something, by what nodes last said of their allowances.

    Raises UnknownWallet.
    """
    return balance(tx, wallet).freed(Money(sum(allowance.spare for allowance in open_allowances(tx, wallet))))


def balance(tx: Transaction, wallet: str) -> Balance:
    """Return what a wallet has by the books, where an allowance is held as a whole. Raises UnknownWallet."""
    row = store.account(tx, wallet)
    if row is None:
        raise UnknownWallet(wallet)
    posted, held = row["posted"], row["held"]
    return Balance(Money(posted), Money(held), Money(posted - held), Money(row["captured"]))

"""Accounts and API keys: who calls, what the key may do, and how much of it at once."""

from yiapi.apikeys.admission import Slot
from yiapi.apikeys.models import Account, BudgetPeriod, Key, KeyMode, NewKey, Restrictions
from yiapi.apikeys.rights import budget_period_of, within
from yiapi.apikeys.service import ApiKeys
from yiapi.apikeys.store import insert_account, insert_key

__all__ = [
    "Account",
    "ApiKeys",
    "BudgetPeriod",
    "Key",
    "KeyMode",
    "NewKey",
    "Restrictions",
    "Slot",
    "budget_period_of",
    "insert_account",
    "insert_key",
    "within",
]

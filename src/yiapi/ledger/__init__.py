"""The ledger: wallets, holds, captures. All money is moved here and nowhere else.

A call takes a hold on its wallet before anything is asked of a vendor, and settles it afterwards: what was used is
captured, the rest is free again. Every function works inside the caller's transaction and never commits, and repeating
it is harmless: a hold has its reference, a resolution its hold, every other movement its operation id. The reasons are
in docs/decisions/0001-ledger.md.
"""

from yiapi.ledger.allowance import (
    allowances_of,
    answer_recall,
    capture_batch,
    carve_hold,
    note_spare,
    open_allowances,
    recall,
    recalled,
    shrink_allowance,
    take_allowance,
)
from yiapi.ledger.hold import take_hold, take_holds
from yiapi.ledger.models import (
    AlreadyResolved,
    Balance,
    Batch,
    Hold,
    NewHold,
    OpenAllowance,
    RepeatedDifferently,
    Settled,
    Settlement,
    UnknownHold,
    UnknownOperation,
    UnknownWallet,
    wallet_of,
)
from yiapi.ledger.release import expire_holds, release, release_many, release_orphans
from yiapi.ledger.settle import settle, settle_many
from yiapi.ledger.top_up import adjust, refund, top_up
from yiapi.ledger.wallet import balance, open_wallet, tenant_balance

__all__ = [
    "AlreadyResolved",
    "Balance",
    "Batch",
    "Hold",
    "NewHold",
    "OpenAllowance",
    "RepeatedDifferently",
    "Settled",
    "Settlement",
    "UnknownHold",
    "UnknownOperation",
    "UnknownWallet",
    "adjust",
    "allowances_of",
    "answer_recall",
    "balance",
    "capture_batch",
    "carve_hold",
    "expire_holds",
    "note_spare",
    "open_allowances",
    "open_wallet",
    "recall",
    "recalled",
    "refund",
    "release",
    "release_many",
    "release_orphans",
    "settle",
    "settle_many",
    "shrink_allowance",
    "take_allowance",
    "take_hold",
    "take_holds",
    "tenant_balance",
    "top_up",
    "wallet_of",
]

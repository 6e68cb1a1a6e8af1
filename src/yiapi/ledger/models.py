"""What the ledger speaks of, and what can go wrong beside an empty wallet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from yiapi.money import Money

Release = Literal["released", "expired"]
"""``released``: the call came to nothing. ``expired``: nobody said how it ended."""

Credit = Literal["top_up", "grant"]
"""``top_up``: the customer paid. ``grant``: the operator gave it."""


class RepeatedDifferently(ValueError):
    """A reference or operation id was used before, for another movement."""


class AlreadyResolved(Exception):
    """The hold has ended otherwise; ``resolution`` says how: captured, released, expired."""

    def __init__(self, hold_id: str, resolution: str) -> None:
        super().__init__(f"{hold_id} is already {resolution}")
        self.hold_id = hold_id
        self.resolution = resolution


class UnknownHold(LookupError):
    """No hold has this id."""


class UnknownWallet(LookupError):
    """No wallet has this id: it was never opened."""


class UnknownOperation(LookupError):
    """There are no postings under this reference."""


@dataclass(frozen=True, slots=True)
class NewHold:
    """A hold to take. ``reference`` is the request or task; ``owner`` the node whose lease it shares, None for a task.

    ``budget`` is what the key may use in ``budget_period`` in all and wants both; None: the wallet is the only limit.
    A hold with a parent is covered by its parent and takes nothing from the wallet.
    """

    reference: str
    wallet: str
    amount: Money
    owner: str | None
    expires_s: int
    key_id: str | None = None
    budget_period: str | None = None
    budget: Money | None = None
    parent_hold_id: str | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold that was taken."""

    id: str
    reference: str
    wallet: str
    amount: Money
    expires_at_ms: int
    is_allowance: bool = False


@dataclass(frozen=True, slots=True)
class OpenAllowance:
    """A slice of a wallet that a node keeps for its calls, in nano-dollars.

    ``spare`` is what none of its calls needed when its node last said so; ``answered`` the number of the last recall
    that its node has answered.
    """

    id: str
    amount: int
    captured: int
    spare: int
    answered: int


@dataclass(slots=True)
class Batch:
    """What calls below one allowance add to it, in nano-dollars."""

    wallet: str
    captured: int = 0
    uncovered: int = 0
    spare: int = 0


@dataclass(frozen=True, slots=True)
class Settlement:
    """A hold whose call has ended, and the price of what was used."""

    hold_id: str
    charge: Money


@dataclass(frozen=True, slots=True)
class Settled:
    """What the customer paid, and what of the charge the balance did not cover: the operator's loss."""

    captured: Money
    uncovered: Money


@dataclass(frozen=True, slots=True)
class Balance:
    """A wallet: what was posted, what of it open holds keep, what is free, and all that was ever captured."""

    posted: Money
    held: Money
    available: Money
    spent_total: Money

    def freed(self, amount: Money) -> Balance:
        """Return the same wallet with so much less held."""
        return Balance(self.posted, self.held - amount, self.available + amount, self.spent_total)

    def charged(self, amount: Money) -> Balance:
        """Return the same wallet with so much of what is held captured."""
        return Balance(self.posted - amount, self.held - amount, self.available, self.spent_total + amount)


def wallet_of(account_id: str, mode: str) -> str:
    """Name the wallet of a tenant."""
    return f"wallet:{account_id}:{mode}"


def mode_of(wallet: str) -> str:
    """Tell the mode of a wallet from its name."""
    return wallet.rpartition(":")[2]

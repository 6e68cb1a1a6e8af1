"""Money: whole nano-dollars in a type of its own.

Inside the system an amount is an integer number of nano-dollars (10^-9 USD); outside it is a decimal string with at
most nine places. ``Money`` does not add to plain integers, so a quantity can never slip into a sum of amounts.
"""

from __future__ import annotations

import re

import msgspec

from yiapi.decimals import NANO_PER_USD, money_text

SINGLE_AMOUNT_MAX = 10**15
"""The largest single movement, in nano-dollars: a million dollars. What is above is a refusal, never a wrap."""

CURRENCY = "USD"

_AMOUNT = re.compile(r"(-?)([0-9]{1,15})(?:\.([0-9]{1,9}))?")


class AmountOutOfRange(ValueError):
    """A single amount is negative or above ``SINGLE_AMOUNT_MAX``."""


class Money(msgspec.Struct, frozen=True, order=True, array_like=True, gc=False):
    """An amount in nano-dollars. Sums and differences may be negative; what moves in the ledger may not."""

    nano: int

    @classmethod
    def parse(cls, text: str) -> Money:
        """Read a decimal string in USD with at most nine places, and nothing else. Raises ValueError."""
        found = _AMOUNT.fullmatch(text)
        if found is None:
            raise ValueError(f"not an amount with at most nine places: {text[:40]!r}")
        sign, whole, places = found.groups()
        return cls(int(f"{sign}{whole}{places or '':0<9}"))

    def movable(self) -> Money:
        """Return the amount itself if the ledger may move it. Raises AmountOutOfRange."""
        if not 0 <= self.nano <= SINGLE_AMOUNT_MAX:
            raise AmountOutOfRange(f"{self} USD is not between 0 and {Money(SINGLE_AMOUNT_MAX)}")
        return self

    def __add__(self, other: Money) -> Money:
        if not isinstance(other, Money):
            return NotImplemented
        return Money(self.nano + other.nano)

    def __sub__(self, other: Money) -> Money:
        if not isinstance(other, Money):
            return NotImplemented
        return Money(self.nano - other.nano)

    def __bool__(self) -> bool:
        return self.nano != 0

    def __str__(self) -> str:
        return money_text(self.nano)


ZERO = Money(0)

__all__ = [
    "CURRENCY",
    "NANO_PER_USD",
    "SINGLE_AMOUNT_MAX",
    "ZERO",
    "AmountOutOfRange",
    "Money",
    "money_text",
]

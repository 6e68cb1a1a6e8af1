"""What a price is, and what a quote says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from yiapi.money import Money
from yiapi.providers.contract import Unit

PER_PRICE = 1_000_000
"""A price is in nano-dollars for so many units."""

MULTIPLIER_ONE = 1_000_000
"""A multiplier is in millionths: this one is the list price."""

AUTHOR_FILE = "file"
"""The author of what an import wrote; every other author is an operator, whose rows an import leaves alone."""

SKU_LENGTH_MAX = 200
_STORED_MAX = 2**63 - 1

AssetPolicy = Literal["mirror", "original"]


@dataclass(frozen=True, slots=True)
class PriceRow:
    """The price of one sku in one unit; ``sku`` is a pattern where it has a ``*`` or ``?``.

    ``sell`` and ``cost`` are nano-dollars for 1,000,000 units. ``quantity_max`` is the most that one call can use.
    """

    provider: str
    sku: str
    unit: Unit
    sell: int
    cost: int
    quantity_max: int | None = None
    is_free: bool = False

    def check(self) -> None:
        """Refuse what cannot be a price. Raises ValueError."""
        if not 0 < len(self.sku) <= SKU_LENGTH_MAX or not self.sku.isprintable() or " " in self.sku:
            raise ValueError(f"not a sku: {self.sku!r}")
        if not (0 <= self.sell <= _STORED_MAX and 0 <= self.cost <= _STORED_MAX):
            raise ValueError(f"{self.sku} {self.unit}: a price is out of range")
        if self.is_free != (self.sell == 0):
            raise ValueError(f"{self.sku} {self.unit}: a price is 0 exactly where it is marked free")
        if self.quantity_max is not None and not 0 < self.quantity_max <= _STORED_MAX:
            raise ValueError(f"{self.sku} {self.unit}: quantity_max is out of range")


@dataclass(frozen=True, slots=True)
class PriceEntry:
    """A price as it is kept: who wrote it, and in which books it holds (``to_version`` is the first without it)."""

    row: PriceRow
    author: str
    from_version: int
    to_version: int | None


@dataclass(frozen=True, slots=True)
class PriceFilter:
    """Which prices to list; ``text`` is part of a sku. Closed rows are listed only with ``with_history``."""

    provider: str | None = None
    text: str | None = None
    author: str | None = None
    with_history: bool = False


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model that a price names; ``id`` is the plain name."""

    id: str
    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class QuotePart:
    """One line of a quote. ``unit_price`` is for ``per`` units, the multiplier in it, rounded up for reading."""

    sku: str
    unit: Unit
    quantity: int
    unit_price: Money
    amount: Money

    @property
    def per(self) -> int:
        """Return how many units the unit price is for."""
        return units_per_price(self.unit)


@dataclass(frozen=True, slots=True)
class Quote:
    """What a call costs at the most; the parts add up to the amount."""

    amount: Money
    parts: tuple[QuotePart, ...]
    version: int
    multiplier: int


@dataclass(frozen=True, slots=True)
class Switch:
    """What an operator decided about ``operation:kling.text2video``, or about ``model:kling/kling-v*``."""

    name: str
    enabled: bool
    message: str
    assets: AssetPolicy | None


_BY_THE_MILLION = frozenset({Unit.TOKEN_IN, Unit.TOKEN_IN_CACHED, Unit.TOKEN_OUT, Unit.CHARACTER})


def units_per_price(unit: Unit) -> int:
    """Return for how many units people write a price: a million tokens or characters, or one of anything else."""
    return 1_000_000 if unit in _BY_THE_MILLION else 1

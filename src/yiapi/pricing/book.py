"""The price book: an immutable snapshot that prices usage, in integers only.

An amount is rounded once, upwards to the nano-dollar, on the finished price of a request. Lookup: an exact sku beats a
pattern, and the pattern with more literal characters beats another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mypy_extensions import i64

from yiapi.errors import InvalidRequest, ModelNotFound
from yiapi.money import SINGLE_AMOUNT_MAX, AmountOutOfRange, Money
from yiapi.pricing.models import (
    MULTIPLIER_ONE,
    PER_PRICE,
    SKU_LENGTH_MAX,
    ListedModel,
    PriceRow,
    Quote,
    QuotePart,
    units_per_price,
)
from yiapi.pricing.patterns import compiled, is_pattern, literals
from yiapi.providers.contract import Unit, Usage

_SCALE = PER_PRICE * MULTIPLIER_ONE
_REMEMBERED_MAX = 4096
"""Callers choose model names, so what is remembered of lookups has an end."""

_PRICE_IN_ONE_STEP_MAX = 2**41
_QUANTITY_IN_ONE_STEP_MAX = 2**20

_Key = tuple[str, str, str]


class PriceBook:
    """All prices of one version. Amounts that cannot be moved raise InvalidRequest, unknown skus ModelNotFound."""

    def __init__(self, version: int, rows: Iterable[PriceRow] = ()) -> None:
        self.version = version
        self.rows = tuple(rows)
        self._exact: dict[_Key, PriceRow] = {}
        self._patterns: dict[tuple[str, str], list[tuple[re.Pattern[str], PriceRow]]] = {}
        self._models: dict[str, tuple[set[str], list[re.Pattern[str]]]] = {}
        self._found: dict[_Key, PriceRow | None] = {}
        self._bounds: dict[_Key, tuple[int, int | None]] = {}
        for row in sorted(self.rows, key=lambda row: (-literals(row.sku), row.sku)):
            self._enter(row)

    def _enter(self, row: PriceRow) -> None:
        if is_pattern(row.sku):
            self._patterns.setdefault((row.provider, row.unit), []).append((compiled(row.sku), row))
        else:
            self._exact[row.provider, row.sku, row.unit] = row
        names, patterns = self._models.setdefault(row.provider, (set(), []))
        model = _model_of(row)
        if not is_pattern(model):
            names.add(model)
        elif compiled(model) not in patterns:
            patterns.append(compiled(model))

    def knows(self, provider: str, model: str) -> bool:
        """Whether a price names this model, in any unit and variant."""
        names, patterns = self._models.get(provider, (set(), []))
        if model in names:
            return True
        return len(model) <= SKU_LENGTH_MAX and any(pattern.fullmatch(model) for pattern in patterns)

    def models(self) -> list[ListedModel]:
        """List the models that are named in full, sorted."""
        named = ((model, provider) for provider, (names, _) in self._models.items() for model in names)
        return [ListedModel(model, provider, model) for model, provider in sorted(named)]

    def price(self, provider: str, usage: Sequence[Usage], multiplier: int) -> Money:
        """Return what this usage costs a caller whose group has this multiplier."""
        return self.charged(provider, usage, multiplier)[0]

    def cost(self, provider: str, usage: Sequence[Usage]) -> Money:
        """Return what this usage costs us."""
        return self.charged(provider, usage, 0)[1]

    def charged(self, provider: str, usage: Sequence[Usage], multiplier: int) -> tuple[Money, Money]:
        """Return both: what this usage costs a caller whose group has this multiplier, and what it costs us."""
        sell = cost = 0
        found = self._found
        for used in usage:
            row = found.get((provider, used.sku, used.unit)) or self._need(provider, used)
            quantity = used.quantity
            if quantity < 0:
                raise InvalidRequest("a quantity is negative")
            sell += _times(row.sell, quantity)
            cost += _times(row.cost, quantity)
        return _movable(_multiplied(sell, multiplier)), _movable(-(-cost // PER_PRICE))

    def at_most(self, provider: str, usage: Sequence[Usage], multiplier: int) -> Money:
        """Return the amount of a quote, without its parts."""
        total = 0
        for used in usage:
            sell, quantity_max = self._bounds.get((provider, used.sku, used.unit)) or self._bound(provider, used)
            quantity = used.quantity
            if quantity_max is not None and quantity > quantity_max * used.choices:
                quantity = quantity_max * used.choices
            if quantity < 0:
                raise InvalidRequest("a quantity is negative")
            total += _times(sell, quantity)
        return _movable(_multiplied(total, multiplier))

    def _bound(self, provider: str, used: Usage) -> tuple[int, int | None]:
        """Return the dearest price that the usage can have, and the most of it that one call can use."""
        row = self._need(provider, used)
        bound = self._dearest(provider, used, row), row.quantity_max
        if len(self._bounds) >= _REMEMBERED_MAX:
            self._bounds.clear()
        self._bounds[provider, used.sku, used.unit] = bound
        return bound

    def quote(self, provider: str, usage: Sequence[Usage], multiplier: int) -> Quote:
        """Return what this usage costs at the most: what its price row says that one call can use is the limit."""
        parts: list[QuotePart] = []
        total, before = 0, 0
        for used in usage:
            row = self._need(provider, used)
            sell = self._dearest(provider, used, row)
            quantity = used.quantity
            if row.quantity_max is not None:
                quantity = min(quantity, row.quantity_max * used.choices)
            if quantity < 0:
                raise InvalidRequest("a quantity is negative")
            total += sell * quantity * multiplier
            after = _rounded_up(total, _SCALE)
            unit_price = Money(_rounded_up(sell * multiplier * units_per_price(used.unit), _SCALE))
            parts.append(QuotePart(used.sku, used.unit, quantity, unit_price, Money(after - before)))
            before = after
        return Quote(_movable(before), tuple(parts), self.version, multiplier)

    def row(self, provider: str, sku: str, unit: Unit) -> PriceRow | None:
        """Return the price of a sku, or None. Cached tokens without a price of their own cost what others cost."""
        key = (provider, sku, unit)
        if key in self._found:
            return self._found[key]
        row = self._find(provider, sku, unit)
        if len(self._found) >= _REMEMBERED_MAX:
            self._found.clear()
        if len(sku) <= SKU_LENGTH_MAX:
            self._found[key] = row
        return row

    def _need(self, provider: str, used: Usage) -> PriceRow:
        row = self.row(provider, used.sku, used.unit)
        if row is None:
            raise ModelNotFound(f"The model `{used.model[:SKU_LENGTH_MAX]}` does not exist or is not served here.")
        return row

    def _dearest(self, provider: str, used: Usage, row: PriceRow) -> int:
        """Bound tokens to be read: before the call nobody knows which of them the vendor has in its cache."""
        if used.unit != Unit.TOKEN_IN:
            return row.sell
        cached = self.row(provider, used.sku, Unit.TOKEN_IN_CACHED)
        return max(row.sell, cached.sell if cached else 0)

    def _find(self, provider: str, sku: str, unit: Unit) -> PriceRow | None:
        row = self._closest(provider, sku, unit)
        if unit == Unit.TOKEN_IN_CACHED:
            plain = self._closest(provider, sku, Unit.TOKEN_IN)
            if row is None or (plain is not None and _closeness(row) < _closeness(plain)):
                row = plain  # a wide pattern's discount is not meant for a model with a price of its own
        if row is None or (row.sell == 0 and not row.is_free):
            return None
        return row

    def _closest(self, provider: str, sku: str, unit: Unit) -> PriceRow | None:
        if len(sku) > SKU_LENGTH_MAX:
            return None
        row = self._exact.get((provider, sku, unit))
        if row is not None:
            return row
        patterns = self._patterns.get((provider, unit), ())
        return next((row for pattern, row in patterns if pattern.fullmatch(sku)), None)


def _model_of(row: PriceRow) -> str:
    return row.sku.partition(":")[0]


def _closeness(row: PriceRow) -> tuple[bool, int]:
    return not is_pattern(row.sku), literals(row.sku)


def _times(price: int, quantity: int) -> int:
    """Multiply; where the product surely has its place in 63 bits, as nearly always, in one step of the processor."""
    if 0 <= price < _PRICE_IN_ONE_STEP_MAX and 0 <= quantity < _QUANTITY_IN_ONE_STEP_MAX:
        return i64(price) * i64(quantity)
    return price * quantity


def _multiplied(amount: int, multiplier: int) -> int:
    if multiplier == MULTIPLIER_ONE:  # as for most callers; what is multiplied is too long for one step of arithmetic
        return -(-amount // PER_PRICE)
    return -(-amount * multiplier // _SCALE)


def _rounded_up(amount: int, scale: int) -> int:
    return -(-amount // scale)


def _movable(nano: int) -> Money:
    if 0 <= nano <= SINGLE_AMOUNT_MAX:
        return Money(nano)
    try:
        return Money(nano).movable()
    except AmountOutOfRange as error:
        raise InvalidRequest("the price of this request is out of range") from error

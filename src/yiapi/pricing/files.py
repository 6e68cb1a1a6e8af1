"""Price files: ``<slug>.toml`` beside the provider's file. The top of each file says how it is written."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

import yiapi.providers
from yiapi.money import Money
from yiapi.pricing.models import PER_PRICE, PriceRow, units_per_price
from yiapi.providers.contract import Unit

FOLDER = Path(yiapi.providers.__file__).parent


class PriceFileInvalid(ValueError):
    """A price file cannot be read as prices."""


class _Price(msgspec.Struct, forbid_unknown_fields=True):
    sell: str
    cost: str
    quantity_max: int | None = None
    is_free: bool = False


class _File(msgspec.Struct, forbid_unknown_fields=True):
    price: list[dict[str, msgspec.Raw | object]]


def read_prices(provider: str, folder: Path = FOLDER) -> list[PriceRow]:
    """Read a provider's price file; a provider without one has no prices. Raises PriceFileInvalid."""
    path = folder / f"{provider}.toml"
    return parse_prices(provider, path.read_text(encoding="utf-8")) if path.exists() else []


def parse_prices(provider: str, text: str) -> list[PriceRow]:
    """Read the text of a price file. Raises PriceFileInvalid."""
    try:
        file = msgspec.convert(tomllib.loads(text), _File)
        rows = [row for entry in file.price for row in _rows(provider, entry)]
        for row in rows:
            row.check()
    except (ValueError, msgspec.ValidationError) as error:
        raise PriceFileInvalid(f"{provider}.toml: {error}") from error
    seen: set[tuple[str, str]] = set()
    for row in rows:
        if (row.sku, row.unit) in seen:
            raise PriceFileInvalid(f"{provider}.toml: {row.sku} has two prices for a {row.unit}")
        seen.add((row.sku, row.unit))
    return rows


def _rows(provider: str, entry: dict[str, object]) -> list[PriceRow]:
    sku = msgspec.convert(entry.pop("sku", None), str | list[str])
    prices = msgspec.convert(entry, dict[Unit, _Price])
    return [
        PriceRow(
            provider,
            name,
            unit,
            _stored(price.sell, unit),
            _stored(price.cost, unit),
            price.quantity_max,
            price.is_free,
        )
        for name in ([sku] if isinstance(sku, str) else sku)
        for unit, price in prices.items()
    ]


def _stored(text: str, unit: Unit) -> int:
    return Money.parse(text).nano * (PER_PRICE // units_per_price(unit))

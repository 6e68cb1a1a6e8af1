"""Pricing: what usage costs, at which version of the price book, and what the operator has switched off."""

from yiapi.pricing.book import PriceBook
from yiapi.pricing.files import PriceFileInvalid
from yiapi.pricing.history import price_of, read_book
from yiapi.pricing.models import (
    AUTHOR_FILE,
    MULTIPLIER_ONE,
    AssetPolicy,
    ListedModel,
    PriceEntry,
    PriceFilter,
    PriceRow,
    Quote,
    QuotePart,
    Switch,
    units_per_price,
)
from yiapi.pricing.service import Pricing
from yiapi.pricing.switches import Switches

__all__ = [
    "AUTHOR_FILE",
    "MULTIPLIER_ONE",
    "AssetPolicy",
    "ListedModel",
    "PriceBook",
    "PriceEntry",
    "PriceFileInvalid",
    "PriceFilter",
    "PriceRow",
    "Pricing",
    "Quote",
    "QuotePart",
    "Switch",
    "Switches",
    "price_of",
    "read_book",
    "units_per_price",
]

"""Older books: what a request cost at the version that was pinned when it was accepted."""

from __future__ import annotations

import msgspec

from yiapi.db import Transaction
from yiapi.errors import NotFound
from yiapi.money import ZERO, Money
from yiapi.pricing import store
from yiapi.pricing.book import PriceBook
from yiapi.providers.contract import Unit, Usage


class _Used(msgspec.Struct):
    sku: str
    unit: Unit
    quantity: int


_USAGE = msgspec.json.Decoder(list[_Used])


def read_book(tx: Transaction, version: int) -> PriceBook:
    """Read one book. Raises NotFound for a version that was never written; version 0 is the empty book."""
    if version and not store.has_version(tx, version):
        raise NotFound(f"there is no price book {version}")
    return PriceBook(version, store.rows_at(tx, version))


def price_of(
    tx: Transaction,
    provider: str,
    usage_json: str,
    version: int,
    multiplier: int,
    *,
    books: dict[int, PriceBook] | None = None,
) -> Money:
    """Price the recorded usage of a request at its pinned version.

    ``books`` keeps what was read for the next call: a book never changes once it is written. Raises NotFound,
    ModelNotFound and InvalidRequest, and ValueError for usage that cannot be read.
    """
    usage = [Usage(used.sku, used.unit, used.quantity) for used in _USAGE.decode(usage_json)]
    if not usage:
        return ZERO
    books = {} if books is None else books
    book = books.get(version)
    if book is None:
        book = books[version] = read_book(tx, version)
    return book.price(provider, usage, multiplier)

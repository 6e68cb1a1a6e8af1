"""What the tests of prices share: rows, books, and the room itself on either database."""

from collections.abc import Callable
from pathlib import Path

import pytest

from yiapi.db import Database
from yiapi.pricing import MULTIPLIER_ONE, PriceBook, PriceRow, Pricing, Switches
from yiapi.providers.contract import Unit, Usage
from yiapi.providers.registry import Registry


@pytest.fixture(scope="session")
def row() -> Callable[..., PriceRow]:
    """A price of the provider ``acme``, in nano-dollars for a million units."""

    def make(sku: str = "m", sell: int = 1_000_000, unit: Unit = Unit.IMAGE, **fields) -> PriceRow:
        values = {"provider": "acme", "cost": 0, "is_free": sell == 0} | fields
        return PriceRow(sku=sku, unit=unit, sell=sell, **values)

    return make


@pytest.fixture(scope="session")
def book() -> Callable[..., PriceBook]:
    return lambda *rows, version=1: PriceBook(version, rows)


@pytest.fixture(scope="session")
def price() -> Callable[..., int]:
    """Price usage given as (sku, unit, quantity), in nano-dollars."""

    def of(book: PriceBook, *used: tuple[str, Unit, int], multiplier: int = MULTIPLIER_ONE) -> int:
        return book.price("acme", [Usage(*one) for one in used], multiplier).nano

    return of


@pytest.fixture
async def pricing(database: Database, clock) -> Pricing:
    pricing = Pricing(database, clock)
    await pricing.load()
    return pricing


@pytest.fixture
async def other_node(database: Database, clock, pricing: Pricing) -> Pricing:
    other = Pricing(database, clock)
    await other.load()
    return other


@pytest.fixture
async def switches(database: Database) -> Switches:
    switches = Switches(database)
    await switches.load()
    return switches


class Files:
    """A folder of price files, and a registry that knows its one provider."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        provider = Registry.discover().providers["kling"]
        self.registry = Registry([provider])

    def write(self, text: str) -> None:
        (self.folder / "kling.toml").write_text(text)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    folder = tmp_path / "prices"
    folder.mkdir()
    return Files(folder)

"""The rows of prices, multipliers and switches, and the notes of what an operator did to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import get_args

import msgspec

from yiapi.db import Row, Transaction, queries
from yiapi.ids import new_id
from yiapi.pricing.models import AssetPolicy, PriceEntry, PriceRow, Switch
from yiapi.providers.contract import Unit

_SQL = queries("pricing")
_POLICIES: dict[str, AssetPolicy] = {name: name for name in get_args(AssetPolicy)}


def snapshot_version(tx: Transaction, name: str) -> int:
    """Return the version of a snapshot, to see whether it changed."""
    row = tx.one(_SQL.snapshot_version, name=name)
    return int(row["version"]) if row else 0


def lock_snapshot(tx: Transaction, name: str) -> None:
    """Let one writer at a time decide on what is there."""
    tx.one(_SQL.lock_snapshot, name=name)


def bump_snapshot(tx: Transaction, name: str) -> None:
    """Tell every process to read again."""
    tx.run(_SQL.bump_snapshot, name=name)


def newest_version(tx: Transaction) -> int:
    """Return the version of the newest book; 0 before there is one."""
    row = tx.one(_SQL.newest_version)
    return int(row["version"]) if row else 0


def has_version(tx: Transaction, version: int) -> bool:
    """Whether there is such a book."""
    return tx.one(_SQL.has_version, version=version) is not None


def rows_at(tx: Transaction, version: int) -> list[PriceRow]:
    """Return the prices of one book."""
    return [_price(row) for row in tx.all(_SQL.rows_at, version=version)]


def open_prices(tx: Transaction, provider: str) -> dict[tuple[str, Unit], PriceEntry]:
    """Return a provider's prices of the newest book by sku and unit."""
    entries = (_entry(row) for row in tx.all(_SQL.open_prices, provider=provider))
    return {(entry.row.sku, entry.row.unit): entry for entry in entries}


def all_prices(tx: Transaction, provider: str | None) -> list[PriceEntry]:
    """Return prices of all books, of one provider or of all."""
    return [_entry(row) for row in tx.all(_SQL.all_prices, provider=provider)]


def add_book(tx: Transaction, *, author: str, note: str) -> int:
    """Begin a new book and return its version."""
    version = newest_version(tx) + 1
    tx.run(_SQL.add_book, version=version, author=author, note=note)
    return version


def close_prices(tx: Transaction, rows: Iterable[PriceRow], version: int) -> None:
    """End prices with the book before this one."""
    tx.run_many(
        _SQL.close_price,
        [{"provider": row.provider, "sku": row.sku, "unit": row.unit.value, "version": version} for row in rows],
    )


def add_prices(tx: Transaction, rows: Iterable[PriceRow], version: int, *, author: str) -> None:
    """Begin prices with this book."""
    tx.run_many(
        _SQL.add_price,
        [
            {
                "provider": row.provider,
                "sku": row.sku,
                "unit": row.unit.value,
                "sell": row.sell,
                "cost": row.cost,
                "quantity_max": row.quantity_max,
                "is_free": int(row.is_free),
                "author": author,
                "version": version,
            }
            for row in rows
        ],
    )


def multipliers(tx: Transaction) -> dict[str, int]:
    """Return every price group's multiplier."""
    return {row["name"]: int(row["multiplier"]) for row in tx.all(_SQL.multipliers)}


def put_multiplier(tx: Transaction, group: str, multiplier: int) -> None:
    """Write a group's multiplier; an unknown group begins with it."""
    tx.run(_SQL.put_multiplier, name=group, multiplier=multiplier)


def switches(tx: Transaction) -> list[Switch]:
    """Return every switch."""
    return [
        Switch(
            name=row["name"],
            enabled=bool(row["enabled"]),
            message=row["message"],
            assets=_POLICIES[row["assets"]] if row["assets"] else None,
        )
        for row in tx.all(_SQL.switches)
    ]


def put_switch(tx: Transaction, switch: Switch) -> None:
    """Write a switch."""
    tx.run(
        _SQL.put_switch,
        name=switch.name,
        enabled=int(switch.enabled),
        message=switch.message,
        assets=switch.assets,
    )


def note_audit(tx: Transaction, *, actor: str, action: str, subject: str, detail: Mapping[str, object]) -> None:
    """Write down what an operator did."""
    tx.run(
        _SQL.note_audit,
        id=new_id("audit"),
        actor=actor,
        action=action,
        subject=subject,
        detail=msgspec.json.encode(detail).decode(),
    )


def _price(row: Row) -> PriceRow:
    return PriceRow(
        provider=row["provider"],
        sku=row["sku"],
        unit=Unit(row["unit"]),
        sell=row["sell"],
        cost=row["cost"],
        quantity_max=row["quantity_max"],
        is_free=bool(row["is_free"]),
    )


def _entry(row: Row) -> PriceEntry:
    return PriceEntry(_price(row), row["author"], row["from_version"], row["to_version"])

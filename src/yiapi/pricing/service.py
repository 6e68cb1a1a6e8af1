"""Prices as the station uses them: the newest book in memory, older ones on request, edits and imports as new books.

A book is exchanged as a whole when its snapshot changes; a request keeps the one that it was accepted with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

from yiapi.clock import Clock
from yiapi.db import Database, Transaction
from yiapi.errors import InvalidRequest, NotFound, Overloaded
from yiapi.pricing import store
from yiapi.pricing.book import PriceBook
from yiapi.pricing.files import FOLDER, read_prices
from yiapi.pricing.history import read_book
from yiapi.pricing.models import AUTHOR_FILE, PriceEntry, PriceFilter, PriceRow
from yiapi.providers.contract import Unit
from yiapi.providers.registry import Registry

SNAPSHOT = "prices"
MULTIPLIER_MAX = 1_000_000_000
"""A thousand times the list price: what is above is a slip of the hand."""

GROUP_LENGTH_MAX = 200
_OLDER_BOOKS_MAX = 16
_EVERY_PRICE = PriceFilter()


class Pricing:
    """The prices of the station. ``book`` is empty until ``load``."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.book = PriceBook(0)
        self.multipliers: Mapping[str, int] = MappingProxyType({})
        self.refreshed_at_ms: int | None = None
        self._database = database
        self._clock = clock
        self._snapshot: int | None = None
        self._older: dict[int, PriceBook] = {}
        self._exchange = asyncio.Lock()

    async def load(self) -> None:
        """Read the newest book and the multipliers."""
        self._snapshot = None
        await self.refresh()

    async def refresh(self) -> bool:
        """Read again if something changed, and tell whether it did."""
        async with self._exchange:
            snapshot = await self._database.read(lambda tx: store.snapshot_version(tx, SNAPSHOT))
            self.refreshed_at_ms = self._clock.now_ms()
            if snapshot == self._snapshot:
                return False
            present = self.book
            self._snapshot, multipliers, self.book = await self._database.read(lambda tx: _read(tx, present))
            self.multipliers = MappingProxyType(multipliers)
            if present.version not in {0, self.book.version}:
                self._keep(present)
            return True

    def multiplier(self, price_group: str) -> int:
        """Return a group's multiplier in millionths.

        Raises Overloaded for a group that was made a moment ago: nobody pays a price that was not agreed.
        """
        try:
            return self.multipliers[price_group]
        except KeyError:
            raise Overloaded("the prices of this account are not loaded yet", retry_after_s=1) from None

    async def book_at(self, version: int) -> PriceBook:
        """Return an older book, for checks and for tasks that were accepted with it. Raises NotFound."""
        if version == self.book.version:
            return self.book
        if version not in self._older:
            self._keep(await self._database.read(lambda tx: read_book(tx, version)))
        return self._older[version]

    def _keep(self, book: PriceBook) -> None:
        self._older[book.version] = book
        while len(self._older) > _OLDER_BOOKS_MAX:
            del self._older[next(iter(self._older))]

    # Changes

    async def import_files(self, registry: Registry, *, folder: Path = FOLDER) -> int | None:
        """Bring the prices of the files into one new book and return its version; None when nothing changed.

        A row that an operator wrote stays; a row that left its file ends. Raises PriceFileInvalid.
        """
        files = {slug: read_prices(slug, folder) for slug in registry.providers}
        version = await self._database.write(lambda tx: _import(tx, files))
        await self.refresh()
        return version

    async def edit(
        self,
        provider: str,
        sku: str,
        unit: Unit,
        *,
        sell: int,
        cost: int,
        quantity_max: int | None = None,
        is_free: bool = False,
        author: str,
        note: str = "",
    ) -> int:
        """Write a price as an operator and return the version of the book that has it.

        Repeating it changes nothing. Raises InvalidRequest.
        """
        row = PriceRow(provider, sku, unit, sell, cost, quantity_max, is_free)
        _check(row, author)
        version = await self._database.write(lambda tx: _edit(tx, row, author=author, note=note))
        await self.refresh()
        return version

    async def remove(self, provider: str, sku: str, unit: Unit, *, author: str, note: str = "") -> int:
        """End a price and return the version of the book without it; what a file says comes back with the next import.

        Raises NotFound.
        """
        version = await self._database.write(
            lambda tx: _remove(tx, provider, sku, unit, author=author, note=note),
        )
        await self.refresh()
        return version

    async def set_multiplier(self, group: str, millionths: int, *, author: str) -> None:
        """Write the multiplier of a price group; an unknown group begins with it, and 0 gives everything away.

        Raises InvalidRequest.
        """
        if not 0 <= millionths <= MULTIPLIER_MAX:
            raise InvalidRequest(f"a multiplier is between 0 and {MULTIPLIER_MAX} millionths", param="multiplier")
        if not 0 < len(group) <= GROUP_LENGTH_MAX or not group.isprintable():
            raise InvalidRequest(f"a price group has a name of at most {GROUP_LENGTH_MAX} characters", param="name")
        await self._database.write(lambda tx: _set_multiplier(tx, group, millionths, author=author))
        await self.refresh()

    async def list_prices(self, wanted: PriceFilter = _EVERY_PRICE) -> list[PriceEntry]:
        """List prices by provider, sku and unit, the oldest first among those of one sku."""
        entries = await self._database.read(lambda tx: store.all_prices(tx, wanted.provider))
        return [entry for entry in entries if _is_wanted(entry, wanted)]


def _read(tx: Transaction, present: PriceBook) -> tuple[int, dict[str, int], PriceBook]:
    version = store.newest_version(tx)
    book = present if version == present.version else read_book(tx, version)
    return store.snapshot_version(tx, SNAPSHOT), store.multipliers(tx), book


def _check(row: PriceRow, author: str) -> None:
    if not author or author == AUTHOR_FILE:
        raise InvalidRequest("an edit has an operator as its author", param="author")
    try:
        row.check()
    except ValueError as error:
        raise InvalidRequest(str(error)) from error


def _import(tx: Transaction, files: Mapping[str, Sequence[PriceRow]]) -> int | None:
    store.lock_snapshot(tx, SNAPSHOT)
    ended: list[PriceRow] = []
    begun: list[PriceRow] = []
    for provider, rows in files.items():
        present = store.open_prices(tx, provider)
        wanted = {(row.sku, row.unit): row for row in rows}
        ours = {key: entry.row for key, entry in present.items() if entry.author == AUTHOR_FILE}
        ended += [row for key, row in ours.items() if wanted.get(key) != row]
        begun += [row for key, row in wanted.items() if ours.get(key) != row and (key in ours or key not in present)]
    if not ended and not begun:
        return None
    note = f"{len(begun)} prices written, {len(ended)} ended"
    version = store.add_book(tx, author=AUTHOR_FILE, note=note)
    _write(tx, version, ended=ended, begun=begun, author=AUTHOR_FILE)
    return version


def _edit(tx: Transaction, row: PriceRow, *, author: str, note: str) -> int:
    store.lock_snapshot(tx, SNAPSHOT)
    before = store.open_prices(tx, row.provider).get((row.sku, row.unit))
    if before is not None and before.row == row and before.author != AUTHOR_FILE:
        return store.newest_version(tx)
    version = store.add_book(tx, author=author, note=note)
    _write(tx, version, ended=[before.row] if before else [], begun=[row], author=author)
    detail = {"version": version, "before": asdict(before.row) if before else None, "after": asdict(row), "note": note}
    store.note_audit(tx, actor=author, action="price.edit", subject=_subject(row), detail=detail)
    return version


def _remove(tx: Transaction, provider: str, sku: str, unit: Unit, *, author: str, note: str) -> int:
    store.lock_snapshot(tx, SNAPSHOT)
    before = store.open_prices(tx, provider).get((sku, unit))
    if before is None:
        raise NotFound("there is no such price")
    version = store.add_book(tx, author=author, note=note)
    _write(tx, version, ended=[before.row], begun=[], author=author)
    detail = {"version": version, "before": asdict(before.row), "after": None, "note": note}
    store.note_audit(tx, actor=author, action="price.remove", subject=_subject(before.row), detail=detail)
    return version


def _write(tx: Transaction, version: int, *, ended: Sequence[PriceRow], begun: Sequence[PriceRow], author: str) -> None:
    store.close_prices(tx, ended, version)
    store.add_prices(tx, begun, version, author=author)
    store.bump_snapshot(tx, SNAPSHOT)


def _set_multiplier(tx: Transaction, group: str, millionths: int, *, author: str) -> None:
    store.lock_snapshot(tx, SNAPSHOT)
    before = store.multipliers(tx).get(group)
    if before == millionths:
        return
    store.put_multiplier(tx, group, millionths)
    store.bump_snapshot(tx, SNAPSHOT)
    detail = {"before": before, "after": millionths}
    store.note_audit(tx, actor=author, action="price_group.set", subject=group, detail=detail)


def _subject(row: PriceRow) -> str:
    return f"{row.provider}/{row.sku} {row.unit}"


def _is_wanted(entry: PriceEntry, wanted: PriceFilter) -> bool:
    return (
        (wanted.with_history or entry.to_version is None)
        and (wanted.text is None or wanted.text in entry.row.sku)
        and (wanted.author is None or wanted.author == entry.author)
    )

"""Forgetting: files of aged-out assets, files that never became a row, and what a stopped process left half gathered.

Every sweep can be repeated and run by several processes at once. A file goes before its row is marked: a sweep that
stops in between finds the row again, and deleting a file that is not there changes nothing.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from yiapi.assets import store
from yiapi.assets.files import Files, StoredFile
from yiapi.assets.models import Asset
from yiapi.clock import Clock
from yiapi.db import Database, Transaction

LEFTOVER_AFTER_S = 6 * 3600  # longer than any download and any jump of a clock
ORPHAN_AFTER_S = 24 * 3600  # longer than any task takes from its files to its end


class Sweeper:
    """Deletes what nobody may see any more."""

    def __init__(self, database: Database, files: Files, *, clock: Clock) -> None:
        self._database = database
        self._files = files
        self._clock = clock

    async def sweep(self, limit: int = 500) -> int:
        """Delete the files of aged-out assets and mark their rows; return how many there were."""
        aged = await self._database.read(lambda tx: store.expired(tx, limit))
        gone: list[Asset] = []
        try:
            for asset in aged:
                if asset.original_url is None:
                    await self._files.delete(f"{asset.account_id}/{asset.id}")
                gone.append(asset)
        finally:
            if gone:
                await self._database.write(lambda tx: _mark(tx, gone))
        return len(gone)

    async def sweep_orphans(self) -> int:
        """Delete files of which no row speaks, once they are a day old; return how many there were.

        They are left by a process that ended between keeping a file and writing its row.
        """
        swept, after = 0, None
        before_ms = self._clock.now_ms() - ORPHAN_AFTER_S * 1000
        while listed := await self._files.listed(after):
            after = listed[-1].key
            old = [file for file in listed if file.modified_ms < before_ms]
            for key in await self._database.read(partial(_unspoken, files=old)) if old else ():
                await self._files.delete(key)
                swept += 1
        return swept

    async def sweep_incoming(self) -> int:
        """Remove half-gathered files of processes that ended; return how many there were."""
        before_s = self._clock.now_ms() / 1000 - LEFTOVER_AFTER_S
        return await asyncio.to_thread(_remove_older, self._files.incoming, before_s)


def _mark(tx: Transaction, assets: list[Asset]) -> None:
    for asset in assets:
        store.mark_deleted(tx, asset.id)


def _unspoken(tx: Transaction, files: list[StoredFile]) -> list[str]:
    return [file.key for file in files if not store.is_kept(tx, *file.key.split("/"))]


def _remove_older(folder: Path, before_s: float) -> int:
    removed = 0
    for path in folder.iterdir():
        try:
            if path.stat().st_mtime < before_s:
                path.unlink()
                removed += 1
        except FileNotFoundError:  # another process was quicker
            continue
    return removed

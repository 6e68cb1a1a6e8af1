"""The asset room as the rest of the station sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TypedDict

from yiapi.assets import store
from yiapi.assets.files import FileMissing, Files
from yiapi.assets.jobs import Sweeper
from yiapi.assets.keep import Keeper, Pause
from yiapi.assets.kinds import content_type_of_type
from yiapi.assets.links import LinkFacts, Links
from yiapi.assets.models import Asset, AssetType, FileLimits, KeptFile, Retention, Source
from yiapi.clock import Clock, rfc3339
from yiapi.db import Database, Transaction
from yiapi.errors import Gone, NotFound
from yiapi.ids import new_id
from yiapi.upstream.fetch import Fetcher

REDIRECT_S = 300


class AssetView(TypedDict):
    """An asset as callers read it, in a task and as a record of its own."""

    id: str
    type: AssetType
    content_type: str
    url: str
    expires_at: str
    size_bytes: int | None
    sha256: str | None
    width: int | None
    height: int | None
    duration_s: float | None


class Assets:
    """Keeps the results of calls for a while, and gives them to whoever has the link.

    The way of a file: ``keep`` copies it into the store before any row exists; the transaction that ends the task or
    settles the call writes the row with ``record``; ``view`` and ``link`` show it; ``sweep`` forgets it. The room knows
    tenants (an account in a mode) and files, but neither tasks nor money. Links are signed and need no API key; a
    tenant's asset is never found by another tenant.
    """

    def __init__(
        self,
        database: Database,
        files: Files,
        fetcher: Fetcher,
        links: Links,
        *,
        clock: Clock,
        retention: Retention | None = None,
        limits: FileLimits | None = None,
        pause: Pause = asyncio.sleep,
        redirects: bool = False,
    ) -> None:
        self._database = database
        self._files = files
        self._links = links
        self._clock = clock
        self._keeper = Keeper(files, fetcher, pause=pause)
        self._sweeper = Sweeper(database, files, clock=clock)
        self._retention = retention or Retention()
        self._limits = limits or FileLimits()
        self._redirects = redirects  # answer with a link of the bucket's own, where the operator says so

    async def keep(
        self,
        account_id: str,
        mode: str,
        source: Source,
        *,
        type_hint: AssetType | None = None,
        bytes_max: int | None = None,
        timeout_s: float | None = None,
    ) -> KeptFile:
        """Copy a result into the store. Raises KeepFailed, or StorageUnavailable: then come back later."""
        return await self._keeper.keep(
            account_id,
            mode,
            source,
            type_hint=type_hint,
            bytes_max=bytes_max or self._limits.bytes_max,
            timeout_s=timeout_s or self._limits.timeout_s,
        )

    async def keep_bytes(
        self, account_id: str, mode: str, content: bytes | str, *, type_hint: AssetType | None = None
    ) -> KeptFile:
        """Keep a result that the vendor's answer has in itself: bytes, or text in base64 or as a data: URL."""
        return await self.keep(account_id, mode, Source(content=content), type_hint=type_hint)

    async def discard(self, kept: KeptFile) -> None:
        """Delete a kept file that will get no row, because its call ended otherwise."""
        await self._files.delete(_key(kept))

    def record(
        self, tx: Transaction, kept: KeptFile, *, request_id: str | None, task_id: str | None, position: int = 0
    ) -> Asset:
        """Write the row of a kept file in the caller's transaction. ``position`` is its place among its siblings."""
        life_s = self._retention.seconds(kept.mode)
        return store.insert(tx, kept, request_id=request_id, task_id=task_id, life_s=life_s, position=position)

    def record_original(
        self,
        tx: Transaction,
        *,
        account_id: str,
        mode: str,
        type_: AssetType,
        url: str,
        request_id: str | None,
        task_id: str | None,
        position: int = 0,
    ) -> Asset:
        """Write the row of a result that the operator leaves at the vendor, in the caller's transaction."""
        return store.insert_original(
            tx,
            asset_id=new_id("asset"),
            account_id=account_id,
            mode=mode,
            type_=type_,
            content_type=content_type_of_type(type_),
            original_url=url,
            request_id=request_id,
            task_id=task_id,
            life_s=self._retention.original_s,
            position=position,
        )

    def of_task(self, tx: Transaction, task_id: str) -> list[Asset]:
        """Return the files of a task in their order; the caller has looked whose task it is."""
        return store.of_task(tx, task_id)

    def stored_bytes(self, tx: Transaction, account_id: str, mode: str) -> int:
        """Return how much a tenant has in the store."""
        return store.stored_bytes(tx, account_id, mode)

    def link(self, asset: Asset, *, expires_s: int | None = None) -> str:
        """Return the link that callers get: ours, or the vendor's where the operator leaves it."""
        return asset.original_url or self._links.link_for(asset, expires_s=expires_s)

    def link_to(self, kept: KeptFile) -> str:
        """Return the link to a kept file whose row is yet to be written; it lives as long as the row will say."""
        now_ms = self._clock.now_ms()
        asset = Asset(
            id=kept.id,
            account_id=kept.account_id,
            mode=kept.mode,
            request_id=None,
            task_id=None,
            type=kept.type,
            content_type=kept.content_type,
            size_bytes=kept.size_bytes,
            sha256=kept.sha256,
            width=kept.width,
            height=kept.height,
            duration_s=kept.duration_s,
            original_url=None,
            created_at=now_ms,
            expires_at=now_ms + self._retention.seconds(kept.mode) * 1000,
            deleted_at=None,
            is_gone=False,
        )
        return self._links.link_for(asset)

    def view(self, asset: Asset, *, expires_s: int | None = None) -> AssetView:
        """Describe an asset as callers read it, with a fresh link."""
        is_here = asset.original_url is None
        return AssetView(
            id=asset.id,
            type=asset.type,
            content_type=asset.content_type,
            url=self.link(asset, expires_s=expires_s),
            expires_at=rfc3339(asset.expires_at),
            size_bytes=asset.size_bytes if is_here else None,
            sha256=asset.sha256 if is_here else None,
            width=asset.width,
            height=asset.height,
            duration_s=asset.duration_s,
        )

    async def get(self, account_id: str, mode: str, asset_id: str) -> Asset:
        """Return a tenant's asset. Raises NotFound for a missing, a deleted, an aged-out and another tenant's one."""
        asset = await self._database.read(lambda tx: store.get(tx, account_id, mode, asset_id))
        if asset is None or asset.is_gone:
            raise NotFound("no asset has this id")
        return asset

    async def by_link(self, path: str, query: str) -> tuple[Asset, LinkFacts]:
        """Return the asset of a signed link, path and query as they were on the wire.

        Raises, in this order, PermissionDenied (not signed so), Gone (deleted or aged out), UrlExpired.
        """
        facts = self._links.check(path, query)
        asset = await self._database.read(lambda tx: store.get(tx, facts.account_id, facts.mode, facts.asset_id))
        if asset is None or asset.is_gone:
            raise Gone("the file was deleted or is no longer kept")
        self._links.check_time(facts)
        return asset, facts

    async def read(self, asset: Asset, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Open an asset's file and stream a part of it. Raises Gone, StorageUnavailable."""
        try:
            return await self._files.read(_key(asset), start, stop)
        except FileMissing as error:
            raise Gone("the file was deleted or is no longer kept") from error

    async def redirect(self, asset: Asset, *, method: str = "GET") -> str | None:
        """Return where else the file can be fetched: at the vendor, or in the bucket where the operator allows it.

        A bucket's link is good for GET alone.
        """
        if asset.original_url is not None or not self._redirects or method != "GET":
            return asset.original_url
        return await self._files.presigned(_key(asset), life_s=REDIRECT_S)

    async def delete(self, account_id: str, mode: str, asset_id: str) -> None:
        """Delete a tenant's asset, the file before the row is marked. Raises NotFound as ``get`` does."""
        asset = await self.get(account_id, mode, asset_id)
        if asset.original_url is None:
            await self._files.delete(_key(asset))
        await self._database.write(lambda tx: store.mark_deleted(tx, asset.id))

    async def sweep(self, limit: int = 500) -> int:
        """Delete aged-out files; return how many, so that a full sweep is followed by another."""
        return await self._sweeper.sweep(limit)

    async def sweep_orphans(self) -> int:
        """Delete old files without a row, and what was left half gathered; return how many."""
        return await self._sweeper.sweep_orphans() + await self._sweeper.sweep_incoming()

    def close(self) -> None:
        """End the threads, once nothing is kept any more."""
        self._keeper.close()
        self._files.close()


def _key(file: Asset | KeptFile) -> str:
    return f"{file.account_id}/{file.id}"

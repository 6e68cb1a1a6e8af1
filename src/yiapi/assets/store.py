"""The rows of assets. Nothing here commits: a row is part of the transaction that ends a task or settles a call."""

from __future__ import annotations

from typing import get_args

from yiapi.assets.models import Asset, AssetType, KeptFile
from yiapi.db import Row, Transaction, queries

_SQL = queries("assets")
_TYPES: dict[str, AssetType] = {name: name for name in get_args(AssetType)}


def insert(
    tx: Transaction, kept: KeptFile, *, request_id: str | None, task_id: str | None, life_s: float, position: int = 0
) -> Asset:
    """Write the row of a kept file; ``position`` is its place among the files of the same call.

    Raises DuplicateRow when the file has one already.
    """
    row = tx.one(
        _SQL.insert,
        id=kept.id,
        account_id=kept.account_id,
        mode=kept.mode,
        request_id=request_id,
        task_id=task_id,
        type=kept.type,
        content_type=kept.content_type,
        size_bytes=kept.size_bytes,
        sha256=kept.sha256,
        width=kept.width,
        height=kept.height,
        duration_s=kept.duration_s,
        original_url=None,
        position=position,
        life_ms=round(life_s * 1000),
    )
    assert row is not None
    return _asset(row)


def insert_original(
    tx: Transaction,
    *,
    asset_id: str,
    account_id: str,
    mode: str,
    type_: AssetType,
    content_type: str,
    original_url: str,
    request_id: str | None,
    task_id: str | None,
    life_s: float,
    position: int = 0,
) -> Asset:
    """Write the row of a result that stays at the vendor: its link is the vendor's, and nothing is stored here."""
    row = tx.one(
        _SQL.insert,
        id=asset_id,
        account_id=account_id,
        mode=mode,
        request_id=request_id,
        task_id=task_id,
        type=type_,
        content_type=content_type,
        size_bytes=0,
        sha256="",
        width=None,
        height=None,
        duration_s=None,
        original_url=original_url,
        position=position,
        life_ms=round(life_s * 1000),
    )
    assert row is not None
    return _asset(row)


def get(tx: Transaction, account_id: str, mode: str, asset_id: str) -> Asset | None:
    """Return a tenant's asset, gone or not; another tenant's is not found. A link names its tenant too."""
    row = tx.one(_SQL.get, account_id=account_id, mode=mode, id=asset_id)
    return _asset(row) if row else None


def of_task(tx: Transaction, task_id: str) -> list[Asset]:
    """Return the files of a task in the order in which the vendor named them, those that are gone included."""
    return [_asset(row) for row in tx.all(_SQL.of_task, task_id=task_id)]


def mark_deleted(tx: Transaction, asset_id: str) -> bool:
    """Note that a file is gone; False when that was noted before."""
    return tx.run(_SQL.mark_deleted, id=asset_id) == 1


def expired(tx: Transaction, limit: int) -> list[Asset]:
    """Return the assets that aged out while their files are still there, oldest first."""
    return [_asset(row) for row in tx.all(_SQL.expired, count_max=limit)]


def is_kept(tx: Transaction, account_id: str, asset_id: str) -> bool:
    """Whether a row speaks of this file, so that it must stay."""
    return tx.one(_SQL.is_kept, account_id=account_id, id=asset_id) is not None


def stored_bytes(tx: Transaction, account_id: str, mode: str) -> int:
    """Return how much a tenant has in the store."""
    row = tx.one(_SQL.stored_bytes, account_id=account_id, mode=mode)
    assert row is not None
    return int(row["stored_bytes"])


def _asset(row: Row) -> Asset:
    return Asset(
        id=row["id"],
        account_id=row["account_id"],
        mode=row["mode"],
        request_id=row["request_id"],
        task_id=row["task_id"],
        type=_TYPES[row["type"]],
        content_type=row["content_type"],
        size_bytes=row["size_bytes"],
        sha256=row["sha256"],
        width=row["width"],
        height=row["height"],
        duration_s=None if row["duration_s"] is None else float(row["duration_s"]),
        original_url=row["original_url"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        deleted_at=row["deleted_at"],
        is_gone=bool(row["is_gone"]),
    )

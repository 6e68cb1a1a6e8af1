"""``yiapi doctor``: is this station fit to serve? It looks and changes nothing."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal, TypeVar

import psycopg
import typer

from yiapi.channels import store as channels
from yiapi.cli.desk import FAILED, require_station, secret_of, tell
from yiapi.cli.options import AsJson, Data, DatabaseUrl, settings_of
from yiapi.db import Database, SchemaMismatch, Transaction, migrate
from yiapi.db.sql import query_of
from yiapi.errors import StationError
from yiapi.fingerprint import kept_fingerprint
from yiapi.providers.registry import Registry
from yiapi.settings import Settings

T = TypeVar("T")
State = Literal["ok", "note", "fails"]
FREE_BYTES_MIN = 1024**3

_NODES = query_of("doctor.nodes", "SELECT name FROM nodes WHERE lease_until >= now_ms() ORDER BY name")


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, and how it is; a note is no failure."""

    subject: str
    state: State
    text: str


Look = Callable[[Settings], Iterator[Finding]]


def doctor(data: Data = None, database: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Look at settings, secret, database, disk, providers and channels; exit status 1 if something fails."""
    settings = settings_of(data=data, database=database)
    findings = [finding for name, look in LOOKS.items() for finding in _looked(name, look, settings)]
    tell([asdict(finding) for finding in findings], as_json=as_json)
    if any(finding.state == "fails" for finding in findings):
        raise typer.Exit(FAILED)


def _looked(name: str, look: Look, settings: Settings) -> list[Finding]:
    try:
        return list(look(settings))
    except (StationError, SchemaMismatch, ValueError, OSError, sqlite3.Error, psycopg.Error) as error:
        return [Finding(name, "fails", str(error))]


def _folder(settings: Settings) -> Iterator[Finding]:
    require_station(settings)
    free = shutil.disk_usage(settings.data).free
    text = f"{settings.data}, {free // 1024**2} MiB free"
    yield Finding("data", "ok" if free >= FREE_BYTES_MIN else "note", text)


def _secret(settings: Settings) -> Iterator[Finding]:
    path = settings.data / "secret"
    if settings.secret is None and not path.exists():
        raise ValueError("there is no secret yet: the first start makes one")
    if settings.secret is None and stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield Finding("secret", "fails", f"others can read {path}: chmod 600")
    else:
        yield Finding("secret", "ok", "YIAPI_SECRET" if settings.secret else str(path))


def _database(settings: Settings) -> Iterator[Finding]:
    require_station(settings)
    missing = migrate(settings.database_url, dry_run=True)
    text = (
        f"{len(missing)} migrations are to be applied at the next start" if missing else "its schema is this program's"
    )
    yield Finding("database", "note" if missing else "ok", text)
    known = _read(settings, kept_fingerprint) if not missing and (settings.secret or _has_secret(settings)) else None
    if known is not None and known != secret_of(settings).fingerprint():
        yield Finding("database", "fails", "it belongs to a station with another secret")


def _providers(_: Settings) -> Iterator[Finding]:
    registry = Registry.discover()
    yield Finding("providers", "ok", f"{len(registry.providers)} with {len(registry.served)} operations")


def _channels(settings: Settings) -> Iterator[Finding]:
    require_station(settings)
    live = [row for row in _read(settings, channels.list_channels) if row.mode == "live"]
    off = [row for row in live if not row.enabled]
    if not live:
        yield Finding("channels", "note", "there is no live channel yet: only test keys are served")
    else:
        yield Finding("channels", "ok", f"{len(live) - len(off)} of {len(live)} live channels are on")
    for row in off:
        yield Finding("channels", "note", f"{row.id} is off: {row.reason or 'no reason was given'}")


def _nodes(settings: Settings) -> Iterator[Finding]:
    require_station(settings)
    names = [row["name"] for row in _read(settings, lambda tx: tx.all(_NODES))]
    yield Finding("nodes", "ok" if names else "note", ", ".join(names) or "the station is not running")


LOOKS: dict[str, Look] = {
    "data": _folder,
    "secret": _secret,
    "database": _database,
    "providers": _providers,
    "channels": _channels,
    "nodes": _nodes,
}


def _has_secret(settings: Settings) -> bool:
    return (settings.data / "secret").exists()


def _read(settings: Settings, job: Callable[[Transaction], T]) -> T:
    async def read() -> T:
        database = Database(settings.database_url, readers=1)
        try:
            return await database.read(job)
        finally:
            database.close()

    return asyncio.run(read())

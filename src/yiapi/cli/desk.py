"""What commands work with: the station's services without a node, and how they say what they found."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import InvalidOperation
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import typer

from yiapi.apikeys import ApiKeys
from yiapi.channels import Channels
from yiapi.cli.options import settings_of
from yiapi.clock import SystemClock
from yiapi.db import Database, SchemaMismatch, migrate
from yiapi.errors import NotFound, StationError
from yiapi.fingerprint import kept_fingerprint, recognise
from yiapi.pricing import Pricing, Switches
from yiapi.providers.registry import Registry
from yiapi.secrets import Seal, ServerSecret, load_secret
from yiapi.settings import Settings

T = TypeVar("T")
OPERATOR = "operator"
FAILED, MISUSED = 1, 2


@dataclass(frozen=True, slots=True)
class Desk:
    """The services that a command needs."""

    settings: Settings
    database: Database
    registry: Registry
    apikeys: ApiKeys
    channels: Channels
    pricing: Pricing
    switches: Switches


def at_desk(
    work: Callable[[Desk], Awaitable[T]],
    *,
    data: Path | None,
    database: str | None = None,
    permit_host: Sequence[str] | None = None,
    must_exist: bool = False,
) -> T:
    """Run a command's work on the station's database; what goes wrong is one line and exit status 1.

    ``must_exist`` refuses a folder without a station, where other commands begin one.
    """
    settings = settings_of(data=data, database=database, permit_host=tuple(permit_host) if permit_host else None)
    with saying(FAILED):
        if must_exist:
            require_station(settings)
        settings.data.mkdir(parents=True, exist_ok=True)
        migrate(settings.database_url)
        return asyncio.run(_run(work, settings))


@contextlib.contextmanager
def saying(status: int) -> Iterator[None]:
    """Say what goes wrong in one line, and end with this status."""
    try:
        yield
    except InvalidOperation:
        refuse("this is not a number", status)
    except (StationError, SchemaMismatch, ValueError, OSError) as error:
        refuse(str(error) or type(error).__name__, status)


def refuse(text: str, status: int = FAILED) -> NoReturn:
    """End a command with one line on standard error."""
    typer.echo(f"yiapi: {' '.join(text.split())}", err=True)
    raise typer.Exit(status)


def require_station(settings: Settings) -> None:
    """Refuse an SQLite file that is not there. Raises NotFound."""
    path = sqlite_file(settings)
    if path is not None and not path.exists():
        raise NotFound(f"there is no station in {path.parent}")


def sqlite_file(settings: Settings) -> Path | None:
    """Return the database's file; None for PostgreSQL."""
    url = settings.database_url
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:") else None


def secret_of(settings: Settings) -> ServerSecret:
    """Return the station's secret. Raises SecretUnusable."""
    return load_secret(settings.data, settings.secret.get_secret_value() if settings.secret else None)


async def _run(work: Callable[[Desk], Awaitable[T]], settings: Settings) -> T:
    secret, clock = secret_of(settings), SystemClock()
    database = Database(settings.database_url, clock=clock)
    try:
        await _recognise(database, secret)
        desk = Desk(
            settings,
            database,
            Registry.discover(),
            ApiKeys(database, secret, clock),
            Channels(database, Seal(secret, "credentials"), clock, permitted=settings.permits),
            Pricing(database, clock),
            Switches(database),
        )
        return await work(desk)
    finally:
        database.close()


async def _recognise(database: Database, secret: ServerSecret) -> None:
    """Refuse another station's secret: keys and credentials made with it would never work. Raises SecretUnusable."""
    if await database.read(kept_fingerprint) != secret.fingerprint():
        await database.write(lambda tx: recognise(tx, secret))


def tell(rows: Sequence[dict[str, Any]] | dict[str, Any], *, as_json: bool) -> None:
    """Print a list as a table, one thing as lines, or either as JSON."""
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, default=str))
    elif isinstance(rows, dict):
        width = max(map(len, rows), default=0)
        for name, value in rows.items():
            typer.echo(f"{name.ljust(width)}  {_text(value)}")
    elif not rows:
        typer.echo("nothing")
    else:
        _tell_table(rows)


def _tell_table(rows: Sequence[dict[str, Any]]) -> None:
    lines = [list(rows[0]), *([_text(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        value = [f"{name}={entry}" for name, entry in value.items()]
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple | set | frozenset) else str(value)
    return "".join(character if character.isprintable() else " " for character in text) or "-"


def listed(text: str | None) -> tuple[str, ...] | None:
    """Read ``a,b`` as two entries; nothing stands for all."""
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else None

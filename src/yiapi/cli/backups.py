"""``yiapi backup`` and ``yiapi restore``: the database as one file.

A backup is taken while the station runs and is one consistent view. It has no result files and no secret: the data
folder's ``secret`` and ``assets`` are kept beside it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from yiapi.cli.desk import FAILED, require_station, saying, secret_of, sqlite_file, tell
from yiapi.cli.options import AsJson, Data, DatabaseUrl, settings_of
from yiapi.errors import Conflict, InvalidRequest
from yiapi.settings import Settings

PAGES_AT_ONCE = 4096


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not be there yet.")],
    data: Data = None,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Copy the database into a file, beside a running station."""
    settings = settings_of(data=data, database=database)
    with saying(FAILED):
        source = _own_file(settings)
        require_station(settings)
        if file.exists():
            raise Conflict(f"{file} exists already")
        partial = file.with_name(f"{file.name}.partial")
        _copy(source, partial)
        partial.rename(file)
        said = {"file": str(file), "size_bytes": file.stat().st_size}
    tell(said, as_json=as_json)


def restore(
    file: Annotated[Path, typer.Argument(help="A file that yiapi backup wrote.")],
    data: Data = None,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the database's place, while the station is stopped; what was there is kept beside it."""
    settings = settings_of(data=data, database=database)
    with saying(FAILED):
        target = _own_file(settings)
        _require_ours(file, settings)
        settings.data.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.partial")
        _copy(file, partial)
        try:
            kept = _put_aside(target) if target.exists() else None
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    tell({"database": str(target), "kept": kept and str(kept)}, as_json=as_json)


def _own_file(settings: Settings) -> Path:
    path = sqlite_file(settings)
    if path is None:
        raise InvalidRequest("this station is on PostgreSQL: use pg_dump and pg_restore")
    return path


def _copy(source: Path, target: Path) -> None:
    """Copy a database as it is at one moment into a new file of its owner's. Raises ValueError."""
    target.unlink(missing_ok=True)
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with closing(_reading(source)) as ours, closing(sqlite3.connect(target)) as theirs:
            ours.execute("BEGIN")  # one view for all pages, so that a busy station does not make the copy begin anew
            ours.execute("SELECT count(*) FROM sqlite_master").fetchone()
            ours.backup(theirs, pages=PAGES_AT_ONCE, sleep=0)
            theirs.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise ValueError(f"{source} cannot be copied: {error}") from error


def _require_ours(file: Path, settings: Settings) -> None:
    """Refuse what is no sound backup of a station with this secret. Raises ValueError."""
    if not file.is_file():
        raise InvalidRequest(f"{file} is not there")
    try:
        with closing(_reading(file)) as db:
            sound = db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            known = db.execute("SELECT value FROM station WHERE name = 'secret_fingerprint'").fetchone()
    except sqlite3.Error as error:
        raise InvalidRequest(f"{file} is no backup of a station") from error
    if not sound:
        raise InvalidRequest(f"{file} is damaged")
    if settings.secret is None and not (settings.data / "secret").exists():
        raise InvalidRequest(f"put the station's secret into {settings.data / 'secret'} first")
    if known is not None and known[0] != secret_of(settings).fingerprint():
        raise InvalidRequest("this backup belongs to a station with another secret")


def _put_aside(target: Path) -> Path:
    """Keep what is there, whole in one file. Raises Conflict while somebody uses it."""
    try:
        with closing(sqlite3.connect(target, timeout=0)) as db:
            if db.execute("PRAGMA journal_mode = DELETE").fetchone()[0] != "delete":
                raise Conflict("the station is running: stop it first")
    except sqlite3.OperationalError as error:
        raise Conflict("the station is running: stop it first") from error
    except sqlite3.DatabaseError:
        pass  # what is there is damaged: the reason to restore
    kept = next(path for path in _names_beside(target) if not path.exists())
    kept.hardlink_to(target)  # the name is never without a database
    for rest in ("-wal", "-shm"):
        target.with_name(target.name + rest).unlink(missing_ok=True)
    return kept


def _names_beside(target: Path) -> Iterator[Path]:
    yield target.with_name(f"{target.name}.replaced")
    yield from (target.with_name(f"{target.name}.replaced-{number}") for number in range(2, 10_000))


def _reading(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)

"""Migrations: numbered SQL files, applied in order, each in one transaction with the note that it was applied.

A stopped migration rolls back whole and the next start applies it again. A database that knows a newer version, or an
applied file that was changed afterwards, is refused: no service on a schema that is not ours.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from yiapi.db.connect import Connection, connect
from yiapi.db.sql import query_of

FOLDER = Path(__file__).with_name("migrations")
_ONLY = re.compile(r"^-- only: (\w+)\n(.*?)^-- end\n", re.MULTILINE | re.DOTALL)

_TABLE = """
CREATE TABLE IF NOT EXISTS schema_versions (
    version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL
);
"""
_LOCK_POSTGRESQL = "SELECT pg_advisory_xact_lock(7426385)"
_APPLIED = query_of("applied", "SELECT version, name, checksum FROM schema_versions ORDER BY version")
_NOTE = query_of(
    "note",
    "INSERT INTO schema_versions (version, name, checksum, applied_at) VALUES (:version, :name, :checksum, now_ms())",
)


class SchemaMismatch(Exception):
    """The database was migrated by another version of this program."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, its name, and its text as it is written."""

    version: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """Return what tells that the file was changed."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def sql(self, kind: str) -> str:
        """Return the statements for one database."""
        return _ONLY.sub(lambda part: part[2] if part[1] == kind else "", self.text)


def migrations(folder: Path = FOLDER) -> list[Migration]:
    """Return every migration of this program in order."""
    return [
        Migration(int(path.name.split("_")[0]), path.stem, path.read_text()) for path in sorted(folder.glob("*.sql"))
    ]


def migrate(url: str, *, dry_run: bool = False, folder: Path = FOLDER) -> list[Migration]:
    """Apply what is missing and return it; with ``dry_run`` try it and roll everything back.

    Repeating it applies nothing. Raises SchemaMismatch, StorageUnavailable.
    """
    connection = connect(url)
    try:
        connection.begin(write=True)
        if connection.kind == "postgresql":
            connection.command(_LOCK_POSTGRESQL)
        connection.take_time()
        connection.script(_TABLE)
        missing = _missing(connection, migrations(folder))
        for migration in missing:
            connection.script(migration.sql(connection.kind))
            connection.execute(
                _NOTE, {"version": migration.version, "name": migration.name, "checksum": migration.checksum}
            )
        if dry_run:
            connection.rollback()
        else:
            connection.commit()
    except BaseException:
        connection.rollback()
        raise
    finally:
        connection.close()
    return missing


def _missing(connection: Connection, ours: list[Migration]) -> list[Migration]:
    known = {migration.version: migration for migration in ours}
    rows, _ = connection.execute(_APPLIED, {})
    for row in rows:
        migration = known.pop(row["version"], None)
        if migration is None:
            raise SchemaMismatch(f"the database has migration {row['name']}, which this program does not know")
        if migration.checksum != row["checksum"]:
            raise SchemaMismatch(f"migration {row['name']} was changed after it was applied")
    return [known[version] for version in sorted(known)]

"""The fingerprint of the server's secret in the database, by which a station knows that both belong together."""

from __future__ import annotations

from yiapi.db import Transaction
from yiapi.db.sql import query_of
from yiapi.secrets import SecretUnusable, ServerSecret

_KEPT = query_of("fingerprint.kept", "SELECT value FROM station WHERE name = 'secret_fingerprint'")
_KEEP = query_of(
    "fingerprint.keep",
    "INSERT INTO station (name, value) VALUES ('secret_fingerprint', :value) ON CONFLICT (name) DO NOTHING",
)


def kept_fingerprint(tx: Transaction) -> str | None:
    """Return what the database knows of its station's secret."""
    row = tx.one(_KEPT)
    return None if row is None else str(row["value"])


def recognise(tx: Transaction, secret: ServerSecret) -> None:
    """Keep the fingerprint of a secret in a new database, or compare: with another one nothing sealed would open.

    Processes of a station start together, and each may find a new database: the first that writes decides. Raises
    SecretUnusable for another station's secret.
    """
    if kept_fingerprint(tx) is None:
        tx.run(_KEEP, value=secret.fingerprint())
    if kept_fingerprint(tx) != secret.fingerprint():
        raise SecretUnusable("this database belongs to a station with another secret")

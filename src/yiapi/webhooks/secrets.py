"""Secrets of endpoints and of a tenant's hooks: shown once, sealed at rest, opened only to sign."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from yiapi.db import Transaction
from yiapi.ids import new_id
from yiapi.logs import get_logger
from yiapi.secrets import Seal, SealBroken
from yiapi.webhooks import store
from yiapi.webhooks.signing import new_secret

log = get_logger()


class Secrets:
    """The secrets of the station's tenants."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    def make(self, tx: Transaction, owner: str) -> str:
        """Make a secret and return it, which is the only time; the ones before it sign along for a day."""
        secret, secret_id = new_secret(), new_id("whs")
        store.insert_secret(tx, owner, secret_id, self._seal.seal(secret, secret_id))
        return secret

    def of(self, tx: Transaction, owners: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
        """Return the secrets that sign now, by owner, newest first."""
        found = store.sealed_secrets(tx, owners)
        return {owner: tuple(self._opened(sealed)) for owner, sealed in found.items()}

    def _opened(self, sealed: Iterable[tuple[str, str]]) -> Iterable[str]:
        for secret_id, text in sealed:
            try:
                yield self._seal.open(text, secret_id)
            except (SealBroken, ValueError):
                log.exception("webhook_secret_does_not_open", secret_id=secret_id)

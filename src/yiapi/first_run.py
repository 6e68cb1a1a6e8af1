"""The first start on an empty database: an account with play money, the first keys, the first administrator.

What is made is written to ``first-run.json`` once, for its owner only; no secret in it can be read again from the
database, and no default password exists.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from argon2 import PasswordHasher

from yiapi.apikeys import ApiKeys, insert_account, insert_key
from yiapi.clock import SystemClock
from yiapi.db import Database, Transaction
from yiapi.db.sql import query_of
from yiapi.ledger import open_wallet, top_up, wallet_of
from yiapi.money import Money
from yiapi.secrets import ServerSecret
from yiapi.settings import Settings

ADMIN = "admin@localhost"
FILE = "first-run.json"

_ANY_ACCOUNT = query_of("first_run.any", "SELECT id FROM accounts LIMIT 1")
_OPERATOR = query_of(
    "first_run.operator",
    "INSERT INTO operators (email, password_hash, role, created_at) VALUES (:email, :hash, 'owner', now_ms())",
)


async def prepare(settings: Settings, secret: ServerSecret) -> Path | None:
    """Make the first account and keys; None when there is an account already."""
    database = Database(settings.database_url)
    try:
        apikeys = ApiKeys(database, secret, SystemClock())
        password = secrets.token_urlsafe(18)
        hashed = PasswordHasher().hash(password)
        test_balance = Money.parse(f"{settings.test_balance_usd:f}")
        admin, admin_key = apikeys.new_key(None, "admin", name="first administrator")

        def write(tx: Transaction) -> str | None:
            if tx.one(_ANY_ACCOUNT) is not None:
                return None
            account = insert_account(tx, "first")
            for mode in ("live", "test"):
                open_wallet(tx, account.id, mode)
            if test_balance:
                top_up(tx, f"first-run:{account.id}", wallet_of(account.id, "test"), test_balance, "grant")
            key, text = apikeys.new_key(account.id, "test", name="first key")
            insert_key(tx, key)
            insert_key(tx, admin)
            tx.run(_OPERATOR, email=ADMIN, hash=hashed)
            return text

        api_key = await database.write(write)
    finally:
        database.close()
    if api_key is None:
        return None
    return _write(settings, {"email": ADMIN, "password": password}, admin_key, api_key)


def _write(settings: Settings, admin: dict[str, str], admin_key: str, api_key: str) -> Path:
    base_url = settings.public_url
    said = {
        "base_url": base_url,
        "console_url": f"{base_url}/console",
        "docs_url": f"{base_url}/docs",
        "sandbox_url": settings.sandbox_url,
        "admin": admin,
        "admin_key": admin_key,
        "api_key": api_key,
    }
    path = settings.data / FILE
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(said, file, indent=1)
        file.write("\n")
    return path

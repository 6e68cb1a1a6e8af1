"""The rows of accounts and keys. Nothing here commits.

Each change raises the version of its snapshot first, in the same transaction: that row is locked until the commit, so a
node that has seen a version has seen everything below it.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any, Literal

import msgspec

from yiapi.apikeys.checks import check_name
from yiapi.apikeys.models import OPEN_TASKS_MAX, PARALLEL_MAX, Account, Key, NewKey, Restrictions
from yiapi.db import Row, Transaction, queries
from yiapi.errors import InvalidRequest, NotFound
from yiapi.ids import new_id
from yiapi.money import Money

_SQL = queries("apikeys")
_LAST = "~"  # after every id


# Reading


def versions(tx: Transaction) -> dict[str, int]:
    """Return the versions of both snapshots."""
    return {row["name"]: row["version"] for row in tx.all(_SQL.versions)}


def accounts_since(tx: Transaction, version: int) -> dict[str, Account]:
    """Return the accounts that changed after a version."""
    return {row["id"]: _account(row) for row in tx.all(_SQL.accounts_since, version=version)}


def keys_since(tx: Transaction, version: int) -> list[tuple[bytes, str | None, Key]]:
    """Return hash, account id and key of each that changed after a version; the accounts are left to the caller."""
    rows = tx.all(_SQL.keys_since, version=version)
    return [(bytes.fromhex(row["hash"]), row["account_id"], _key(row, None)) for row in rows]


def get_account(tx: Transaction, account_id: str) -> Account:
    """Return an account. Raises NotFound."""
    return _account(_found(tx.one(_SQL.account, id=account_id), "account"))


def get_key(tx: Transaction, key_id: str) -> Key:
    """Return a key, revoked or not. Raises NotFound."""
    return _with_account(tx, _found(tx.one(_SQL.key, id=key_id), "API key"))


def list_accounts(tx: Transaction, *, limit: int, before: str | None) -> list[Account]:
    """Return accounts, newest first, those with a smaller id than ``before``."""
    return [_account(row) for row in tx.all(_SQL.list_accounts, before=before or _LAST, count_max=limit)]


def list_keys(tx: Transaction, account_id: str | None, *, limit: int, before: str | None) -> list[Key]:
    """Return the keys of an account, or all, newest first."""
    page = {"before": before or _LAST, "count_max": limit}
    rows = (
        tx.all(_SQL.list_keys, **page)
        if account_id is None
        else tx.all(_SQL.list_keys_of, account_id=account_id, **page)
    )
    return [_with_account(tx, row) for row in rows]


# Writing


def insert_account(
    tx: Transaction,
    name: str,
    *,
    price_group: str = "default",
    parallel_max: int = PARALLEL_MAX,
    open_tasks_max: int = OPEN_TASKS_MAX,
    actor: str = "operator",
) -> Account:
    """Write a new account; its wallets are left to the caller. Raises InvalidRequest."""
    _check_account(tx, name, price_group, parallel_max, open_tasks_max)
    row = tx.one(
        _SQL.insert_account,
        id=new_id("acct"),
        name=name,
        price_group=price_group,
        parallel_max=parallel_max,
        open_tasks_max=open_tasks_max,
        version=_raise_version(tx, "accounts"),
    )
    account = _account(_found(row, "account"))
    _audit(tx, actor, "account.create", account.id, {"name": name, "price_group": price_group})
    return account


def update_account(tx: Transaction, account: Account, *, actor: str) -> Account:
    """Write an account's name, price group and limits. Raises InvalidRequest, NotFound."""
    _check_account(tx, account.name, account.price_group, account.parallel_max, account.open_tasks_max)
    values = {
        "name": account.name,
        "price_group": account.price_group,
        "parallel_max": account.parallel_max,
        "open_tasks_max": account.open_tasks_max,
    }
    version = _raise_version(tx, "accounts")
    row = tx.one(_SQL.update_account, id=account.id, version=version, **values)
    _audit(tx, actor, "account.update", account.id, values)
    return _account(_found(row, "account"))


def set_status(tx: Transaction, account_id: str, status: Literal["active", "suspended"], *, actor: str) -> Account:
    """Suspend an account or let it go on. Raises NotFound."""
    version = _raise_version(tx, "accounts")
    row = _found(tx.one(_SQL.set_status, id=account_id, status=status, version=version), "account")
    _audit(tx, actor, "account.suspend" if status == "suspended" else "account.resume", account_id, {})
    return _account(row)


def insert_key(tx: Transaction, new: NewKey, *, actor: str = "operator") -> Key:
    """Write a new key. Raises NotFound for an account that is not there."""
    if new.account_id is not None:
        get_account(tx, new.account_id)
    values = _columns(new.restrictions)
    version = _raise_version(tx, "keys")
    row = tx.one(
        _SQL.insert_key,
        id=new.id,
        account_id=new.account_id,
        mode=new.mode,
        hash=new.hash,
        hint=new.hint,
        name=new.name,
        version=version,
        **values,
    )
    _audit(tx, actor, "key.create", new.id, {"account": new.account_id, "mode": new.mode, "name": new.name} | values)
    return _with_account(tx, _found(row, "API key"))


def update_key(tx: Transaction, key_id: str, name: str, restrictions: Restrictions, *, actor: str) -> Key:
    """Write a key's name and what it is held to. Raises NotFound."""
    values = _columns(restrictions)
    version = _raise_version(tx, "keys")
    row = _found(tx.one(_SQL.update_key, id=key_id, name=name, version=version, **values), "API key")
    _audit(tx, actor, "key.update", key_id, {"name": name} | values)
    return _with_account(tx, row)


def revoke_key(tx: Transaction, key_id: str, *, actor: str) -> Key:
    """Revoke a key for ever; a second time changes nothing. Raises NotFound."""
    key = get_key(tx, key_id)
    if key.revoked_at_ms is not None:
        return key
    version = _raise_version(tx, "keys")
    row = _found(tx.one(_SQL.revoke_key, id=key_id, version=version), "API key")
    _audit(tx, actor, "key.revoke", key_id, {})
    return _with_account(tx, row)


def _check_account(tx: Transaction, name: str, price_group: str, parallel_max: int, open_tasks_max: int) -> None:
    check_name(name, "an account")
    if tx.one(_SQL.price_group, name=price_group) is None:
        raise InvalidRequest("there is no such price group", param="price_group")
    for param, limit in (("parallel_max", parallel_max), ("open_tasks_max", open_tasks_max)):
        if not 0 <= limit < 2**31:
            raise InvalidRequest("a limit is a whole number, not below 0", param=param)


def _raise_version(tx: Transaction, name: Literal["accounts", "keys"]) -> int:
    row = tx.one(_SQL.raise_version, name=name)
    assert row is not None
    return int(row["version"])


def _audit(tx: Transaction, actor: str, action: str, subject: str, detail: dict[str, Any]) -> None:
    known = {name: value for name, value in detail.items() if value is not None}
    text = msgspec.json.encode(known).decode()
    tx.run(_SQL.write_audit, id=new_id("audit"), actor=actor, action=action, subject=subject, detail=text)


# Rows


def _found(row: Row | None, thing: str) -> Row:
    if row is None:
        raise NotFound(f"there is no such {thing}")
    return row


def _account(row: Row) -> Account:
    return Account(
        id=row["id"],
        name=row["name"],
        status=row["status"],
        price_group=row["price_group"],
        parallel_max=row["parallel_max"],
        open_tasks_max=row["open_tasks_max"],
        created_at_ms=row["created_at"],
    )


def _with_account(tx: Transaction, row: Row) -> Key:
    key = _key(row, None)
    return key if row["account_id"] is None else replace(key, account=get_account(tx, row["account_id"]))


def _key(row: Row, account: Account | None) -> Key:
    networks = _texts(row["ip_ranges"])
    return Key(
        id=row["id"],
        account=account,
        mode=row["mode"],
        name=row["name"],
        hint=row["hint"],
        operations=_texts(row["operations"]),
        models=_texts(row["models"]),
        ip_networks=None if networks is None else tuple(ip_network(network) for network in networks),
        budget=None if row["budget"] is None else Money(row["budget"]),
        budget_period=row["budget_period"],
        requests_per_minute=row["requests_per_minute"],
        tokens_per_minute=row["tokens_per_minute"],
        parallel_max=row["parallel_max"],
        expires_at_ms=row["expires_at"],
        revoked_at_ms=row["revoked_at"],
        created_at_ms=row["created_at"],
    )


def _columns(restrictions: Restrictions) -> dict[str, Any]:
    networks = restrictions.ip_networks
    return {
        "operations": _json(restrictions.operations),
        "models": _json(restrictions.models),
        "ip_ranges": _json(None if networks is None else tuple(str(network) for network in networks)),
        "budget": None if restrictions.budget is None else restrictions.budget.nano,
        "budget_period": restrictions.budget_period,
        "requests_per_minute": restrictions.requests_per_minute,
        "tokens_per_minute": restrictions.tokens_per_minute,
        "parallel_max": restrictions.parallel_max,
        "expires_at": restrictions.expires_at_ms,
    }


def _json(texts: tuple[str, ...] | None) -> str | None:
    return None if texts is None else msgspec.json.encode(texts).decode()


def _texts(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else msgspec.json.decode(text, type=tuple[str, ...])

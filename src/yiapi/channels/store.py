"""The rows of channels. Nothing here commits, and nothing here knows a secret: credentials come and go sealed.

Each change locks the snapshot's version first and raises it last, in the same transaction, so that changes come one
after the other and a node that has seen a version has seen everything below it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from yiapi.channels.models import ChannelMode, ChannelRow, CredentialRow, Routing
from yiapi.db import Row, Transaction, queries
from yiapi.errors import NotFound
from yiapi.ids import new_id

_SQL = queries("channels")


@dataclass(frozen=True, slots=True)
class SealedCredential:
    """A credential as it is stored."""

    id: str
    sealed: str = field(repr=False)
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewChannel:
    """A channel that is about to be stored."""

    id: str
    provider: str
    name: str
    mode: ChannelMode
    base_url: str
    routing: Routing
    credentials: tuple[SealedCredential, ...]


# Reading


def version(tx: Transaction) -> int:
    """Return the version of the snapshot."""
    row = tx.one(_SQL.version)
    assert row is not None
    return int(row["version"])


def channels_since(tx: Transaction, known: int) -> list[tuple[Row, list[Row]]]:
    """Return the rows of each channel that changed after a version, and of its credentials."""
    credentials: dict[str, list[Row]] = defaultdict(list)
    for row in tx.all(_SQL.credentials_since, version=known):
        credentials[row["channel_id"]].append(row)
    return [(row, credentials[row["id"]]) for row in tx.all(_SQL.channels_since, version=known)]


def list_channels(tx: Transaction) -> list[ChannelRow]:
    """Return every channel as people may see it."""
    credentials: dict[str, list[CredentialRow]] = defaultdict(list)
    for row in tx.all(_SQL.list_credentials):
        credential = CredentialRow(row["id"], row["hint"], enabled=bool(row["enabled"]), reason=row["reason"])
        credentials[row["channel_id"]].append(credential)
    return [_channel_row(row, tuple(credentials[row["id"]])) for row in tx.all(_SQL.list_channels)]


def find_channel(tx: Transaction, channel_id: str) -> Row | None:
    """Return a channel's row."""
    return tx.one(_SQL.channel, id=channel_id)


def get_channel(tx: Transaction, channel_id: str) -> Row:
    """Return a channel's row. Raises NotFound."""
    row = find_channel(tx, channel_id)
    if row is None:
        raise NotFound("there is no such channel")
    return row


def credentials_of(tx: Transaction, channel_id: str) -> list[Row]:
    """Return the rows of a channel's credentials."""
    return tx.all(_SQL.credentials_of, channel_id=channel_id)


def find_credential(tx: Transaction, credential_id: str) -> Row | None:
    """Return a credential's row."""
    return tx.one(_SQL.credential, id=credential_id)


# Writing


def lock(tx: Transaction) -> None:
    """Wait until no other change of channels is under way."""
    tx.one(_SQL.lock_version)


def insert_channel(tx: Transaction, new: NewChannel) -> None:
    """Write a new channel and its credentials."""
    tx.run(
        _SQL.insert_channel,
        id=new.id,
        provider=new.provider,
        mode=new.mode,
        version=_raise_version(tx),
        **_columns(new.name, new.base_url, new.routing),
    )
    _insert_credentials(tx, new.id, new.credentials)


def update_channel(
    tx: Transaction,
    channel_id: str,
    *,
    name: str,
    base_url: str,
    routing: Routing,
    credentials: Sequence[SealedCredential] | None,
) -> None:
    """Write what a channel is; new credentials replace the old ones."""
    tx.run(_SQL.update_channel, id=channel_id, version=_raise_version(tx), **_columns(name, base_url, routing))
    if credentials is not None:
        tx.run(_SQL.delete_credentials, channel_id=channel_id)
        _insert_credentials(tx, channel_id, credentials)


def switch_channel(tx: Transaction, channel_id: str, *, enabled: bool, reason: str | None) -> None:
    """Switch a channel on or off."""
    tx.run(_SQL.switch_channel, id=channel_id, enabled=int(enabled), reason=reason, version=_raise_version(tx))


def enable_credentials(tx: Transaction, channel_id: str) -> None:
    """Use all credentials of a channel again."""
    tx.run(_SQL.enable_credentials, channel_id=channel_id)


def disable_credential(tx: Transaction, credential_id: str, channel_id: str, reason: str) -> bool:
    """Use a credential no more; False if it was out before."""
    if not tx.run(_SQL.disable_credential, id=credential_id, reason=reason):
        return False
    tx.run(_SQL.touch_channel, id=channel_id, version=_raise_version(tx))
    return True


def audit(tx: Transaction, actor: str, action: str, subject: str, detail: Mapping[str, Any]) -> None:
    """Note who did what; the detail has no secrets."""
    text = msgspec.json.encode(detail).decode()
    tx.run(_SQL.write_audit, id=new_id("audit"), actor=actor, action=action, subject=subject, detail=text)


def _raise_version(tx: Transaction) -> int:
    row = tx.one(_SQL.raise_version)
    assert row is not None
    return int(row["version"])


def _insert_credentials(tx: Transaction, channel_id: str, credentials: Sequence[SealedCredential]) -> None:
    for credential in credentials:
        tx.run(
            _SQL.insert_credential,
            id=credential.id,
            channel_id=channel_id,
            sealed=credential.sealed,
            hint=credential.hint,
        )


# Rows


def routing_of(row: Row) -> Routing:
    """Read what the operator chose about a channel."""
    return Routing(
        weight=row["weight"],
        priority=row["priority"],
        price_groups=_decoded(row["price_groups"], tuple[str, ...]),
        models=_decoded(row["models"], tuple[str, ...]),
        model_names=_decoded(row["model_names"], dict[str, str]) or {},
        settings=msgspec.json.decode(row["settings"], type=dict[str, Any]),
        parallel_max=row["parallel_max"],
    )


def _channel_row(row: Row, credentials: tuple[CredentialRow, ...]) -> ChannelRow:
    return ChannelRow(
        id=row["id"],
        provider=row["provider"],
        name=row["name"],
        mode=row["mode"],
        base_url=row["base_url"],
        routing=routing_of(row),
        enabled=bool(row["enabled"]),
        reason=row["reason"],
        credentials=credentials,
        created_at_ms=row["created_at"],
    )


def _columns(name: str, base_url: str, routing: Routing) -> dict[str, Any]:
    return {
        "name": name,
        "base_url": base_url,
        "weight": routing.weight,
        "priority": routing.priority,
        "price_groups": _encoded(routing.price_groups),
        "models": _encoded(routing.models),
        "model_names": _encoded(routing.model_names or None),
        "settings": msgspec.json.encode(routing.settings).decode(),
        "parallel_max": routing.parallel_max,
    }


def _encoded(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _decoded(text: str | None, kind: Any) -> Any:
    return None if text is None else msgspec.json.decode(text, type=kind)

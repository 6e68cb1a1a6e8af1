"""The sandbox's channels: one per provider in mode test, written by the station itself at every start."""

from __future__ import annotations

from yiapi.channels import store
from yiapi.channels.checks import hint
from yiapi.channels.models import Routing
from yiapi.db import Row, Transaction
from yiapi.ids import new_id
from yiapi.providers.contract import Provider
from yiapi.providers.registry import Registry
from yiapi.secrets import Seal, SealBroken

NO_SANDBOX = "the station runs without its sandbox"
ACTOR = "station"


def ensure(tx: Transaction, registry: Registry, sandbox_url: str | None, key: str, *, seal: Seal) -> bool:
    """Write what has changed since the last start; False if nothing has, so that no node reads anything anew."""
    store.lock(tx)
    changes = [
        _switch_off(tx, _channel_id(provider))
        if sandbox_url is None
        else _ensure_channel(
            tx,
            provider,
            base_url=f"{sandbox_url.rstrip('/')}/{provider.slug}",
            secret=provider.sandbox_credential.format(key=key),
            seal=seal,
        )
        for provider in registry.providers.values()
    ]
    return any(changes)


def _channel_id(provider: Provider) -> str:
    return f"chan_sandbox_{provider.slug}"


def _switch_off(tx: Transaction, channel_id: str) -> bool:
    row = store.find_channel(tx, channel_id)
    if row is None or not row["enabled"]:
        return False
    store.switch_channel(tx, channel_id, enabled=False, reason=NO_SANDBOX)
    store.audit(tx, ACTOR, "channel.disable", channel_id, {"reason": NO_SANDBOX})
    return True


def _ensure_channel(tx: Transaction, provider: Provider, *, base_url: str, secret: str, seal: Seal) -> bool:
    channel_id = _channel_id(provider)
    row = store.find_channel(tx, channel_id)
    if row is not None and row["enabled"] and row["base_url"] == base_url and _has(tx, channel_id, secret, seal):
        return False
    credential_id = new_id("cred")
    credential = store.SealedCredential(credential_id, seal.seal(secret, credential_id), hint(secret))
    if row is None:
        _insert(tx, provider, channel_id, base_url, credential)
    else:
        _update(tx, row, base_url, credential)
    return True


def _insert(
    tx: Transaction, provider: Provider, channel_id: str, base_url: str, credential: store.SealedCredential
) -> None:
    new = store.NewChannel(
        id=channel_id,
        provider=provider.slug,
        name=f"{provider.title} (sandbox)",
        mode="test",
        base_url=base_url,
        routing=Routing(),
        credentials=(credential,),
    )
    store.insert_channel(tx, new)
    store.audit(tx, ACTOR, "channel.create", channel_id, {"base_url": base_url})


def _update(tx: Transaction, row: Row, base_url: str, credential: store.SealedCredential) -> None:
    store.update_channel(
        tx, row["id"], name=row["name"], base_url=base_url, routing=Routing(), credentials=(credential,)
    )
    if not row["enabled"]:
        store.switch_channel(tx, row["id"], enabled=True, reason=None)
    store.audit(tx, ACTOR, "channel.update", row["id"], {"base_url": base_url})


def _has(tx: Transaction, channel_id: str, secret: str, seal: Seal) -> bool:
    """Whether a channel's one credential is this one and can be opened."""
    rows = store.credentials_of(tx, channel_id)
    try:
        return len(rows) == 1 and bool(rows[0]["enabled"]) and seal.open(rows[0]["sealed"], rows[0]["id"]) == secret
    except SealBroken:
        return False

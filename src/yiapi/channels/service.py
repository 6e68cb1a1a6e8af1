"""The channels of the station: choose among them in memory, change them in the database.

A change is seen here at once and on the other nodes with their next ``refresh``. Secrets can be replaced, not read:
lists carry hints.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from yiapi.channels import store
from yiapi.channels.checks import check_credentials, check_name, check_routing, hint
from yiapi.channels.models import Channel, ChannelRow, Credential, Routing
from yiapi.channels.sandbox import ensure
from yiapi.channels.snapshot import Snapshot, newer
from yiapi.clock import Clock
from yiapi.db import Database, Row, Transaction
from yiapi.errors import InvalidRequest, NotFound
from yiapi.ids import new_id
from yiapi.providers.registry import Registry
from yiapi.secrets import Seal
from yiapi.upstream import AddressGuard, GuardError, target_of

T = TypeVar("T")

STATION = "station"
NO_CREDENTIAL_LEFT = "no credential is left"
DEFAULT_ROUTING = Routing()


def pick_credential(channel: Channel, spread: int) -> Credential:
    """Return the credential of a channel whose turn it is; ``spread`` counts up from call to call."""
    return channel.credentials[spread % len(channel.credentials)]


class Channels:
    """``permitted`` names hosts that live channels may be at although they are private or without TLS."""

    def __init__(self, database: Database, seal: Seal, clock: Clock, *, permitted: Iterable[str] = ()) -> None:
        self._database = database
        self._seal = seal
        self._clock = clock
        self._guard = AddressGuard(permitted)
        self._snapshot = Snapshot()
        self._refreshing = asyncio.Lock()

    # The way of a call

    def candidates(self, provider: str, mode: str, price_group: str, model: str) -> Sequence[Channel]:
        """Return the channels that may serve a call: switched on, with a credential, highest priority first."""
        group = self._snapshot.groups.get((provider, mode))
        if group is None:
            return []
        if group.is_plain:
            return group.channels
        return [channel for channel in group.channels if channel.serves(price_group, model)]

    def get(self, channel_id: str) -> Channel | None:
        """Return a channel, switched on or not: a task that runs there is still asked for."""
        return self._snapshot.channels.get(channel_id)

    # The snapshot

    async def load(self) -> None:
        """Read every channel."""
        async with self._refreshing:
            self._snapshot = await self._database.read(lambda tx: newer(tx, Snapshot(), self._seal))

    async def refresh(self) -> bool:
        """Take over what changed since; False if nothing did."""
        async with self._refreshing:
            before = self._snapshot
            self._snapshot = await self._database.read(lambda tx: newer(tx, before, self._seal))
            return self._snapshot is not before

    async def list_channels(self) -> list[ChannelRow]:
        """Return every channel as it is stored, without secrets."""
        return await self._database.read(store.list_channels)

    # Changes

    async def create_channel(
        self,
        provider: str,
        name: str,
        base_url: str,
        credentials: Sequence[str],
        *,
        routing: Routing = DEFAULT_ROUTING,
        actor: str = "operator",
    ) -> str:
        """Make a live channel and return its id; that the provider exists is left to the caller.

        Raises InvalidRequest.
        """
        check_name(name)
        check_credentials(credentials)
        check_routing(routing)
        new = store.NewChannel(
            id=new_id("chan"),
            provider=provider,
            name=name,
            mode="live",
            base_url=self._checked_url(base_url),
            routing=routing,
            credentials=self._sealed(credentials),
        )

        def create(tx: Transaction) -> None:
            store.lock(tx)
            store.insert_channel(tx, new)
            detail = {"provider": provider, "name": name, "base_url": new.base_url}
            store.audit(tx, actor, "channel.create", new.id, detail)

        await self._write(create)
        return new.id

    async def update_channel(
        self,
        channel_id: str,
        *,
        name: str | None = None,
        base_url: str | None = None,
        credentials: Sequence[str] | None = None,
        routing: Routing | None = None,
        actor: str = "operator",
    ) -> None:
        """Change what is given; credentials and routing are replaced as a whole. Raises InvalidRequest, NotFound.

        A new base URL needs its credentials too: a secret is sent only to the host for which it was entered.
        """
        if name is not None:
            check_name(name)
        if credentials is not None:
            check_credentials(credentials)
        if routing is not None:
            check_routing(routing)
        url = None if base_url is None else self._checked_url(base_url)
        sealed = None if credentials is None else self._sealed(credentials)

        def update(tx: Transaction) -> None:
            store.lock(tx)
            row = self._live(tx, channel_id)
            if url is not None and sealed is None and _host(url) != _host(row["base_url"]):
                raise InvalidRequest("enter the credentials again for another host", param="credentials")
            store.update_channel(
                tx,
                channel_id,
                name=row["name"] if name is None else name,
                base_url=row["base_url"] if url is None else url,
                routing=store.routing_of(row) if routing is None else routing,
                credentials=sealed,
            )
            given = {"name": name, "base_url": url, "credentials": sealed and len(sealed), "routing": routing and True}
            changed = {field: value for field, value in given.items() if value is not None}
            store.audit(tx, actor, "channel.update", channel_id, changed)

        await self._write(update)

    async def enable_channel(self, channel_id: str, *, actor: str = "operator") -> None:
        """Switch a channel on again, with all its credentials. Raises NotFound."""

        def enable(tx: Transaction) -> None:
            store.lock(tx)
            self._live(tx, channel_id)
            store.enable_credentials(tx, channel_id)
            store.switch_channel(tx, channel_id, enabled=True, reason=None)
            store.audit(tx, actor, "channel.enable", channel_id, {})

        await self._write(enable)

    async def disable_channel(self, channel_id: str, reason: str, *, actor: str = STATION) -> bool:
        """Switch a channel off; False if it was off before, is not there, or is the sandbox's."""

        def disable(tx: Transaction) -> bool:
            store.lock(tx)
            row = store.find_channel(tx, channel_id)
            if row is None or row["mode"] == "test" or not row["enabled"]:
                return False
            store.switch_channel(tx, channel_id, enabled=False, reason=reason)
            store.audit(tx, actor, "channel.disable", channel_id, {"reason": reason})
            return True

        return await self._write(disable)

    async def disable_credential(self, credential_id: str, reason: str, *, actor: str = STATION) -> bool:
        """Use a credential no more, and its channel neither when none is left; False as in ``disable_channel``."""

        def disable(tx: Transaction) -> bool:
            store.lock(tx)
            credential = store.find_credential(tx, credential_id)
            if credential is None:
                return False
            channel_id = credential["channel_id"]
            channel = store.get_channel(tx, channel_id)
            if channel["mode"] == "test" or not store.disable_credential(tx, credential_id, channel_id, reason):
                return False
            store.audit(tx, actor, "credential.disable", credential_id, {"channel": channel_id, "reason": reason})
            is_one_left = any(row["enabled"] for row in store.credentials_of(tx, channel_id))
            if channel["enabled"] and not is_one_left:
                why = f"{NO_CREDENTIAL_LEFT}: {reason}"
                store.switch_channel(tx, channel_id, enabled=False, reason=why)
                store.audit(tx, actor, "channel.disable", channel_id, {"reason": why})
            return True

        return await self._write(disable)

    async def ensure_sandbox_channels(self, registry: Registry, sandbox_url: str | None, key: str) -> bool:
        """Have a channel to the sandbox for each provider, at its present address and with its present key.

        Without an address the sandbox's channels are switched off. False if nothing had to be changed.
        """
        return await self._write(lambda tx: ensure(tx, registry, sandbox_url, key, seal=self._seal))

    def _checked_url(self, url: str) -> str:
        """Return a base URL that a live channel may have. Raises InvalidRequest."""
        try:
            target_of(url)
            self._guard.check_url(url)
        except (ValueError, GuardError) as error:
            message = (
                "a base URL is https, public, and without user name, query or fragment, unless its host is permitted"
            )
            raise InvalidRequest(message, param="base_url") from error
        return url.rstrip("/")

    def _sealed(self, secrets: Sequence[str]) -> tuple[store.SealedCredential, ...]:
        ids = [new_id("cred") for _ in secrets]
        return tuple(
            store.SealedCredential(credential_id, self._seal.seal(secret, credential_id), hint(secret))
            for credential_id, secret in zip(ids, secrets, strict=True)
        )

    def _live(self, tx: Transaction, channel_id: str) -> Row:
        """Return the row of a channel that people may change; the sandbox's are the station's own."""
        row = store.get_channel(tx, channel_id)
        if row["mode"] == "test":
            raise NotFound("there is no such channel; those of the sandbox cannot be changed")
        return row

    async def _write(self, job: Callable[[Transaction], T]) -> T:
        result = await self._database.write(job)
        await self.refresh()
        return result


def _host(url: str) -> tuple[str, str, int]:
    target = target_of(url)
    return target.scheme, target.host, target.port

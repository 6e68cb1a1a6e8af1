"""Every key in memory, so that a call is let in without asking the database.

The snapshot is exchanged as a whole; each second ``refresh`` looks whether a version was raised and takes only the rows
that changed since.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from yiapi.apikeys import rights, store, text
from yiapi.apikeys.admission import Admission, Slot
from yiapi.apikeys.checks import check_name, check_restrictions
from yiapi.apikeys.models import OPEN_TASKS_MAX, PARALLEL_MAX, Account, Key, KeyMode, NewKey, Restrictions
from yiapi.clock import Clock
from yiapi.db import Database, Transaction
from yiapi.errors import ApiKeyMissing, InvalidApiKey, InvalidRequest, PermissionDenied
from yiapi.ids import new_id
from yiapi.secrets import ServerSecret, keyed_hash

T = TypeVar("T")

NO_RESTRICTIONS = Restrictions()
SHOWN_MAX = 4096
PAGE_MAX = 100


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known at two versions; never changed, only exchanged. Revoked keys are not in it."""

    accounts_version: int = 0
    keys_version: int = 0
    accounts: dict[str, Account] = field(default_factory=dict)
    keys: dict[bytes, Key] = field(default_factory=dict)


class ApiKeys:
    """The accounts and keys of the station."""

    def __init__(self, database: Database, secret: ServerSecret, clock: Clock) -> None:
        self._database = database
        self._pepper = secret.key("api-keys")
        self._clock = clock
        self._admission = Admission(clock)
        self._snapshot = Snapshot()
        self._shown: dict[bytes, Key] = {}
        self._shown_at = self._snapshot
        self._refreshing = asyncio.Lock()

    # The way of a call

    def shown_before(self, shown: bytes) -> Key | None:
        """Return the key that was shown in exactly these bytes since the snapshot was exchanged; None: look closely."""
        if self._shown_at is not self._snapshot:
            self._shown = {}
            self._shown_at = self._snapshot
            return None
        key = self._shown.get(shown)
        return key if key is not None and key.expires_at_ms is None else None

    def remember(self, shown: bytes, key: Key) -> None:
        """Note in which bytes a key was shown that was let in; in memory only, and for this snapshot only."""
        if len(self._shown) >= SHOWN_MAX:
            self._shown = {}
        if self._shown_at is self._snapshot:
            self._shown[shown] = key

    def authenticate(self, given: str | None) -> Key:
        """Return the key that a caller showed. Raises InvalidApiKey, PermissionDenied for a suspended account."""
        raw = text.checked(given)
        if raw is None:
            raise InvalidApiKey("this API key is not valid") if given else ApiKeyMissing("no API key was given")
        key = self._snapshot.keys.get(hmac.digest(self._pepper, raw, "sha256"))
        if key is None:
            raise InvalidApiKey("this API key is not valid")
        if key.expires_at_ms is not None and self._clock.now_ms() >= key.expires_at_ms:
            raise InvalidApiKey("this API key has expired")
        if key.account is not None and key.account.status != "active":
            raise PermissionDenied("this account is suspended")
        return key

    def permit(self, key: Key, operation: str, model: str | None, peer: str | None) -> None:
        """Let a key use an operation and a model from an address. Raises PermissionDenied, ModelNotAllowed."""
        rights.permit(key, operation, model, peer)

    def admit(self, key: Key, tokens: int) -> Slot:
        """Take a place for a call that will read and write up to so many tokens. Raises RateLimited."""
        return self._admission.admit(key, tokens)

    # The snapshot

    async def load(self) -> None:
        """Read every account and key."""
        async with self._refreshing:
            self._snapshot = await self._database.read(lambda tx: _newer(tx, Snapshot()))

    async def refresh(self) -> bool:
        """Take over what changed since; False if nothing did."""
        async with self._refreshing:
            before = self._snapshot
            self._snapshot = await self._database.read(lambda tx: _newer(tx, before))
            return self._snapshot is not before

    # Accounts

    async def create_account(
        self,
        name: str,
        *,
        price_group: str = "default",
        parallel_max: int = PARALLEL_MAX,
        open_tasks_max: int = OPEN_TASKS_MAX,
        actor: str = "operator",
    ) -> Account:
        """Make an account without wallets; ``insert_account`` is for those who open them too. Raises InvalidRequest."""
        return await self._write(
            lambda tx: store.insert_account(
                tx,
                name,
                price_group=price_group,
                parallel_max=parallel_max,
                open_tasks_max=open_tasks_max,
                actor=actor,
            )
        )

    async def update_account(self, account: Account, *, actor: str = "operator") -> Account:
        """Store an account's name, price group and limits. Raises InvalidRequest, NotFound."""
        return await self._write(lambda tx: store.update_account(tx, account, actor=actor))

    async def suspend_account(self, account_id: str, *, actor: str = "operator") -> Account:
        """Refuse every key of an account until it is resumed. Raises NotFound."""
        return await self._write(lambda tx: store.set_status(tx, account_id, "suspended", actor=actor))

    async def resume_account(self, account_id: str, *, actor: str = "operator") -> Account:
        """Let a suspended account call again. Raises NotFound."""
        return await self._write(lambda tx: store.set_status(tx, account_id, "active", actor=actor))

    async def get_account(self, account_id: str) -> Account:
        """Return an account as it is stored. Raises NotFound."""
        return await self._database.read(lambda tx: store.get_account(tx, account_id))

    async def list_accounts(self, *, limit: int = PAGE_MAX, before: str | None = None) -> list[Account]:
        """Return accounts, newest first; ``before`` is the last id of the page above."""
        return await self._database.read(lambda tx: store.list_accounts(tx, limit=limit, before=before))

    # Keys

    def new_key(
        self, account_id: str | None, mode: KeyMode, *, name: str, restrictions: Restrictions = NO_RESTRICTIONS
    ) -> tuple[NewKey, str]:
        """Make a key that ``insert_key`` can store, and its text, which is known only here. Raises InvalidRequest."""
        if (account_id is None) != (mode == "admin"):
            raise InvalidRequest("an admin key belongs to no account, any other key to one", param="account_id")
        check_name(name, "a key")
        check_restrictions(restrictions)
        whole = text.make_text(mode)
        new = NewKey(
            id=new_id("key"),
            account_id=account_id,
            mode=mode,
            name=name,
            hint=text.hint(whole),
            hash=keyed_hash(self._pepper, whole),
            restrictions=restrictions,
        )
        return new, whole

    async def create_key(
        self,
        account_id: str | None,
        mode: KeyMode,
        *,
        name: str,
        restrictions: Restrictions = NO_RESTRICTIONS,
        maker: Key | None = None,
        actor: str = "operator",
    ) -> tuple[Key, str]:
        """Make a key and return it with its text, which is shown this once. ``maker`` is the key that asks for it.

        Raises InvalidRequest, NotFound for the account, PermissionDenied for more rights than the maker's.
        """
        if maker is not None:
            rights.within(restrictions, maker, account_id=account_id, mode=mode)
        new, whole = self.new_key(account_id, mode, name=name, restrictions=restrictions)
        key = await self._write(lambda tx: store.insert_key(tx, new, actor=actor if maker is None else maker.id))
        return key, whole

    async def update_key(
        self,
        key_id: str,
        *,
        name: str | None = None,
        restrictions: Restrictions | None = None,
        maker: Key | None = None,
        actor: str = "operator",
    ) -> Key:
        """Give a key another name or other restrictions, all of them anew. Raises as ``create_key`` does."""

        def update(tx: Transaction) -> Key:
            key = store.get_key(tx, key_id)
            wanted = key.restrictions if restrictions is None else restrictions
            if maker is not None:
                rights.within(wanted, maker, account_id=key.account_id, mode=key.mode)
            named = key.name if name is None else name
            check_name(named, "a key")
            check_restrictions(wanted)
            return store.update_key(tx, key_id, named, wanted, actor=actor if maker is None else maker.id)

        return await self._write(update)

    async def revoke_key(self, key_id: str, *, actor: str = "operator") -> Key:
        """Refuse a key from now on, for ever; a second time changes nothing. Raises NotFound."""
        return await self._write(lambda tx: store.revoke_key(tx, key_id, actor=actor))

    async def get_key(self, key_id: str) -> Key:
        """Return a key as it is stored, revoked or not. Raises NotFound."""
        return await self._database.read(lambda tx: store.get_key(tx, key_id))

    async def list_keys(
        self, account_id: str | None = None, *, limit: int = PAGE_MAX, before: str | None = None
    ) -> list[Key]:
        """Return the keys of an account, or all of them, newest first, the revoked ones included."""
        return await self._database.read(lambda tx: store.list_keys(tx, account_id, limit=limit, before=before))

    async def _write(self, job: Callable[[Transaction], T]) -> T:
        """Change something and see it here at once; other nodes see it with their next refresh."""
        result = await self._database.write(job)
        await self.refresh()
        return result


def _newer(tx: Transaction, before: Snapshot) -> Snapshot:
    """Return the snapshot of now; the very same one if no version was raised."""
    versions = store.versions(tx)
    if (versions["accounts"], versions["keys"]) == (before.accounts_version, before.keys_version):
        return before
    changed = store.accounts_since(tx, before.accounts_version)
    accounts = before.accounts | changed
    keys = dict(before.keys)
    if changed:
        for hashed, key in before.keys.items():
            if key.account is not None and key.account.id in changed:
                keys[hashed] = replace(key, account=changed[key.account.id])
    for hashed, account_id, key in store.keys_since(tx, before.keys_version):
        if key.revoked_at_ms is None:
            keys[hashed] = key if account_id is None else replace(key, account=accounts[account_id])
        else:
            keys.pop(hashed, None)
    return Snapshot(versions["accounts"], versions["keys"], accounts, keys)

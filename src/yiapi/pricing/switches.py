"""Switches: operations and models that the operator has switched off, and whose files stay where they are."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import asdict

from yiapi.db import Database, Transaction
from yiapi.errors import InvalidRequest, OperationDisabled
from yiapi.pricing import store
from yiapi.pricing.models import AssetPolicy, Switch
from yiapi.pricing.patterns import compiled, is_pattern

SNAPSHOT = "switches"
MESSAGE_LENGTH_MAX = 500
_NAME = re.compile(r"operation:[a-z0-9_-]+(?:\.[a-z0-9_-]+)+|model:[a-z0-9_-]+/\S{1,200}")


class Switches:
    """The operator's switches. What has none is on, and its files are mirrored."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._snapshot: int | None = None
        self._off: dict[str, str] = {}
        self._off_patterns: list[tuple[re.Pattern[str], str]] = []
        self._assets: dict[str, AssetPolicy] = {}
        self.state = object()
        """Another one whenever a switch has moved."""
        self._exchange = asyncio.Lock()

    async def load(self) -> None:
        """Read the switches."""
        self._snapshot = None
        await self.refresh()

    async def refresh(self) -> bool:
        """Read again if something changed, and tell whether it did."""
        async with self._exchange:
            snapshot = await self._database.read(lambda tx: store.snapshot_version(tx, SNAPSHOT))
            if snapshot == self._snapshot:
                return False
            self._snapshot, switches = await self._database.read(_read)
            self._take(switches)
            return True

    def _take(self, switches: Sequence[Switch]) -> None:
        self.state = object()
        off = {switch.name: switch.message for switch in switches if not switch.enabled}
        self._off = {name: message for name, message in off.items() if not is_pattern(name)}
        self._off_patterns = [(compiled(name), message) for name, message in off.items() if is_pattern(name)]
        self._assets = {switch.name: switch.assets for switch in switches if switch.assets is not None}

    def refuse(self, operation: str, provider: str, model: str | None) -> None:
        """Raise OperationDisabled, with the operator's message, where operation or model is switched off."""
        if not self._off and not self._off_patterns:
            return
        message = self._message(f"operation:{operation}")
        if message is None and model is not None:
            message = self._message(f"model:{provider}/{model}")
        if message is not None:
            raise OperationDisabled(message)

    def is_enabled(self, operation: str) -> bool:
        """Whether an operation is on, for the catalogue."""
        return self._message(f"operation:{operation}") is None

    def assets(self, operation: str) -> AssetPolicy:
        """Return whether an operation's files are copied here or stay with the vendor."""
        return self._assets.get(f"operation:{operation}", "mirror")

    def _message(self, name: str) -> str | None:
        if name in self._off:
            return self._off[name]
        return next((message for pattern, message in self._off_patterns if pattern.fullmatch(name)), None)

    async def set(
        self, name: str, *, enabled: bool, message: str = "", assets: AssetPolicy | None = None, author: str
    ) -> None:
        """Write a switch by its name: ``operation:kling.text2video``, or ``model:kling/kling-v*`` (patterns too).

        ``message`` is what a caller reads. Repeating it changes nothing. Raises InvalidRequest.
        """
        if not _NAME.fullmatch(name) or not name.isprintable():
            raise InvalidRequest("a switch is named operation:provider.name or model:provider/name", param="name")
        if len(message) > MESSAGE_LENGTH_MAX or not message.isprintable():
            raise InvalidRequest(f"a message has at most {MESSAGE_LENGTH_MAX} printable characters", param="message")
        if assets is not None and not name.startswith("operation:"):
            raise InvalidRequest("files are switched by operation", param="assets")
        message = message or f"{name.partition(':')[2]} is switched off."
        switch = Switch(name, enabled, message, assets)
        await self._database.write(lambda tx: _set(tx, switch, author=author))
        await self.refresh()

    async def list(self) -> list[Switch]:
        """List every switch by name."""
        return await self._database.read(store.switches)


def _read(tx: Transaction) -> tuple[int, list[Switch]]:
    return store.snapshot_version(tx, SNAPSHOT), store.switches(tx)


def _set(tx: Transaction, switch: Switch, *, author: str) -> None:
    store.lock_snapshot(tx, SNAPSHOT)
    before = next((known for known in store.switches(tx) if known.name == switch.name), None)
    if before == switch:
        return
    store.put_switch(tx, switch)
    store.bump_snapshot(tx, SNAPSHOT)
    detail = {"before": asdict(before) if before else None, "after": asdict(switch)}
    store.note_audit(tx, actor=author, action="switch.set", subject=switch.name, detail=detail)

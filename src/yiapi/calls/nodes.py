"""A node: one start of one process, alive as long as it renews its lease.

A lease that is over is not yet lost: others end it, when they have seen it over for longer than a renewal takes, and
from then on it cannot be renewed. So a clock that jumps ends nothing that lives, and what a node held is released only
after its lease was ended.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from yiapi.clock import Clock
from yiapi.db import Database, Transaction, queries
from yiapi.errors import StationError
from yiapi.ids import new_id
from yiapi.logs import get_logger

SQL = queries("calls")

log = get_logger()


@dataclass(slots=True)
class Node:
    """This start of this process. ``name`` is the same at every start; an older start of the name is dead at once."""

    id: str
    name: str
    lease_s: float
    clock: Clock
    valid_until: float
    """By the monotonic clock: from then on the lease may be over."""

    @classmethod
    async def begin(cls, database: Database, name: str, *, lease_s: float, clock: Clock) -> Node:
        """Register a start, and end the leases of older starts of the same name."""
        node = cls(new_id("node"), name, lease_s, clock, clock.monotonic() + lease_s)

        def register(tx: Transaction) -> None:
            tx.run(SQL.begin_node, id=node.id, name=name, lease_ms=round(lease_s * 1000))
            tx.run(SQL.end_older_nodes, id=node.id, name=name)

        await database.write(register)
        return node

    async def renew(self, database: Database) -> bool:
        """Extend the lease; False when others have ended it, and with it what this node held."""
        asked_at = self.clock.monotonic()
        lease_ms = round(self.lease_s * 1000)
        is_renewed = await database.write(lambda tx: tx.run(SQL.renew_node, id=self.id, lease_ms=lease_ms)) == 1
        if is_renewed:
            self.valid_until = asked_at + self.lease_s
        return is_renewed

    async def end(self, database: Database) -> None:
        """Hand the lease back."""
        self.valid_until = 0.0
        await database.write(lambda tx: tx.run(SQL.end_node, id=self.id))

    async def keep_alive(self, database: Database, *, every_s: float, lost: Callable[[], Awaitable[object]]) -> None:
        """Renew for ever; an outage of the database is waited out.

        When others have ended the lease, ``lost`` ends whatever this node still held, and it begins anew.
        """
        while True:
            await asyncio.sleep(every_s)
            try:
                if not await self.renew(database):
                    self.valid_until = 0.0
                    log.warning("lease_lost", node=self.id)
                    await lost()
                    await self._come_back(database)
            except StationError as error:
                log.warning("lease_not_renewed", node=self.id, error=error.code)

    async def _come_back(self, database: Database) -> None:
        """Take a new lease under the same id: nothing is held under the old one any more."""
        asked_at = self.clock.monotonic()
        lease_ms = round(self.lease_s * 1000)
        await database.write(lambda tx: tx.run(SQL.revive_node, id=self.id, lease_ms=lease_ms))
        self.valid_until = asked_at + self.lease_s


def node_name(process: str, data: Path) -> str:
    """Name a process of a station: the same at every start, another one in another data folder or machine."""
    machine = "".join(letter for letter in socket.gethostname()[:32] if letter.isalnum() or letter == "-")
    return f"{process}@{machine}-{sha256(str(data.resolve()).encode()).hexdigest()[:6]}"


def machine_of(name: str) -> str:
    """Return where the process of a name runs."""
    return name.partition("@")[2]


@dataclass(slots=True)
class Deaths:
    """Which nodes this one has seen dead, and since when by its own monotonic clock."""

    clock: Clock
    grace_s: float
    since: dict[str, float] = field(default_factory=dict)

    async def end_leases(self, database: Database) -> None:
        """End the leases that have been over for some time. Repeatable, by any node."""
        over = await database.read(lambda tx: [row["id"] for row in tx.all(SQL.nodes_over)])
        now = self.clock.monotonic()
        self.since = {node_id: self.since.get(node_id, now) for node_id in over}
        dead = [node_id for node_id, since in self.since.items() if now - since >= self.grace_s]
        if dead:
            log.warning("leases_ended", nodes=dead)
            await database.write(lambda tx: tx.run(SQL.end_nodes, ids=json.dumps(dead)))

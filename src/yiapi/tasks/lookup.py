"""Find tasks by other things than their id; every query that a caller is answered from names the tenant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from yiapi.db import Database
from yiapi.tasks.models import Task, task_of
from yiapi.tasks.store import SQL


class Lookup:
    """Reads the tasks of a provider."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def by_vendor_id(self, task: Task, channel_id: str, vendor_task_id: str) -> Task | None:
        """Return another task of the same tenant to which this channel gave this id before."""
        row = await self._database.read(
            lambda tx: tx.one(
                SQL.by_vendor_id,
                account_id=task.account_id,
                mode=task.mode,
                channel_id=channel_id,
                vendor_task_id=vendor_task_id,
                id=task.id,
            )
        )
        return None if row is None else task_of(row)

    async def some(self, account_id: str, mode: str, provider: str, ids: Sequence[str]) -> list[Task]:
        """Return those of a tenant's tasks that are named, in the order in which they are named, each once."""
        rows = await self._database.read(
            lambda tx: tx.all(
                SQL.some,
                account_id=account_id,
                mode=mode,
                provider=provider,
                ids=msgspec.json.encode([given for given in ids if "\0" not in given]).decode(),
            )
        )
        found = {row["id"]: task_of(row) for row in rows}
        return [found[task_id] for task_id in dict.fromkeys(ids) if task_id in found]

    async def page(
        self, account_id: str, mode: str, provider: str, *, offset: int, limit: int, only_waiting: bool
    ) -> list[Task]:
        """Return a tenant's tasks of a provider, newest first; or those that wait to be begun, oldest first."""
        query = SQL.not_begun if only_waiting else SQL.of_provider
        rows = await self._database.read(
            lambda tx: tx.all(query, account_id=account_id, mode=mode, provider=provider, offset=offset, limit=limit)
        )
        return [task_of(row) for row in rows]

    async def load(self, provider: str, mode: str) -> Mapping[str, int]:
        """Count the open tasks of each channel; windows that nobody has used are no work."""
        rows = await self._database.read(lambda tx: tx.all(SQL.load, provider=provider, mode=mode))
        return {row["channel_id"]: row["count"] for row in rows}

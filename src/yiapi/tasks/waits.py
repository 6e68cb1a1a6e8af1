"""Callers that wait for tasks to end: one query for all of a node, however many they are."""

from __future__ import annotations

import asyncio
from functools import partial

from yiapi.db import Database
from yiapi.errors import StationError
from yiapi.logs import get_logger
from yiapi.tasks import store

PAUSE_S = 0.1

log = get_logger()


class Waits:
    """Tells who waits when a task has ended."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def until_ended(self, task_id: str, timeout_s: float) -> None:
        """Return when a task has ended, or when the time is over."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(task_id, set()).add(future)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            await asyncio.wait([future], timeout=timeout_s)
        finally:
            self._leave(task_id, future)

    def _leave(self, task_id: str, future: asyncio.Future[None]) -> None:
        futures = self._waiting[task_id]
        futures.discard(future)
        if not futures:
            del self._waiting[task_id]

    async def _look(self) -> None:
        """Look as long as somebody waits; an outage of the database is waited out."""
        while self._waiting:
            await asyncio.sleep(PAUSE_S)
            ids = list(self._waiting)
            try:
                ended = await self._database.read(partial(store.ended_of, task_ids=ids))
            except StationError as error:
                log.warning("waits_look_failed", error=error.code)
                continue
            for task_id in ended:
                for future in self._waiting.get(task_id, ()):
                    if not future.done():
                        future.set_result(None)

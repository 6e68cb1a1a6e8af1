"""Keeping the results of tasks: files are copied before the end is written, a bounded number at a time.

A copy that is interrupted leaves the task as it was, and it is copied again; one that cannot be had fails the task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from yiapi.assets import Assets, KeepFailed, KeptFile, Source
from yiapi.channels import Channels
from yiapi.crashpoints import crashpoint
from yiapi.db import Database
from yiapi.errors import StationError
from yiapi.logs import get_logger
from yiapi.pricing import Switches
from yiapi.providers.contract import Status
from yiapi.providers.paths import read, replace
from yiapi.tasks import store
from yiapi.tasks.models import Ended, Task
from yiapi.tasks.render import ASSET_MARK
from yiapi.tasks.waiting import Waiting
from yiapi.tasks.words import kept_text

AT_ONCE = 32
CHANNEL_AT_ONCE = 8
CHANNEL_WAITING_MAX = 64
"""How many answers wait for their files to be copied; what is above is asked for again later."""

log = get_logger()


@dataclass(frozen=True, slots=True)
class Copied:
    """A result that is safely in the store: how its task ends, and the files that get a row with it."""

    end: Ended
    kept: Sequence[KeptFile]


Done = Callable[[Waiting, Copied | None], Awaitable[None]]


class Copier:
    """Copies results, a bounded number at a time."""

    def __init__(self, database: Database, assets: Assets, channels: Channels, switches: Switches) -> None:
        self._database = database
        self._assets = assets
        self._channels = channels
        self._switches = switches
        self._places = asyncio.Semaphore(AT_ONCE)
        self._by_channel: dict[str, asyncio.Semaphore] = {}
        self._waiting: dict[str, int] = {}
        self.copies: set[asyncio.Task[None]] = set()

    def has_room(self, task: Waiting) -> bool:
        """Whether a result of this channel may wait here."""
        return self._waiting.get(task.channel_id or "", 0) < CHANNEL_WAITING_MAX

    def start(self, task: Waiting, answer: Any, done: Done) -> None:
        """Begin to copy what an answer names; ``done`` gets the result, or None when it has to be tried again."""
        task.is_copying = True
        channel_id = task.channel_id or ""
        self._waiting[channel_id] = self._waiting.get(channel_id, 0) + 1
        copy = asyncio.ensure_future(self._copy(task, answer, channel_id, done))
        self.copies.add(copy)
        copy.add_done_callback(self.copies.discard)

    async def _copy(self, task: Waiting, answer: Any, channel_id: str, done: Done) -> None:
        copied: Copied | None = None
        try:
            copied = await self._copied(task, answer)
        except StationError as error:
            log.warning("copy_waits", task_id=task.id, error=error.code)
        except Exception:
            log.exception("copy_broke", task_id=task.id)
        finally:
            self._left(channel_id)
            task.is_copying = False
        await done(task, copied)

    def _left(self, channel_id: str) -> None:
        self._waiting[channel_id] -= 1
        if not self._waiting[channel_id]:
            del self._waiting[channel_id]
            self._by_channel.pop(channel_id, None)

    async def _copied(self, task: Waiting, answer: Any) -> Copied | None:
        shape = task.shape
        row = await self._database.read(lambda tx: store.by_id(tx, task.id))
        if row is None or row.status.is_final:
            return None
        links = shape.links(answer)
        try:
            kept = await self._keep(row, links)
        except KeepFailed as error:
            log.warning("result_not_kept", task_id=task.id, code=error.code)
            text = "The result could not be fetched."
            return Copied(Ended(status=Status.FAILED, error_code=error.code, error_message=text), ())
        crashpoint("task.copied")
        marks = {link: ASSET_MARK + file.id for link, file in zip(links, kept, strict=False)}
        for path in shape.files:
            replace(answer, path, lambda link: marks.get(link, link) if isinstance(link, str) else link)
        text_or_none = read(answer, shape.text) if shape.text else None
        end = Ended(
            status=Status.SUCCEEDED,
            answer=kept_text(shape, answer, self._channels.get(row.channel_id or ""), is_end=True),
            text=text_or_none if isinstance(text_or_none, str) else None,
            captures=True,
        )
        return Copied(end, kept)

    async def _keep(self, row: Task, links: Sequence[str]) -> list[KeptFile]:
        if self._switches.assets(row.operation) == "original":
            return []
        channel = self._channels.get(row.channel_id or "")
        permitted = channel.target.permitted if channel else frozenset()
        place = self._by_channel.setdefault(row.channel_id or "", asyncio.Semaphore(CHANNEL_AT_ONCE))

        async def keep(link: str) -> KeptFile:
            async with place, self._places:
                return await self._assets.keep(row.account_id, row.mode, Source(url=link, permitted=permitted))

        results = await asyncio.gather(*map(keep, links), return_exceptions=True)
        kept = [result for result in results if isinstance(result, KeptFile)]
        failures = [result for result in results if isinstance(result, BaseException)]
        if failures:
            for file in kept:
                await self._assets.discard(file)
            raise next((failure for failure in failures if isinstance(failure, KeepFailed)), failures[0])
        return kept

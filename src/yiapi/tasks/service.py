"""Tasks from their creation to their end, for one node. The row is there before the vendor hears of it, and ends once.

Submitting is in ``yiapi.tasks.submitting``, ending in ``yiapi.tasks.ends``; what is here shows tasks to callers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from yiapi.assets import Assets, KeptFile
from yiapi.calls import Calls
from yiapi.clock import Clock
from yiapi.db import Database, Transaction
from yiapi.errors import NotCancellable, NotFound
from yiapi.metrics import Metrics
from yiapi.pricing import Pricing
from yiapi.providers.contract import Ids, Status, TaskShape
from yiapi.providers.registry import Registry, Served
from yiapi.settings import Settings
from yiapi.tasks import store
from yiapi.tasks.ends import Ends, Outcome
from yiapi.tasks.lookup import Lookup
from yiapi.tasks.models import Ended, EndOrder, Task
from yiapi.tasks.outbox import Outbox
from yiapi.tasks.render import task_object, view_as, view_of
from yiapi.tasks.submitting import Submissions
from yiapi.tasks.waits import Waits
from yiapi.tasks.windows import Windows
from yiapi.webhooks import Webhooks

SPARE_BITS = 64
DIGITS = "0123456789"
WATCH_SOON_S = 0.5
TIME_LENGTH = 13
CANCEL_LOOK_S = 0.001
"""A cancelled task is looked at once more at once: its vendor is told."""


def new_task_id(ids: Ids, now_ms: int = 0) -> str:
    """Make an id in the shape of a dialect, every one as likely as any other.

    ``now_ms`` is for those that begin with the time.
    """
    if ids.begins_with_time:
        left = ids.length - TIME_LENGTH
        return f"{now_ms:013d}{int.from_bytes(os.urandom(left + 8), 'big') % 10**left:0{left}d}"
    if ids.alphabet == DIGITS:
        least = 10 ** (ids.length - 1)
        return str(least + int.from_bytes(os.urandom(ids.length), "big") % (9 * least))
    first, alphabet = ids.alphabet.replace("0", "") or ids.alphabet, ids.alphabet
    bits = (len(alphabet) - 1).bit_length() * ids.length + SPARE_BITS
    left = int.from_bytes(os.urandom(bits // 8 + 1), "big")  # so long that the rest of a division favours nobody
    left, place = divmod(left, len(first))
    characters = [first[place]]
    for _ in range(ids.length - 1):
        left, place = divmod(left, len(alphabet))
        characters.append(alphabet[place])
    return "".join(characters)


class Tasks(Submissions):
    """The tasks of the station, for one node."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        calls: Calls,
        pricing: Pricing,
        assets: Assets,
        metrics: Metrics,
        clock: Clock,
        settings: Settings,
        webhooks: Webhooks,
    ) -> None:
        super().__init__(database, registry, calls)
        self.registry = registry
        self.metrics = metrics
        self._assets = assets
        self._clock = clock
        self._settings = settings
        self._waits = Waits(database)
        self.lookup = Lookup(database)
        self.windows = Windows(database, calls)
        self.outbox = Outbox(database, assets, webhooks, self.rendered, self._shape)
        self.ends = Ends(database, pricing, assets, metrics, self.outbox)

    # Reading

    async def get(self, account_id: str, mode: str, task_id: str) -> Task:
        """Return a tenant's task. Raises NotFound."""
        task = await self._database.read(lambda tx: store.get(tx, account_id, mode, task_id))
        if task is None:
            raise NotFound("No task of yours has this id.")
        return task

    async def find(self, account_id: str, mode: str, provider: str, given: str) -> Task:
        """Return a tenant's task by our id or by the tenant's own reference. Raises NotFound."""
        task = await self._database.read(
            lambda tx: (
                store.get(tx, account_id, mode, given) or store.by_external_id(tx, account_id, mode, provider, given)
            )
        )
        if task is None:
            raise NotFound("No task of yours has this id.")
        return task

    async def page(self, account_id: str, mode: str, operation: str, *, offset: int, limit: int) -> list[Task]:
        """Return a tenant's tasks of one operation, newest first."""
        return await self._database.read(
            lambda tx: store.page(tx, account_id, mode, operation, offset=offset, limit=limit)
        )

    async def list(
        self, account_id: str, mode: str, *, before: tuple[int, str], limit: int, filters: dict[str, str]
    ) -> Sequence[Task]:
        """Return a page of a tenant's tasks."""
        return await self._database.read(
            lambda tx: store.listed(tx, account_id, mode, before=before, limit=limit, filters=filters)
        )

    async def wait(self, task: Task, seconds: float) -> Task:
        """Wait until a task has ended or the time is over; it is looked at more often meanwhile."""
        if task.status.is_final:
            return task
        watch_ms, soon_ms = round((seconds + 1) * 1000), round(WATCH_SOON_S * 1000)

        def watch(tx: Transaction) -> None:
            if tx.run(store.SQL.watch, id=task.id, watch_ms=watch_ms, soon_ms=soon_ms):
                tx.one(store.SQL.ring)

        await self._database.write(watch)
        await self._waits.until_ended(task.id, seconds)
        return await self.get(task.account_id, task.mode, task.id)

    async def links(self, tasks: Sequence[Task]) -> Mapping[str, str]:
        """Return a fresh link for every asset of some tasks."""
        ended = [task.id for task in tasks if task.result is not None]
        if not ended:
            return {}
        assets = await self._database.read(
            lambda tx: [asset for task_id in ended for asset in self._assets.of_task(tx, task_id)]
        )
        return {asset.id: self._assets.link(asset) for asset in assets}

    async def shown(self, task: Task, request_id: str) -> Any:
        """Return a task in its dialect."""
        return self.rendered(task, await self.links([task]), request_id)

    def rendered(self, task: Task, links: Mapping[str, str], request_id: str) -> Any:
        """Return a task in its dialect, with links that are at hand."""
        shape = self._shape(task)
        return shape.render(view_of(task, shape, links), request_id)

    def rendered_as(self, task: Task, status: Status, answer: Any, request_id: str) -> Any:
        """Return a task in its dialect as the vendor has just taken it; ``answer`` is changed."""
        shape = self._shape(task)
        return shape.render(view_as(task, status, answer), request_id)

    async def object(self, task: Task) -> dict[str, Any]:
        """Return a task as our own API shows it."""
        assets = []
        if task.result is not None:
            kept = await self._database.read(lambda tx: self._assets.of_task(tx, task.id))
            assets = [msgspec.to_builtins(self._assets.view(asset)) for asset in kept]
        return task_object(task, assets)

    def served(self, task: Task) -> Served:
        """Return the operation that made a task."""
        return self._registry.served[task.operation]

    def _shape(self, task: Task) -> TaskShape:
        shape = self.served(task).operation.task
        assert shape is not None
        return shape

    # Ending

    async def cancel(self, account_id: str, mode: str, task_id: str) -> Task:
        """End a task at once and release its hold. Again: the same. Raises NotFound, NotCancellable."""
        task = await self.get(account_id, mode, task_id)
        end = Ended(status=Status.CANCELLED, error_code="cancelled", error_message="The task was cancelled.")
        if not task.status.is_final:
            await self.end(task, end, fence=0, late_look_s=CANCEL_LOOK_S)
            task = await self.get(account_id, mode, task_id)
        if task.status is not Status.CANCELLED:
            raise NotCancellable("The task has ended already.")
        return task

    async def end(
        self, task: Task, end: Ended, *, fence: int, kept: Sequence[KeptFile] = (), late_look_s: float = 0.0
    ) -> bool:
        """End a task in one transaction; False if it had ended, or its bucket is another's."""
        order = EndOrder(task_id=task.id, end=end, fence=fence, kept=kept, late_look_s=late_look_s)
        return await self.ends.submit(order) is Outcome.ENDED

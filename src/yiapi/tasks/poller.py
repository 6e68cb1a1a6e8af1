"""The poller: one worker's part in looking after the tasks of the station.

It keeps its share of the buckets, takes up what gateways put into the queue, lets lines look at what is due, and ends
what is past its time. Each of these goes on by itself; an outage of the database is waited out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from yiapi.assets import Assets
from yiapi.calls import Node
from yiapi.channels import Channels
from yiapi.clock import Clock
from yiapi.crashpoints import crashpoint
from yiapi.db import Bell, Database, Row, Transaction
from yiapi.dispatch import Exchange
from yiapi.errors import StationError
from yiapi.logs import get_logger
from yiapi.pricing import Pricing, Switches
from yiapi.settings import Settings
from yiapi.tasks import store
from yiapi.tasks.agenda import Agenda
from yiapi.tasks.asking import Asker
from yiapi.tasks.buckets import Buckets
from yiapi.tasks.cadence import Cadence
from yiapi.tasks.copying import Copier
from yiapi.tasks.line import Line
from yiapi.tasks.looks import Looks
from yiapi.tasks.service import Tasks
from yiapi.tasks.waiting import Waiting

BELL = "yiapi_tasks"
QUEUE_PAUSE_S = 0.25
TEND_SHARE = 0.2
"""Of the time between two renewals: how often workers look for each other and for free buckets."""

END_PAUSE_S = 0.5
WALK_S = 1.0
"""The pause between two buckets of the walk that compares memory with the rows."""

COUNT_S = 1.0
LEAVE_S = 5.0
"""How long a database that does not answer may keep a worker from its end; its leases end by themselves."""

TAKE_UP_MAX = 1000
PAGE_ROWS = 2000
BUCKETS_AT_ONCE = 16

log = get_logger()


class Poller:
    """Looks after the tasks of the buckets that this worker owns."""

    _walked = 0

    def __init__(
        self,
        database: Database,
        tasks: Tasks,
        channels: Channels,
        exchange: Exchange,
        assets: Assets,
        pricing: Pricing,
        switches: Switches,
        node: Node,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._database = database
        self._tasks = tasks
        self._node = node
        self._clock = clock
        self._settings = settings
        self.buckets = Buckets(database, node, clock, settings.lease_s)
        cadence = Cadence(settings.poll_floor_s, settings.poll_ceiling_s)
        self.agenda = Agenda(tasks.registry, channels, clock, cadence, self._look, lambda: self.buckets.are_valid)
        self._copier = Copier(database, assets, channels, switches)
        self._looks = Looks(
            database,
            self.buckets,
            self.agenda,
            Asker(channels, exchange),
            tasks,
            assets,
            channels,
            pricing,
            self._copier,
            clock,
            late_look_s=settings.poll_ceiling_s,
        )
        self._turn = asyncio.Lock()  # what changes hands and what is taken up wait for each other
        self._rung = asyncio.Event()
        self._bell: Bell | None = None
        self._work: list[asyncio.Task[None]] = []

    # Running

    async def run(self) -> None:
        """Look after tasks until cancelled; then ``drain``."""
        self._bell = self._database.bell(BELL, self._rung.set)
        self.agenda.run()
        settings = self._settings
        rounds: list[tuple[Callable[[], Awaitable[object]], float]] = [
            (self.tend, settings.lease_renew_s * TEND_SHARE),
            (self.end_by_time, END_PAUSE_S),
            (self._walk, WALK_S),
            (self._count, COUNT_S),
        ]
        try:
            await self.tend()
            log.info("worker_ready", buckets=len(self.buckets.fences), tasks=len(self.agenda))
        except StationError as error:
            log.warning("poller_waits", error=error.code)
        self._work = [asyncio.create_task(self._repeat(work, pause_s)) for work, pause_s in rounds]
        self._work.append(asyncio.create_task(self._serve_queue()))
        await asyncio.gather(*self._work)

    async def _look(self, line: Line, tasks: Sequence[Waiting]) -> None:
        await self._looks.look(line, tasks)

    async def _repeat(self, work: Callable[[], Awaitable[object]], pause_s: float) -> None:
        while True:
            await self._safely(work)
            await asyncio.sleep(pause_s)

    async def _serve_queue(self) -> None:
        """Take up what is due: at once when the bell rings, else four times a second, and more while there is more."""
        while True:
            self._rung.clear()
            if await self._safely(self.take_up) == TAKE_UP_MAX:
                continue
            try:
                await asyncio.wait_for(self._rung.wait(), QUEUE_PAUSE_S)
            except TimeoutError:
                continue

    async def _safely(self, work: Callable[[], Awaitable[object]]) -> object:
        try:
            return await work()
        except StationError as error:
            log.warning("poller_waits", error=error.code)
        except Exception:
            log.exception("poller_broke")
        return None

    async def look_once(self) -> int:
        """Do everything that is due once, and return how many queries are under way then."""
        await self.tend()
        while await self.take_up() == TAKE_UP_MAX:
            pass
        await self.end_by_time()
        return self.agenda.start_due()

    async def finish(self) -> None:
        """Wait for the looks and copies that are under way."""
        while under_way := self._under_way():
            await asyncio.wait(under_way)

    def _under_way(self) -> set[asyncio.Task[None]]:
        queries = (query for line in self.agenda.lines.values() for query in line.queries)
        return {*queries, *self._copier.copies}

    async def drain(self, limit_s: float) -> None:
        """Begin nothing more, let what is under way finish for a while, and hand everything back."""
        self.agenda.stop()
        crashpoint("worker.drain")
        if self._bell is not None:
            self._bell.close()
        keeping = asyncio.create_task(self._repeat(self._keep, self._settings.lease_renew_s * TEND_SHARE))
        if under_way := self._under_way():
            await asyncio.wait(under_way, timeout=limit_s)
        keeping.cancel()
        for left in self._under_way():
            left.cancel()
        await self._safely(lambda: asyncio.wait_for(self.buckets.leave(), LEAVE_S))
        log.info("worker_drained", tasks=len(self.agenda))

    async def _keep(self) -> None:
        """While the last files are copied: their buckets stay ours, all others go."""
        busy = frozenset(task.bucket for task in self.agenda.busy())
        async with self._turn:
            await self.buckets.keep(busy)
        for number in set(range(store.BUCKETS)) - busy:
            self.agenda.drop_bucket(number)

    # Buckets

    async def tend(self) -> None:
        """Keep the share of the buckets: load what was taken, forget what was lost."""
        async with self._turn:
            change = await self.buckets.tend(renew_s=self._settings.lease_renew_s)
            for number in change.lost:
                self.agenda.drop_bucket(number)
            crashpoint("buckets.taken")
            await self._load(sorted(change.taken))

    async def _load(self, numbers: list[int]) -> None:
        if not numbers:
            return
        began, count = self._clock.monotonic(), 0
        for at in range(0, len(numbers), BUCKETS_AT_ONCE):
            some = numbers[at : at + BUCKETS_AT_ONCE]
            count += self.agenda.load(await self._database.read(partial(_waiting_in, numbers=some)))
        log.info("tasks_loaded", buckets=len(numbers), tasks=count, seconds=round(self._clock.monotonic() - began, 3))

    async def _walk(self) -> None:
        """Compare one bucket's memory with its rows, so that whatever was missed is missed for some minutes only."""
        self.agenda.tidy()
        owned = sorted(self.buckets.fences)
        if not owned:
            return
        self._walked = next((number for number in owned if number > self._walked), owned[0])
        number, known = self._walked, self.agenda.ids(self._walked)
        ids = await self._database.read(lambda tx: store.waiting_ids(tx, number))
        if ids - known:
            await self._load_missed(number)
        if number not in self.buckets.fences:
            return
        for task_id in known - ids:
            task = self.agenda.get(number, task_id)
            if task is not None and not task.is_busy:
                self.agenda.drop(task)

    async def _load_missed(self, number: int) -> None:
        rows = await self._database.read(lambda tx: _waiting_in(tx, [number]))
        missed = self.agenda.load(rows) if number in self.buckets.fences else 0
        if missed:
            log.warning("tasks_were_missed", bucket=number, tasks=missed)

    # The queue

    async def take_up(self) -> int:
        """Take up rows whose time has come; return how many."""
        if not self.buckets.are_valid or not await self._database.read(self._is_any_due):
            return 0
        async with self._turn:
            rows = await self._database.write(lambda tx: store.take_up(tx, self._node.id, TAKE_UP_MAX))
            crashpoint("task.taken_up")
            for row in rows:
                if row["bucket"] in self.buckets.fences:
                    self.agenda.take_up(row)
        return len(rows)

    def _is_any_due(self, tx: Transaction) -> bool:
        return tx.one(store.SQL.is_any_due, owner=self._node.id) is not None

    async def end_by_time(self) -> None:
        """End what is past its time."""
        if self.buckets.are_valid and self.agenda.next_end() <= self._clock.monotonic():
            await self._looks.end_by_time()

    # Figures

    async def _count(self) -> None:
        """Bring the metrics up to date."""
        metrics, looks = self._tasks.metrics, self._looks
        metrics.tasks_waiting.set(len(self.agenda))
        metrics.task_looks.inc(looks.looks)
        metrics.task_writes_refused.inc(looks.refused)
        looks.looks = looks.refused = 0


def _waiting_in(tx: Transaction, numbers: list[int]) -> list[Row]:
    """Read everything that the owner of some buckets has to know, in pages."""
    found: list[Row] = []
    for number in numbers:
        after = ""
        while page := store.waiting(tx, number, after=after, limit=PAGE_ROWS):
            found += page
            if len(page) < PAGE_ROWS:
                break
            after = page[-1]["id"]
    return found

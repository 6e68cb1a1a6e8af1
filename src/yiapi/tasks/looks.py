"""A look: ask, understand, act. What says nothing new writes nothing; what cannot be used changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import Any, Protocol

from yiapi.assets import Assets
from yiapi.channels import Channels
from yiapi.clock import Clock
from yiapi.crashpoints import crashpoint
from yiapi.db import Database, Transaction
from yiapi.dispatch import AttemptFailed
from yiapi.errors import StationError
from yiapi.logs import get_logger
from yiapi.pricing import Pricing
from yiapi.providers.contract import Batch, Fault, Status
from yiapi.providers.paths import read
from yiapi.tasks import store
from yiapi.tasks.agenda import Agenda
from yiapi.tasks.asking import Asker, NobodyToAsk, is_of_channel
from yiapi.tasks.cadence import COPY_S, FIND_LOOKS_MIN, FIND_S, UNKNOWN_S
from yiapi.tasks.copying import Copied, Copier
from yiapi.tasks.ends import NEVER_FOUND, NOT_TAKEN, TIMED_OUT, UNUSED, Outcome, cost_of
from yiapi.tasks.line import Line
from yiapi.tasks.models import Ended, EndOrder, usage_of
from yiapi.tasks.notes import Note, Notes, Progress, Success
from yiapi.tasks.service import Tasks
from yiapi.tasks.verdict import SAME, Kind, Verdict, verdict, words_for_people
from yiapi.tasks.waiting import Waiting
from yiapi.tasks.words import kept_text
from yiapi.upstream import Redactor

MESSAGE_CHARACTERS_MAX = 500
AGAIN_S = 5.0
END_AGAIN_S = 1.0
ENDS_AT_ONCE = 500
ODD_WORDS_MAX = 1000
PLAIN = Redactor(())

log = get_logger()


class Fences(Protocol):
    """The buckets of this worker, as far as looks need them."""

    fences: dict[int, int]


class Looks:
    """Looks at the tasks of one worker and brings each to its end."""

    def __init__(
        self,
        database: Database,
        buckets: Fences,
        agenda: Agenda,
        asker: Asker,
        tasks: Tasks,
        assets: Assets,
        channels: Channels,
        pricing: Pricing,
        copier: Copier,
        clock: Clock,
        *,
        late_look_s: float,
    ) -> None:
        self._database = database
        self._buckets = buckets
        self._agenda = agenda
        self._asker = asker
        self._ends = tasks.ends
        self._assets = assets
        self._channels = channels
        self._pricing = pricing
        self._copier = copier
        self._windows = tasks.windows
        self._outbox = tasks.outbox
        self._clock = clock
        self._late_look_s = late_look_s
        self._notes = Notes(database)
        self._odd: set[tuple[str, str]] = set()
        self.looks = 0
        self.refused = 0

    async def look(self, line: Line, tasks: Sequence[Waiting]) -> None:
        """Look at what one query can ask for; whatever goes wrong, what is not ended waits for its next look."""
        self.looks += len(tasks)
        try:
            if line.batch is not None:
                await self._look_at_many(line, line.batch, tasks)
            else:
                await self._look_at_one(line, tasks[0])
        except StationError as error:
            log.warning("look_failed", error=error.code, tasks=len(tasks))
        except Exception:
            log.exception("look_broke", task_id=tasks[0].id, tasks=len(tasks))
        finally:
            for task in tasks:
                if task.is_busy and not task.is_copying:
                    self._agenda.snooze(task)

    # Asking

    async def _look_at_many(self, line: Line, batch: Batch, tasks: Sequence[Waiting]) -> None:
        try:
            answers = await self._asker.many(batch, tasks)
        except NobodyToAsk:
            return
        except AttemptFailed as failed:
            line.failed(failed.retry_after_s)
            log.info("look_unanswered", tasks=len(tasks), fault=failed.fault.value, status=failed.status)
            return
        line.answered()
        news: list[tuple[Waiting, Verdict, Any]] = []
        for task in tasks:
            answer = answers.get(task.vendor_task_id or "")
            if answer is None:
                task.is_unnamed = task.shape.poll is not None
                continue
            found = _understood(task, answer)
            if found is not SAME:
                news.append((task, found, answer))
        results = await asyncio.gather(*(self._act(*one) for one in news), return_exceptions=True)
        for failure in filter(None, results):
            raise failure

    async def _look_at_one(self, line: Line, task: Waiting) -> None:
        if task.is_to_be_stopped:
            await self._stop(task)
            return
        try:
            answer = await self._asker.one(task)
        except NobodyToAsk:
            await self._nobody_to_ask(task)
            return
        except AttemptFailed as failed:
            line.failed(failed.retry_after_s) if is_of_channel(failed) else line.answered()
            await self._not_answered(task, failed)
            return
        line.answered()
        task.is_unnamed = False
        await self._act(task, _understood(task, answer), answer)

    async def _stop(self, task: Waiting) -> None:
        """Tell the vendor once that a task was cancelled; it may have ended there all the same."""
        task.is_to_be_stopped = False
        try:
            await self._asker.stop(task)
        except NobodyToAsk:
            return
        except AttemptFailed as failed:
            log.info("cancel_unanswered", task_id=task.id, fault=failed.fault.value, status=failed.status)
        else:
            log.info("vendor_cancelled", task_id=task.id)

    async def _not_answered(self, task: Waiting, failed: AttemptFailed) -> None:
        """A failed look changes nothing, but that a vendor who does not know our reference never took the task."""
        if task.status is not Status.UNKNOWN or task.has_ended or failed.fault is not Fault.NOT_FOUND:
            log.info("look_unanswered", task_id=task.id, fault=failed.fault.value, status=failed.status)
            return
        task.misses += 1
        if task.misses >= FIND_LOOKS_MIN and self._clock.monotonic() - task.began_at >= FIND_S:
            await self._not_taken(task)

    async def _nobody_to_ask(self, task: Waiting) -> None:
        """A task that could be found has been sent nowhere: where it goes is written down before it is sent."""
        if task.status is Status.UNKNOWN and task.channel_id is None and task.can_be_found:
            await self._not_taken(task)

    async def _not_taken(self, task: Waiting) -> None:
        fence = self._fence(task)
        if fence is not None:
            await self._end(task, EndOrder(task_id=task.id, end=NOT_TAKEN, fence=fence))

    # Acting

    async def _act(self, task: Waiting, found: Verdict, answer: Any) -> None:
        fence = self._fence(task)
        if fence is None or found is SAME:
            return
        if found.kind is Kind.ODD:
            self._note_odd(task, answer)
        elif found.kind is Kind.UNFILLED:
            await self._unfilled(task, fence)
        elif task.has_ended:
            await self._late(task, fence, found)
        elif found.kind is Kind.NEWS:
            await self._go_on(task, fence, found, answer)
        elif found.kind is Kind.SUCCEEDED:
            await self._succeed(task, fence, found, answer)
        else:
            await self._fail(task, fence, found, answer)

    def _fence(self, task: Waiting) -> int | None:
        """Return the fence of a task's bucket; None, and the task is dropped, when the bucket is another's."""
        fence = self._buckets.fences.get(task.bucket)
        if fence is None or task.is_gone:
            self._agenda.drop(task)
            return None
        return fence

    def _note_odd(self, task: Waiting, answer: Any) -> None:
        """Raise an alert for a word that nobody knows, once for each."""
        shape = task.shape
        word = str(read(answer, shape.status))[:100]
        key = (task.served.name if task.served else "", word)
        if key not in self._odd and len(self._odd) < ODD_WORDS_MAX:
            self._odd.add(key)
            log.error("status_unknown", task_id=task.id, operation=key[0], status=word)

    async def _go_on(self, task: Waiting, fence: int, found: Verdict, answer: Any) -> None:
        text = kept_text(task.shape, answer, self._channels.get(task.channel_id or ""), is_end=False)
        note = Progress(task.id, fence, found.status, found.progress, text, found.vendor_task_id)
        if not await self._noted(task, note):
            return
        is_told = task.shape.hook_tells == "progress" or found.status is not task.status
        if task.told is not None and is_told and task.shape.hook_tells != "end":
            self._outbox.tell_soon(task.id, task.told)
        task.status, task.progress, task.window_until = found.status, found.progress, None
        if task.vendor_task_id is None:
            await self._read_anew(task)

    async def _unfilled(self, task: Waiting, fence: int) -> None:
        """A window of which the vendor still waits for words: after a while they did not reach it."""
        if task.has_ended or self._clock.monotonic() - task.began_at < UNKNOWN_S:
            return
        await self._windows.not_taken(task.id, fence)
        self._agenda.drop(task)

    async def _read_anew(self, task: Waiting) -> None:
        """A task that was looked for has been found: its time is another one now."""
        row = await self._database.read(lambda tx: tx.one(store.SQL.waiting_one, id=task.id))
        self._agenda.drop(task)
        if row is not None and row["bucket"] in self._buckets.fences:
            self._agenda.load([row])

    async def _noted(self, task: Waiting, note: Note) -> bool:
        """Write a note; a task whose note is refused is not ours any more."""
        is_written = await self._notes.submit(note)
        if not is_written:
            self.refused += 1
            log.info("write_refused", task_id=task.id)
            self._agenda.drop(task)
        return is_written

    async def _fail(self, task: Waiting, fence: int, found: Verdict, answer: Any) -> None:
        shape, channel = task.shape, self._channels.get(task.channel_id or "")
        text = words_for_people(shape, answer)
        end = Ended(
            status=found.status,
            answer=kept_text(shape, answer, channel, is_end=False),
            error_code="task_failed" if found.status is Status.FAILED else found.status.value,
            error_message=(channel.redactor if channel else PLAIN).clean(text, MESSAGE_CHARACTERS_MAX),
        )
        await self._end(task, EndOrder(task_id=task.id, end=end, fence=fence, vendor_task_id=found.vendor_task_id))

    async def _succeed(self, task: Waiting, fence: int, found: Verdict, answer: Any) -> None:
        """Note when it was seen, and have the files copied; what finds no room is asked for again later."""
        if not task.has_succeeded:
            crashpoint("task.succeeded")
            if not await self._noted(task, Success(task.id, fence, found.vendor_task_id)):
                return
            task.has_succeeded = True
            now = self._clock.monotonic()
            if task.ends_at > now:
                self._agenda.end_at(task, max(task.ends_at, now + COPY_S))
        if self._copier.has_room(task):
            self._copier.start(task, answer, self.copied)
        else:
            self._agenda.look_in(task, AGAIN_S)

    async def copied(self, task: Waiting, copied: Copied | None) -> None:
        """End a task whose files are in the store; without them it is looked at again."""
        fence = self._fence(task)
        outcome: Outcome | None = None
        if copied is not None and fence is not None:
            order = EndOrder(task_id=task.id, end=copied.end, fence=fence, kept=copied.kept)
            try:
                outcome = await self._end(task, order)
            except StationError as error:
                log.warning("end_waits", task_id=task.id, error=error.code)
        if outcome is None:
            self._agenda.look_in(task, AGAIN_S)
        if copied is not None and outcome is not Outcome.ENDED:
            await self._discard(task, copied)

    async def _discard(self, task: Waiting, copied: Copied) -> None:
        """Delete files that got no row; whether they did is asked for, because a commit may be lost on its way back."""
        try:
            known = await self._database.read(lambda tx: self._assets.of_task(tx, task.id))
        except StationError:
            return  # nobody knows: what has no row goes with the orphans
        named = {asset.id for asset in known}
        for file in copied.kept:
            if file.id not in named:
                await self._assets.discard(file)

    async def _end(self, task: Waiting, order: EndOrder) -> Outcome:
        outcome = await self._ends.submit(order)
        if outcome is Outcome.REFUSED:
            self.refused += 1
        self._agenda.drop(task)
        return outcome

    # Ends by time

    async def end_by_time(self) -> None:
        """End every task whose time is over; whether it is, is decided by the database's clock."""
        while over := list(islice(self._agenda.time_is_over(), ENDS_AT_ONCE)):
            await asyncio.gather(*(self._over(task) for task in over))

    async def _over(self, task: Waiting) -> None:
        fence = self._fence(task)
        if fence is None:
            return None
        try:
            if task.has_ended:
                await self._database.write(lambda tx: store.forget(tx, task.id, fence))
                return self._agenda.drop(task)
            end = UNUSED if task.is_window else NEVER_FOUND if task.status is Status.UNKNOWN else TIMED_OUT
            late_look_s = 0.0 if task.is_window else self._late_look_s
            order = EndOrder(task_id=task.id, end=end, fence=fence, late_look_s=late_look_s, is_by_time=True)
            if await self._ends.submit(order) is not Outcome.EARLY:
                return self._agenda.drop(task)
        except StationError as error:
            log.warning("end_waits", task_id=task.id, error=error.code)
        except Exception:
            log.exception("end_by_time_broke", task_id=task.id)
        return self._agenda.end_in(task, END_AGAIN_S)

    async def _late(self, task: Waiting, fence: int, found: Verdict) -> None:
        """A task that ended without the vendor has ended there too: what it cost is ours to know, once."""
        if found.kind is Kind.NEWS:
            return

        def note(tx: Transaction) -> int:
            row = store.forget(tx, task.id, fence)
            if row is None or found.kind is not Kind.SUCCEEDED:
                return 0
            cost = cost_of(self._pricing, row["provider"], usage_of(row["usage"])).nano
            tx.run(store.SQL.add_cost, id=row["request_id"], cost=cost)
            tx.run(store.SQL.add_attempt_cost, id=row["request_id"], cost=cost)
            return cost

        cost = await self._database.write(note)
        log.warning("late_result", task_id=task.id, kind=found.kind.name.lower(), cost=cost)
        self._agenda.drop(task)


def _understood(task: Waiting, answer: Any) -> Verdict:
    return verdict(
        task.shape,
        answer,
        status=task.status,
        progress=task.progress,
        vendor_task_id=task.vendor_task_id,
        fills_window=task.window_until is not None,
    )

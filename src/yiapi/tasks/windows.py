"""Windows: a vendor that was asked for something waits for a second submission that says the rest.

An open window is a task that is queued, free, without a hold, and not asked for. Filling it is the task's one
submission and takes the hold. A refusal leaves it open, and so does a filling of which the vendor, five minutes later,
still knows nothing.
"""

from __future__ import annotations

import asyncio

from yiapi.calls import Calls, Claim, Ending, Replay
from yiapi.calls import store as calls_store
from yiapi.calls.store import usage_text
from yiapi.db import Database, Transaction, queries
from yiapi.ledger import NewHold, release, take_hold
from yiapi.ledger.store import take_turn
from yiapi.logs import get_logger
from yiapi.tasks import store
from yiapi.tasks.models import NewTask, Task, task_of

SQL = queries("windows")
NOT_TAKEN = "The vendor did not take what the window was filled with; it is open again."

log = get_logger()


class WindowClosed(Exception):
    """The window was used, is over, or was taken by another submission at this moment."""


class Windows:
    """The windows of the station, for one node."""

    def __init__(self, database: Database, calls: Calls) -> None:
        self._database = database
        self._calls = calls

    async def open(
        self,
        new: NewTask,
        ending: Ending,
        *,
        vendor_task_id: str,
        channel_id: str,
        credential_id: str,
        asked: str | None,
        open_s: float,
    ) -> None:
        """Note that a submission opened a window: nothing is held. It ends by itself, or with its parent's files."""

        def write(tx: Transaction) -> None:
            life = tx.one(SQL.life, parent_id=new.parent_id) or {"now": 0, "parent_until": None}
            until = life["now"] + round(open_s * 1000)
            if life["parent_until"] is not None:
                until = min(until, life["parent_until"])
            tx.run(
                SQL.open,
                id=new.id,
                vendor_task_id=vendor_task_id,
                channel_id=channel_id,
                credential_id=credential_id,
                asked=asked,
                until=until,
            )

        ending.also = [*ending.also, write]
        await asyncio.shield(self._calls.finish(ending))

    async def fill(self, new: NewTask, hold: NewHold, claim: Claim | None) -> Task | Replay:
        """Take an open window for a submission, with its hold; ``new.id`` is the window's.

        Returns the stored answer of the claim instead. Raises WindowClosed, InsufficientQuota, and what a claim raises.
        """

        def write(tx: Transaction) -> Task | Replay:
            take_turn(tx)  # before any row is locked, as everywhere
            if claim is not None:
                replay = calls_store.claim(tx, claim, owner=self._calls.node.id)
                if replay is not None:
                    return replay
            if tx.one(SQL.is_open, id=new.id, account_id=new.account_id, mode=new.mode) is None:
                raise WindowClosed(new.id)
            taken = take_hold(tx, hold)
            row = tx.one(
                SQL.fill,
                id=new.id,
                account_id=new.account_id,
                mode=new.mode,
                owner=self._calls.node.id,
                hold_id=taken.id,
                held=taken.amount.nano,
                usage=usage_text(new.usage),
                model=new.model,
                price_version=new.price_version,
                multiplier=new.multiplier,
                request_id=new.request_id,
                key_id=new.key_id,
                hook_url=new.hook_url,
                asked=new.asked,
                deadline_ms=round(new.deadline_s * 1000),
            )
            if row is None:
                raise WindowClosed(new.id)
            return task_of(row)

        return await self._calls.reserve(hold.wallet, lambda: self._database.write(write))

    async def refused(self, task_id: str, ending: Ending, *, asked: str | None) -> None:
        """Open the window again: the vendor refused what it was filled with, and the hold is released.

        ``asked`` is what was noted of it while it was open.
        """
        ending.also = [*ending.also, lambda tx: tx.run(SQL.reopen, id=task_id, fence=0, asked=asked)]
        await asyncio.shield(self._calls.finish(ending))

    async def not_taken(self, task_id: str, fence: int) -> None:
        """Open the window again after a filling that ended unclear and that the vendor knows nothing of."""

        def write(tx: Transaction) -> bool:
            take_turn(tx)
            task = store.by_id(tx, task_id)
            if task is None or tx.run(SQL.reopen, id=task_id, fence=fence, asked=None) != 1:
                return False
            release(tx, task.hold_id)
            tx.run(SQL.fail_request, id=task.request_id, error_code="submission_unknown", error_message=NOT_TAKEN)
            return True

        if await self._database.write(write):
            log.info("window_open_again", task_id=task_id)

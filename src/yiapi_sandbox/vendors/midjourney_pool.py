"""The accounts behind the proxy: choosing one by ``accountFilter``, and how much one takes at a time.

Contract: contracts/midjourney.md, sections 0.2 and 7.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from yiapi_sandbox.books import Task
from yiapi_sandbox.checks import Fields
from yiapi_sandbox.sandbox import Sandbox
from yiapi_sandbox.vendors.midjourney_words import NO_ACCOUNT, QUEUE_FULL, envelope_refused

RUNNING_MAX = 3
QUEUE_MAX = 10
MODES = ("RELAX", "FAST", "TURBO")


@dataclass(frozen=True)
class Account:
    """One account of the pool."""

    id: str
    remark: str
    remix: bool = False
    niji_remix: bool = False


ACCOUNTS = (
    Account("1118138338562560102", "main"),
    Account("1118138338562560103", "remix", remix=True, niji_remix=True),
)


def choose(wanted: Fields | None) -> Account:
    """Return the first account that a filter lets through; without one there is nobody to draw."""
    if wanted is None:
        return ACCOUNTS[0]
    wanted.list("modes", 3)
    instance, remark = wanted.text("instanceId") or wanted.text("channelId"), wanted.text("remark")
    remix, niji_remix = wanted.flag("remix"), wanted.flag("nijiRemix")
    considered = wanted.flag("remixAutoConsidered")
    for account in ACCOUNTS:
        if (
            instance in (None, "", account.id)
            and remark in (None, "", account.remark)
            and remix in (None, account.remix)
            and niji_remix in (None, account.niji_remix)
            and not considered
        ):
            return account
    raise envelope_refused(3, NO_ACCOUNT)


def of(account_id: str) -> Account:
    """Return the account of an id."""
    return next((account for account in ACCOUNTS if account.id == account_id), ACCOUNTS[0])


def mode_of(wanted: Fields | None) -> str | None:
    """Return the speed that a filter prefers."""
    modes = [mode for mode in (wanted.list("modes", 3) or ()) if mode in MODES] if wanted else []
    return modes[0] if modes else None


@dataclass(frozen=True)
class Slot:
    """When a task begins."""

    begins_at: float
    ahead: int | None = None
    """How many wait before it, if it has to wait."""


def slot(sandbox: Sandbox, account_id: str, task_id: str) -> Slot:
    """Return when an account begins with a new task. Raises the vendor's refusal when its queue is full."""
    now = sandbox.clock.now()
    if not sandbox.limits:
        return Slot(now)
    under_way = _under_way(sandbox, account_id)
    waiting = [task for task in under_way if task.begins_at > now]
    if len(waiting) >= QUEUE_MAX:
        raise envelope_refused(23, QUEUE_FULL, task_id, account_id)
    begins_at = _next(now, [task.ends_at for task in under_way])
    return Slot(begins_at, len(waiting) if begins_at > now else None)


def move_up(sandbox: Sandbox, account_id: str) -> None:
    """Let those that wait begin earlier, after one of them was taken out."""
    if not sandbox.limits:
        return
    now = sandbox.clock.now()
    ends: list[float] = []
    for task in _under_way(sandbox, account_id):
        if task.begins_at > now:
            begins_at = _next(now, ends)
            ends_at = begins_at + task.ends_at - task.begins_at
            task = msgspec.structs.replace(task, begins_at=begins_at, ends_at=ends_at)  # noqa: PLW2901
            sandbox.books.change_task(task)
        ends.append(task.ends_at)


def _under_way(sandbox: Sandbox, account_id: str) -> list[Task]:
    tasks = sandbox.books.open_tasks("midjourney", sandbox.clock.now())
    return [task for task in tasks if task.detail.get("account") == account_id and not task.detail.get("window")]


def _next(now: float, ends: Sequence[float]) -> float:
    """Return when fewer than all of an account's places are taken."""
    running = sorted((end for end in ends if end > now), reverse=True)
    return running[RUNNING_MAX - 1] if len(running) >= RUNNING_MAX else now

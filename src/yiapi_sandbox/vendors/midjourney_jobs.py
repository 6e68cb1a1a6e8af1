"""Midjourney's tasks: what is kept of one, when it begins and ends, and how it stands at any time.

Contract: contracts/midjourney.md, sections 0.3, 1.1 and 7.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from yiapi_sandbox.books import Task, Usage
from yiapi_sandbox.dice import Dice
from yiapi_sandbox.recipes import Film, Recipe
from yiapi_sandbox.sandbox import Sandbox
from yiapi_sandbox.vendors import midjourney_pool as pool
from yiapi_sandbox.vendors.midjourney_buttons import PRICE_NANO, PRICES_NANO, Kind
from yiapi_sandbox.vendors.midjourney_words import CANCELLED

SLUG = "midjourney"
KEEP_S = 30 * 86_400
STEPS = (0, 15, 31, 46, 62, 78, 93)
"""Percent on the way to 100."""
SUBMITTED_PART = 0.1
"""For this part of its time a task shows no progress."""
FINAL = ("SUCCESS", "FAILURE", "CANCEL")


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the books keep of a task besides its times."""

    uuid: str
    action: str
    kind: Kind
    account: str
    mode: str
    bot: str = "MID_JOURNEY"
    state: str | None = None
    prompt: str | None = None
    final: str | None = None
    """The prompt that was used in the end, or the text that was found."""
    description: str = ""
    seed: int | None = None
    version: float = 7.0
    size: tuple[int, int] = (1024, 1024)
    """Of one picture."""
    parent: str | None = None
    custom_id: str | None = None
    candidates: tuple[str, ...] = ()
    seen: str | None = None
    """The link of a picture that was described."""
    used: tuple[str, ...] = ()
    """The buttons that were pressed."""
    films: int = 0
    window: bool = False
    """Whether it waits for its window to be confirmed."""
    remix: bool = False
    """Whether it came out of a window."""
    cancelled: bool = False


@dataclass(frozen=True, kw_only=True)
class Order:
    """A good request: what to make of it, and what it costs."""

    job: Job
    sku: str = ""
    units: int = 1
    recipe: Recipe | None = None
    films: Sequence[Film] = ()
    fault: str | None = None
    lasts: float = 1.0
    """How much of a task's usual time it takes."""
    reference: str | None = None


class Ids:
    """Numbers of 13 digits of milliseconds and 3 more, each larger than the one before."""

    def __init__(self) -> None:
        self._last = 0

    def draw(self, now: float) -> str:
        """Return a new id."""
        self._last = max(round(now * 1000) * 1000 + secrets.randbelow(1000), self._last + 1)
        return str(self._last)


IDS = Ids()


def new_uuid() -> str:
    """Name a job: a UUID of version 4."""
    name = secrets.token_hex(16)
    return f"{name[:8]}-{name[8:12]}-4{name[13:16]}-a{name[17:20]}-{name[20:]}"


def seed_of(task_id: str) -> int:
    """Throw the seed of a task that was given none."""
    return Dice(SLUG, task_id).whole(0, 2**32 - 1)


def job_of(task: Task) -> Job:
    """Return what the books keep of a task."""
    return msgspec.convert(task.detail, Job)


def begin(
    sandbox: Sandbox, task_id: str, order: Order, *, hook: str | None, base_url: str, delay_s: float | None
) -> int | None:
    """Keep a new task and let it run; return how many wait before it, if it waits.

    Raises the refusal of a full queue.
    """
    now = sandbox.clock.now()
    slot = pool.Slot(now) if order.job.window else pool.slot(sandbox, order.job.account, task_id)
    task = Task(
        vendor=SLUG,
        id=task_id,
        operation=order.job.action,
        created_at=now,
        begins_at=slot.begins_at,
        ends_at=slot.begins_at + _lasts(sandbox, order, delay_s),
        reference=order.reference,
        failure=order.fault,
        files=_put(sandbox, order),
        usage=_usage(order),
        callback_url=hook,
        base_url=base_url,
        detail=msgspec.to_builtins(order.job),
    )
    sandbox.books.add_task(task)
    return slot.ahead


def confirm(sandbox: Sandbox, window: Task, order: Order, *, hook: str | None, delay_s: float | None) -> int | None:
    """Let the task of a window run; return how many wait before it, if it waits. Raises the refusal of a full queue."""
    slot = pool.slot(sandbox, order.job.account, window.id)
    task = msgspec.structs.replace(
        window,
        begins_at=slot.begins_at,
        ends_at=slot.begins_at + _lasts(sandbox, order, delay_s),
        failure=order.fault,
        files=_put(sandbox, order),
        usage=_usage(order),
        callback_url=hook or window.callback_url,
        detail=msgspec.to_builtins(order.job),
    )
    sandbox.books.change_task(task)
    return slot.ahead


def cancel(sandbox: Sandbox, task: Task) -> bool:
    """End a task that has not ended; False if it had."""
    job, now = job_of(task), sandbox.clock.now()
    if standing(task, job, now)[0] in FINAL:
        return False
    changed = msgspec.structs.replace(job, cancelled=True, window=False)
    detail = msgspec.to_builtins(changed)
    begins_at = min(task.begins_at, now)
    sandbox.books.change_task(
        msgspec.structs.replace(
            task, begins_at=begins_at, ends_at=now, failure=CANCELLED, reference=None, detail=detail
        )
    )
    pool.move_up(sandbox, job.account)
    return True


def mark_used(sandbox: Sandbox, task: Task, custom_id: str) -> None:
    """Remember that a button was pressed."""
    used = task.detail.get("used", [])
    if custom_id not in used:
        detail = task.detail | {"used": [*used, custom_id]}
        sandbox.books.change_task(msgspec.structs.replace(task, detail=detail))


def standing(task: Task, job: Job, now: float) -> tuple[str, int]:
    """Return the status of a task, and how many percent are done."""
    if job.cancelled:
        return "CANCEL", 100
    if job.window:
        return "MODAL", 0
    if now >= task.ends_at:
        return ("FAILURE" if task.failure else "SUCCESS"), 100
    if now < task.begins_at:
        return "NOT_START", 0
    part = (now - task.begins_at) / (task.ends_at - task.begins_at)
    if part < SUBMITTED_PART:
        return "SUBMITTED", 0
    return "IN_PROGRESS", STEPS[int((part - SUBMITTED_PART) / (1 - SUBMITTED_PART) * len(STEPS))]


def next_change(task: Task, now: float) -> float:
    """Return when a running task will next stand differently: at once, if its end has come."""
    span = task.ends_at - task.begins_at
    shares = [SUBMITTED_PART + (1 - SUBMITTED_PART) * step / len(STEPS) for step in range(len(STEPS))]
    moments = [task.begins_at, *(task.begins_at + span * share for share in shares), task.ends_at]
    return next((moment for moment in moments if moment > now), now)


def _lasts(sandbox: Sandbox, order: Order, delay_s: float | None) -> float:
    if order.job.window:
        return KEEP_S
    return sandbox.task_seconds * order.lasts if delay_s is None else delay_s


def _put(sandbox: Sandbox, order: Order) -> list[str]:
    """Put on the shelf what is to be made: the picture under the job's name, films under numbered ones."""
    names = []
    if order.recipe:
        names.append(sandbox.shelf.put(order.recipe, keep_s=KEEP_S, file_id=order.job.uuid))
    for number, film in enumerate(order.films):
        name = f"{order.job.uuid}-{number}"
        names.append(sandbox.shelf.put(film, keep_s=KEEP_S, form="mp4", file_id=name))
    return names


def _usage(order: Order) -> Usage:
    price = PRICES_NANO.get(order.sku, PRICE_NANO) if order.sku else 0
    return Usage(order.sku or "mj_modal", "call", order.units if order.sku else 0, price * order.units)

"""Reading what is submitted to Midjourney, strictly. Contract: contracts/midjourney.md, sections 0.2 and 2."""

import base64
import binascii
import re
import zlib
from dataclasses import dataclass, replace
from typing import Any

import anyio
from starlette.responses import Response

from yiapi_sandbox.books import Task
from yiapi_sandbox.checks import Fields, picture
from yiapi_sandbox.contract import Call, Invalid
from yiapi_sandbox.recipes import Grid, Scene, Source
from yiapi_sandbox.vendors import midjourney_pool as pool
from yiapi_sandbox.vendors import midjourney_prompts as prompts
from yiapi_sandbox.vendors.midjourney_buttons import Kind
from yiapi_sandbox.vendors.midjourney_jobs import IDS, KEEP_S, SLUG, Job, Order, begin, job_of, new_uuid, standing
from yiapi_sandbox.vendors.midjourney_pictures import SIDE
from yiapi_sandbox.vendors.midjourney_views import follow
from yiapi_sandbox.vendors.midjourney_words import (
    BAD_PICTURE,
    BAD_STATE,
    FAILED,
    IN_QUEUE,
    NO_PARENT,
    SUBMITTED,
    answered,
    banned,
    envelope_refused,
    missing,
    wrong,
)

PROMPT_MAX = 6000
PICTURES_MAX = 10
LINKS = ("http://", "https://")
PICTURE_FORMS = ("PNG", "JPEG", "WEBP", "GIF")
PICTURE_BYTES_MAX = 20 * 2**20
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CELL = re.compile(r"/0_([0-3])\.png$")
_DATA_URL = re.compile(r"data:image/[a-z0-9.+-]{1,20};base64,", re.IGNORECASE)


class Ask:
    """One submission: what all of them say, and the readers for what only some do.

    One that goes on from a job stays with its account, its bot and, unless told otherwise, its speed.
    """

    def __init__(self, call: Call, after: Job | None = None) -> None:
        self.call = call
        self.fields = Fields(call.json)
        self.id = IDS.draw(call.sandbox.clock.now())
        self.state = self.fields.text("state", longest=255)
        self.hook = _hook(self.fields)
        wanted = self.fields.object("accountFilter")
        self.account = pool.of(after.account) if after else pool.choose(wanted)
        self.mode = _mode(call) or pool.mode_of(wanted) or (after.mode if after else None)
        bot = self.fields.choice("botType", ("MID_JOURNEY", "NIJI_JOURNEY"), "MID_JOURNEY")
        self.bot = after.bot if after else bot

    @property
    def niji(self) -> bool:
        """Whether the other bot was asked."""
        return self.bot == "NIJI_JOURNEY"

    def job(self, action: str, kind: Kind, **more: Any) -> Job:
        """Start a job with what all submissions say."""
        common = {"account": self.account.id, "mode": self.mode or "FAST", "bot": self.bot, "state": self.state}
        return Job(uuid=new_uuid(), action=action, kind=kind, **(common | more))

    def prompt(self, name: str = "prompt") -> str:
        """Read a prompt that must be there; banned words are refused."""
        text = (self.fields.text(name, longest=PROMPT_MAX) or "").strip()
        if not text:
            raise missing(name)
        return self.clean(text)

    def clean(self, text: str) -> str:
        """Return a text without banned words. Raises the vendor's refusal."""
        if word := prompts.banned(text):
            raise banned(text, word)
        return text

    async def source(self, *names: str) -> Source | None:
        """Read a picture from the first of the fields that has one: a data URL, or a link."""
        text = next((found for name in names if (found := self.fields.text(name))), None)
        if text and text.startswith(LINKS):
            return linked(self.call, text)
        return await self.keep(text) if text else None

    async def keep(self, text: object) -> str:
        """Keep a picture that must be a data URL, and return its digest."""
        return self.call.sandbox.shelf.put_source(await decoded(text), keep_s=KEEP_S)

    async def kept(self, name: str) -> list[str]:
        """Keep an array of pictures."""
        return [await self.keep(text) for text in self.fields.list(name, PICTURES_MAX) or ()]

    def accept(self, order: Order) -> Response:
        """Let the order become a task, and say so."""
        call, sandbox = self.call, self.call.sandbox
        words = call.steering
        if words.fail == "task" and not order.fault:
            order = replace(order, fault=FAILED)
        ahead = begin(sandbox, self.id, order, hook=self.hook, base_url=call.base_url, delay_s=words.delay_s)
        follow(sandbox, self.id)
        return accepted(self.id, order.job.account, ahead)


def accepted(task_id: str, account: str, ahead: int | None) -> Response:
    """Say that a task was taken, and how many are before it if it waits."""
    if ahead is not None:
        return answered(22, f"{IN_QUEUE}{ahead}个任务", task_id, account, numberOfQueues=ahead)
    return answered(1, SUBMITTED, task_id, account)


@dataclass(frozen=True)
class Parent:
    """The task that a submission goes on from."""

    task: Task
    job: Job


def parent(call: Call, name: str = "taskId", *, task_id: str | None = None, status: str = "SUCCESS") -> Parent:
    """Return the task that is named. Raises the vendor's refusal when there is none, or it stands differently."""
    wanted = task_id or (Fields(call.json).text(name) or "").strip()
    if not wanted:
        raise missing(name)
    task = call.sandbox.books.task(SLUG, wanted)
    if task is None:
        raise envelope_refused(3, NO_PARENT)
    job = job_of(task)
    if standing(task, job, call.sandbox.clock.now())[0] != status:
        raise wrong(BAD_STATE)
    return Parent(task, job)


async def decoded(text: object) -> bytes:
    """Read a picture from a data URL. Raises the vendor's refusal of a bad one."""
    start = _DATA_URL.match(text) if isinstance(text, str) else None
    if start is None or not isinstance(text, str):
        raise wrong(BAD_PICTURE)
    try:
        content = base64.b64decode("".join(text[start.end() :].split()), validate=True)
        await anyio.to_thread.run_sync(
            lambda: picture(content, "base64", forms=PICTURE_FORMS, bytes_max=PICTURE_BYTES_MAX)
        )
    except (binascii.Error, ValueError, Invalid):
        raise wrong(BAD_PICTURE) from None
    return content


def linked(call: Call, link: str) -> Source:
    """Return the picture of a link of ours; nothing is fetched, so that any other is drawn after its words."""
    path = link.partition("://")[2].partition("?")[0].partition("#")[0]
    names = UUID.findall(path)
    known = call.sandbox.shelf.look_up(names[-1]) if names else None
    if known is not None and known.form == "png":
        cell = _CELL.search(path)
        return known.recipe.cells[int(cell[1])] if cell and isinstance(known.recipe, Grid) else known.recipe
    said = " ".join(re.findall(r"[A-Za-z]{2,}", path.partition("/")[2]))[:500]
    return Scene(said, zlib.crc32(link.encode()), SIDE, SIDE, finish="rich")


def _hook(fields: Fields) -> str | None:
    hook = (fields.text("notifyHook", longest=2000) or "").strip()
    if hook and not hook.startswith(LINKS):
        raise wrong("notifyHook参数错误")
    return hook or None


def _mode(call: Call) -> str | None:
    """Return the speed that the path names."""
    prefix, _, _ = call.operation.path.lstrip("/").partition("/")
    return prefix.removeprefix("mj-").upper() if prefix.startswith("mj-") else None

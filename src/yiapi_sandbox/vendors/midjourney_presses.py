"""Submissions that go on from a task: buttons, the older changes, and windows.

Contract: contracts/midjourney.md, sections 2.2 to 2.5.
"""

import re
from dataclasses import dataclass, replace

import msgspec
from starlette.responses import Response

from yiapi_sandbox.books import Task
from yiapi_sandbox.checks import Fields
from yiapi_sandbox.contract import Call
from yiapi_sandbox.recipes import Film
from yiapi_sandbox.vendors import midjourney_buttons as buttons
from yiapi_sandbox.vendors import midjourney_jobs as jobs
from yiapi_sandbox.vendors import midjourney_pictures as pictures
from yiapi_sandbox.vendors import midjourney_prompts as prompts
from yiapi_sandbox.vendors.midjourney_asks import PROMPT_MAX, Ask, Parent, accepted, parent
from yiapi_sandbox.vendors.midjourney_jobs import SLUG, Order
from yiapi_sandbox.vendors.midjourney_submits import describing, extending, faulty, filming, imagining, made
from yiapi_sandbox.vendors.midjourney_views import face, follow, view
from yiapi_sandbox.vendors.midjourney_words import (
    EXISTS,
    FAILED,
    NOT_CHANGEABLE,
    SUBMITTED,
    WINDOW,
    answered,
    missing,
    wrong,
)

CHANGEABLE = ("IMAGINE", "VARIATION", "REROLL", "BLEND")
CHANGES = {"UPSCALE": "upsample", "VARIATION": "variation", "REROLL": "reroll"}
LETTERS = {"U": "UPSCALE", "V": "VARIATION", "R": "REROLL"}
CANDIDATES = ("PicReader", "PromptAnalyzer")
UPSCALING = 0.25
"""How much of the usual time it takes to cut one picture out of four."""
_CONTENT = re.compile(r"(\S+) (?:([UV])([1-4])|(R))", re.IGNORECASE)


async def action(call: Call) -> Response:
    """POST action: presses a button of a finished task."""
    found = parent(call)
    custom_id = (Fields(call.json).text("customId", longest=200) or "").strip()
    if not custom_id:
        raise missing("customId")
    return await _press(call, found, custom_id)


async def change(call: Call) -> Response:
    """POST change: the older way to press U, V and the reroll."""
    fields = Fields(call.json)
    if not (fields.text("taskId") or "").strip():
        raise missing("taskId")
    wanted = fields.text("action")
    if wanted not in CHANGES:
        raise wrong("action参数错误")
    index = fields.whole("index", 1, 4)
    if index is None and wanted != "REROLL":
        raise wrong("index参数错误")
    return await _change(call, parent(call), wanted, index or 1)


async def simple_change(call: Call) -> Response:
    """POST simple-change: the same in one text, such as ``1744012345678123 U2``."""
    content = Fields(call.json).text("content") or ""
    if not content.strip():
        raise missing("content")
    found = _CONTENT.fullmatch(content)
    if found is None:
        raise wrong("content参数错误")
    letter, index = (found[2] or found[4]).upper(), int(found[3] or 1)
    return await _change(call, parent(call, task_id=found[1]), LETTERS[letter], index)


async def _change(call: Call, found: Parent, wanted: str, index: int) -> Response:
    if found.job.action not in CHANGEABLE or found.job.kind != "grid":
        raise wrong(NOT_CHANGEABLE)
    job = found.job.uuid
    number, end = (0, "::SOLO") if wanted == "REROLL" else (index, "")
    return await _press(call, found, f"MJ::JOB::{CHANGES[wanted]}::{number}::{job}{end}")


# Buttons


async def _press(call: Call, found: Parent, custom_id: str) -> Response:
    if custom_id not in {button["customId"] for button in buttons.below(face(found.job), ())}:
        raise wrong("customId参数错误")
    ask = Ask(call, found.job)
    strong, remix = ask.fields.flag("strong"), ask.fields.flag("enableRemix")
    ask.fields.flag("chooseSameChannel")
    press = buttons.read(custom_id)
    if press.verb == "BOOKMARK":
        return answered(1, SUBMITTED, found.task.id, ask.account.id)
    if press.verb == "upsample" and (before := _upscaled_before(call, found, press)):
        return _exists(call, before)
    pressing = _Pressing(ask, found, press, custom_id)
    if press.opens(remix=bool(remix) or ask.account.remix):
        response = _open(pressing)
    else:
        response = ask.accept(await _order(pressing, strong=bool(strong)))
    jobs.mark_used(call.sandbox, found.task, custom_id)
    return response


@dataclass(frozen=True)
class _Pressing:
    """A button that is pressed: by whom, below what."""

    ask: Ask
    found: Parent
    press: buttons.Press
    custom_id: str


def _upscaled_before(call: Call, found: Parent, press: buttons.Press) -> Task | None:
    """Return the task that has this picture already; one that failed may be tried again."""
    books, now = call.sandbox.books, call.sandbox.clock.now()
    before = books.task_by_reference(SLUG, _reference(found, press))
    if before and jobs.standing(before, jobs.job_of(before), now)[0] == "FAILURE":
        books.change_task(msgspec.structs.replace(before, reference=None))
        return None
    return before


def _reference(found: Parent, press: buttons.Press) -> str:
    return f"{found.task.id} U{press.index}"


def _exists(call: Call, before: Task) -> Response:
    shown = view(call.sandbox, before, call.base_url)
    found = {"status": shown["status"], "imageUrl": shown["imageUrl"]}
    return answered(21, EXISTS, before.id, shown["instanceId"], **found)


async def _order(pressing: _Pressing, text: str | None = None, mask: str = "", *, strong: bool = False) -> Order:
    """Order what a button makes, of other words if there are some."""
    ask, found, press = pressing.ask, pressing.found, pressing.press
    more = {"parent": found.task.id, "custom_id": pressing.custom_id}
    match press.verb:
        case "PicReader" | "PromptAnalyzer" if press.index == "all":
            return _all(pressing)
        case "PicReader" | "PromptAnalyzer":
            return replace(imagining(ask, text or "", [], remix=True, **more), sku="mj_pic_reader")
        case "Picread":
            order = await describing(ask, made(ask, found), found.job.seen, turn=1)
            return replace(order, job=msgspec.structs.replace(order.job, **more))
        case "animate_high" | "animate_low":
            said = {"prompt": found.job.prompt, "final": found.job.final, "description": _command(pressing)}
            motion = pictures.Motion(press.verb == "animate_high")
            return filming(ask, made(ask, found), motion, **said, **more)
        case "animate_high_extend" | "animate_low_extend":
            return extending(ask, found, 0, description=_command(pressing), custom_id=pressing.custom_id)
        case "video_virtual_upscale":
            return _one_film(pressing)
    return _drawing(pressing, text, pictures.Wish(_before(found), mask, strong))


def _drawing(pressing: _Pressing, text: str | None, wish: pictures.Wish) -> Order:
    ask, found, press = pressing.ask, pressing.found, pressing.press
    before = wish.prompt
    prompt = prompts.parse(text, niji=ask.niji) if text else before
    seed = jobs.seed_of(ask.id) if prompt.seed is None else prompt.seed
    recipe = pictures.pressed(press, pictures.Canvas(made(ask, found), before), seed, replace(wish, prompt=prompt))
    is_upsample = press.verb == "upsample"
    job = ask.job(
        press.action,
        "single" if is_upsample else "large" if press.is_enlarging else "grid",
        prompt=text or found.job.prompt,
        final=text or found.job.final,
        description=f"/imagine {text}" if text else _command(pressing),
        seed=seed,
        version=found.job.version,
        size=pictures.size_of(recipe),
        parent=found.task.id,
        custom_id=pressing.custom_id,
        remix=text is not None,
    )
    order = Order(job=job, sku=press.sku, recipe=recipe, lasts=UPSCALING if is_upsample else 1.0)
    order = replace(order, reference=_reference(found, press) if is_upsample else None)
    return faulty(order, prompt.fault if text else None)


def _all(pressing: _Pressing) -> Order:
    """Imagine all candidates of a description at once: one picture of each."""
    ask, found = pressing.ask, pressing.found
    words = [prompts.parse(candidate, niji=ask.niji) for candidate in found.job.candidates]
    seed = jobs.seed_of(ask.id)
    grid = pictures.of_four(lambda number: pictures.imagined(words[number], seed).cells[number])
    order = imagining(ask, found.job.candidates[0], [], parent=found.task.id, custom_id=pressing.custom_id)
    return replace(order, sku="mj_pic_reader", units=len(words), recipe=grid)


def _one_film(pressing: _Pressing) -> Order:
    ask, found, number = pressing.ask, pressing.found, int(pressing.press.index) - 1
    film = made(ask, found, f"-{number}")
    known = {"prompt": found.job.prompt, "final": found.job.final, "parent": found.task.id}
    job = ask.job("VIDEO", "film", films=1, description=_command(pressing), custom_id=pressing.custom_id, **known)
    films = [pictures.enlarged(film)] if isinstance(film, Film) else []
    return Order(job=job, sku=pressing.press.sku, recipe=made(ask, found), films=films, lasts=UPSCALING)


def _before(found: Parent) -> prompts.Prompt:
    return prompts.parse(found.job.final or "", niji=found.job.bot == "NIJI_JOURNEY")


def _command(pressing: _Pressing) -> str:
    """Write what was done as a command: ``/up 1744012345678123 U2``."""
    short = {"upsample": "U", "variation": "V", "reroll": "R"}.get(pressing.press.verb)
    if short:
        name = short if short == "R" else f"{short}{pressing.press.index}"
    else:
        rows = buttons.below(face(pressing.found.job), ())
        button = next(row for row in rows if row["customId"] == pressing.custom_id)
        name = button["label"] or pressing.press.verb
    return f"/up {pressing.found.task.id} {name}"


# Windows


def _open(pressing: _Pressing) -> Response:
    """Keep a task that waits for its window, and answer with its id."""
    ask, found, press = pressing.ask, pressing.found, pressing.press
    job = found.job
    candidate = job.candidates[int(press.index) - 1] if press.verb in CANDIDATES else None
    text = candidate or job.final or ""
    window = ask.job(
        press.action,
        "grid",
        prompt=text,
        final=text,
        description=WINDOW,
        version=job.version,
        parent=found.task.id,
        custom_id=pressing.custom_id,
        window=True,
    )
    jobs.begin(ask.call.sandbox, ask.id, Order(job=window), hook=ask.hook, base_url=ask.call.base_url, delay_s=None)
    follow(ask.call.sandbox, ask.id)
    return answered(21, WINDOW, ask.id, ask.account.id, finalPrompt=text, remix=True)


async def modal(call: Call) -> Response:
    """POST modal: confirms a window, with the words and the mask that were put into it."""
    ask = Ask(call, parent(call, status="MODAL").job)
    text = (ask.fields.text("prompt", longest=PROMPT_MAX) or "").strip()
    mask = ask.fields.text("maskBase64")
    digest = await ask.keep(mask) if mask else ""
    window = parent(call, status="MODAL")  # the picture took a moment, in which somebody else may have confirmed it
    press = buttons.read(window.job.custom_id or "")
    text = ask.clean(text or window.job.final or "")
    if not text:
        raise missing("prompt")
    if press.verb == "Inpaint" and not digest:
        raise missing("maskBase64")
    ask.id = window.task.id
    ask.state = ask.state or window.job.state
    opener = parent(call, task_id=window.job.parent)
    order = await _order(_Pressing(ask, opener, press, window.job.custom_id or ""), text, digest)
    job = msgspec.structs.replace(order.job, uuid=window.job.uuid, remix=True)
    fault = order.fault or (FAILED if call.steering.fail == "task" else None)
    sku = order.sku if press.verb in CANDIDATES else "mj_modal"
    order = replace(order, job=job, fault=fault, sku=sku, reference=None)
    ahead = jobs.confirm(call.sandbox, window.task, order, hook=ask.hook, delay_s=call.steering.delay_s)
    follow(call.sandbox, window.task.id)
    return accepted(window.task.id, job.account, ahead)

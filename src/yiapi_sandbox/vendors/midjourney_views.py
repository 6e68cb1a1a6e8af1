"""How a Midjourney task is shown: to whoever asks, and to its hook at every change.

Contract: contracts/midjourney.md, sections 1, 4 and 6.
"""

import re
from collections.abc import Sequence
from typing import Any

from starlette.responses import PlainTextResponse, Response

from yiapi_sandbox.books import Task
from yiapi_sandbox.contract import Call
from yiapi_sandbox.recipes import Grid, Preview, Result
from yiapi_sandbox.sandbox import Sandbox
from yiapi_sandbox.vendors import midjourney_buttons as buttons
from yiapi_sandbox.vendors.midjourney_jobs import FINAL, SLUG, Job, job_of, next_change, standing
from yiapi_sandbox.vendors.midjourney_prompts import chinese

LINK_S = 86_400
_SLUG = re.compile(r"[^a-z0-9]+")
_PREVIEW = re.compile(r".*_([0-9a-f-]{36})_grid_(\d{1,2})\.webp")
_CELL = re.compile(r"0_([0-3])\.png")
_FILM = re.compile(r"([0-3])\.mp4")


def view(sandbox: Sandbox, task: Task, base_url: str) -> dict[str, Any]:
    """Show a task as it stands now."""
    job, now = job_of(task), sandbox.clock.now()
    status, percent = standing(task, job, now)
    done = status == "SUCCESS"
    began = status not in {"NOT_START", "MODAL"}
    # What was derived from the classic proxy leaves the progress of a failure empty.
    progress = "" if status in {"FAILURE", "CANCEL"} else f"{percent}%"
    return {
        "id": task.id,
        "action": job.action,
        "botType": job.bot,
        "status": status,
        "prompt": job.prompt,
        "promptEn": job.final if job.kind == "description" and done else job.prompt,
        "description": f"{job.description}\n{job.final}" if job.kind == "analysis" and done else job.description,
        "state": job.state,
        "submitTime": round(task.created_at * 1000),
        "startTime": round(task.begins_at * 1000) if began else None,
        "finishTime": round(task.ends_at * 1000) if status in FINAL else None,
        "progress": progress,
        "imageUrl": _image(sandbox, task, job, (status, percent), base_url),
        "failReason": task.failure if status in {"FAILURE", "CANCEL"} else None,
        "buttons": buttons.below(face(job), job.used) if done else [],
        "properties": _properties(task, job, done),
        "mode": job.mode,
        "parentId": job.parent,
        "customId": job.custom_id,
        "jobId": job.uuid,
        "seed": str(job.seed) if job.seed is not None and done else None,
        "instanceId": job.account,
        "messageId": _message(job.uuid),
        "nonce": f"{task.id}000",
    } | (_more(sandbox, task, job, base_url) if done else {})


def face(job: Job) -> buttons.Face:
    """Return what a job's buttons depend on."""
    return buttons.Face(job.kind, job.uuid, job.version, job.size[0] == job.size[1], len(job.candidates))


def _properties(task: Task, job: Job, done: bool) -> dict[str, Any]:
    final = job.final if done or job.kind not in {"description", "analysis"} else job.prompt
    found = {
        "finalPrompt": final,
        "finalZhPrompt": chinese(final or ""),
        "notifyHook": task.callback_url or "",
        "botType": job.bot,
        "discordInstanceId": job.account,
        "discordChannelId": job.account,
        "messageId": _message(job.uuid),
        "messageHash": job.uuid,
        "flags": 0,
        "nonce": f"{task.id}000",
    }
    return found | {"remix": True} if job.remix or job.window else found


def _more(sandbox: Sandbox, task: Task, job: Job, base_url: str) -> dict[str, Any]:
    """Show the single pictures of a grid, and films, as newer proxies do."""
    times = 2 if job.kind == "grid" else 1
    more: dict[str, Any] = {"width": job.size[0] * times, "height": job.size[1] * times}
    cdn, signed = f"{base_url}/cdn/{job.uuid}", query(sandbox, job.uuid, task.ends_at)
    if job.kind == "grid":
        links = [f"{cdn}/0_{number}.png?{signed}" for number in range(4)]
        more["imageUrls"] = [{"url": link, "thumbnail": link} for link in links]
    if job.films:
        links = [f"{cdn}/{number}.mp4?{signed}" for number in range(job.films)]
        cover = _image(sandbox, task, job, ("SUCCESS", 100), base_url)
        more |= {"videoUrl": links[0], "videoUrls": [{"url": link, "thumbnail": cover} for link in links]}
    return more


# Links


def _image(sandbox: Sandbox, task: Task, job: Job, stands: tuple[str, int], base_url: str) -> str | None:
    status, percent = stands
    if status == "SUCCESS":
        return job.seen or (_attachment(sandbox, task, job, base_url, ".png") if task.files else None)
    if status == "IN_PROGRESS" and percent and task.files and not job.seen:
        return _attachment(sandbox, task, job, base_url, f"_grid_{percent}.webp")
    return None


def _attachment(sandbox: Sandbox, task: Task, job: Job, base_url: str, ending: str) -> str:
    words = _SLUG.sub("_", (job.prompt or job.action).lower()[:60]).strip("_") or "picture"
    at = f"{base_url}/attachments/{job.account}/{_message(job.uuid)}"
    return f"{at}/sandbox_{words}_{job.uuid}{ending}?{query(sandbox, job.uuid, task.ends_at)}"


def uploaded(sandbox: Sandbox, base_url: str, account: str, file_id: str) -> str:
    """Return a link to a picture that was only kept, as a chat's server gives it."""
    at = f"{base_url}/attachments/{account}/{_message(file_id)}"
    return f"{at}/upload_{file_id}.png?{query(sandbox, file_id, sandbox.clock.now())}"


def query(sandbox: Sandbox, file_id: str, issued: float) -> str:
    """Return the signature of a link, which is good for a day."""
    expires = int(issued) + LINK_S
    return f"ex={expires:x}&is={int(issued):x}&hm={sandbox.shelf.sign(file_id, expires)}"


def _message(job_uuid: str) -> str:
    return f"1299{int(job_uuid[:8] + job_uuid[9:13], 16):015d}"


async def served(call: Call) -> Response:
    """GET a picture or a preview of one."""
    name = call.parameters["name"]
    if found := _PREVIEW.fullmatch(name):
        return await _give(call, found[1], preview=int(found[2]))
    return await _give(call, name.rpartition("_")[2].removesuffix(".png"))


async def served_part(call: Call) -> Response:
    """GET one of the four pictures of a grid, or a film."""
    job_uuid, name = call.parameters["job"], call.parameters["name"]
    if found := _CELL.fullmatch(name):
        return await _give(call, job_uuid, cell=int(found[1]))
    if found := _FILM.fullmatch(name):
        return await _give(call, job_uuid, film=int(found[1]))
    return PlainTextResponse("Not found", 404)


async def _give(
    call: Call, job_uuid: str, *, preview: int | None = None, cell: int | None = None, film: int | None = None
) -> Response:
    asked, shelf = call.request.query_params, call.sandbox.shelf
    try:
        expires = str(int(asked.get("ex", ""), 16))
    except ValueError:
        return PlainTextResponse("Invalid link", 403)
    if refusal := shelf.refuse(job_uuid, expires, asked.get("hm", "")):
        return refusal
    name = job_uuid if film is None else f"{job_uuid}-{film}"
    result = shelf.look_up(name)
    if result is None:
        return PlainTextResponse("Not found", 404)
    if preview is not None:
        name, result = f"{name}~{preview}", Result(Preview(result.recipe, preview), "webp")
    elif cell is not None and isinstance(result.recipe, Grid):
        name, result = f"{name}~{cell}.", Result(result.recipe.cells[cell])
    return await shelf.give(call.request, name, result)


# Hooks


def follow(sandbox: Sandbox, task_id: str) -> None:
    """Tell the hook of a task, if it has one, of how it stands and of every change that is to come."""
    task = sandbox.books.task(SLUG, task_id)
    if task and task.callback_url:
        sandbox.callbacks.start(_report(sandbox, task_id), f"{SLUG} {task_id}")


async def _report(sandbox: Sandbox, task_id: str) -> None:
    told = None
    while task := sandbox.books.task(SLUG, task_id):
        shown = view(sandbox, task, task.base_url)
        stands = shown["status"], shown["progress"]
        if stands != told:  # a sleeper may wake a moment early
            await sandbox.callbacks.tell(task.callback_url or "", shown)
        told = stands
        if shown["status"] in {*FINAL, "MODAL"}:
            return
        now = sandbox.clock.now()
        await sandbox.clock.sleep(next_change(task, now) - now)


def follow_again(sandbox: Sandbox) -> None:
    """Go on telling of the tasks that were under way."""
    for task in sandbox.books.open_tasks(SLUG, sandbox.clock.now()):
        follow(sandbox, task.id)


def views(sandbox: Sandbox, tasks: Sequence[Task], base_url: str) -> list[dict[str, Any]]:
    """Show several tasks."""
    return [view(sandbox, task, base_url) for task in tasks]

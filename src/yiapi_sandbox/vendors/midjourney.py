"""Midjourney, as a proxy of the ``plus`` family speaks: pictures and films, asynchronously, and InsightFace beside it.

Contract: contracts/midjourney.md. Submissions are in ``midjourney_submits`` and ``midjourney_presses``.
"""

import hmac
from collections.abc import Sequence

from starlette.responses import Response

from yiapi_sandbox.books import Task
from yiapi_sandbox.checks import Fields
from yiapi_sandbox.contract import Call, Handler, Invalid, Operation, Refusal, Vendor, Word
from yiapi_sandbox.steering import texts
from yiapi_sandbox.vendors import midjourney_jobs as jobs
from yiapi_sandbox.vendors import midjourney_presses as presses
from yiapi_sandbox.vendors import midjourney_submits as submits
from yiapi_sandbox.vendors import midjourney_views as views
from yiapi_sandbox.vendors import midjourney_words as words
from yiapi_sandbox.vendors.midjourney_jobs import SLUG

SPEEDS = ("", "/mj-fast", "/mj-relax", "/mj-turbo")
LISTED_MAX = 100
"""The newest so many are listed."""

SUBMISSIONS: dict[str, Handler] = {
    "submit/imagine": submits.imagine,
    "submit/change": presses.change,
    "submit/simple-change": presses.simple_change,
    "submit/action": presses.action,
    "submit/modal": presses.modal,
    "submit/blend": submits.blend,
    "submit/describe": submits.describe,
    "submit/shorten": submits.shorten,
    "submit/upload-discord-images": submits.upload,
    "submit/edits": submits.edits,
    "submit/edit": submits.edits,
    "submit/retexture": submits.retexture,
    "submit/show": submits.show,
    "submit/video": submits.video,
    "insight-face/swap": submits.swap,
}


# Tasks


async def fetch(call: Call) -> Response:
    """GET one task; of an unknown one nothing is said."""
    task = call.sandbox.books.task(SLUG, call.parameters["id"])
    return words.shown(views.view(call.sandbox, task, call.base_url)) if task else Response(None, 200)


async def list_by_ids(call: Call) -> Response:
    """POST list-by-condition: the tasks of some ids, without those that nobody knows."""
    ids = Fields(call.json).list("ids") or []
    found = [call.sandbox.books.task(SLUG, wanted) for wanted in ids if isinstance(wanted, str)]
    return words.shown(views.views(call.sandbox, [task for task in found if task], call.base_url))


async def listing(call: Call) -> Response:
    """GET the newest tasks, newest first."""
    return words.shown(views.views(call.sandbox, call.sandbox.books.tasks(SLUG, LISTED_MAX), call.base_url))


async def queue(call: Call) -> Response:
    """GET the tasks that wait for an account, oldest first."""
    now = call.sandbox.clock.now()
    waiting = [task for task in call.sandbox.books.open_tasks(SLUG, now) if task.begins_at > now]
    return words.shown(views.views(call.sandbox, waiting, call.base_url))


async def image_seed(call: Call) -> Response:
    """GET the seed of a finished task."""
    task = _known(call)
    job = jobs.job_of(task)
    if jobs.standing(task, job, call.sandbox.clock.now())[0] != "SUCCESS":
        raise words.wrong(words.BAD_STATE)
    if job.seed is None:
        raise words.envelope_refused(3, words.NO_SEED)
    return words.answered(1, words.DONE, str(job.seed))


async def cancel(call: Call) -> Response:
    """POST cancel: ends a task that has not ended."""
    task = _known(call)
    if not jobs.cancel(call.sandbox, task):
        raise words.wrong(words.BAD_STATE)
    views.follow(call.sandbox, task.id)
    return words.answered(1, words.CANCELLED_WELL, task.id)


def _known(call: Call) -> Task:
    task = call.sandbox.books.task(SLUG, call.parameters["id"])
    if task is None:
        raise words.envelope_refused(3, words.NO_PARENT)
    return task


# Keys and refusals


def authenticate(call: Call) -> None:
    """Check ``mj-api-secret``; a wrong one is answered without a word."""
    given = call.request.headers.get("mj-api-secret", "")
    if not hmac.compare_digest(given.encode(), call.sandbox.key.encode()):
        raise Refusal(401, None)


def refuse(word: Word, call: Call) -> Refusal:
    """Say what a steering word asks for in the proxy's words."""
    match word:
        case "content":
            text = next((text for text in texts([call.json]) if "#fail=content" in text), "")
            return words.banned(text, "#fail=content")
        case "invalid":
            return words.wrong("prompt参数错误")
        case "rate":
            return Refusal(429, {"code": 30, "description": words.SATURATED, "type": "upstream_error"})
        case "credit":
            return words.envelope_refused(3, words.NO_ACCOUNT)
        case "auth":
            return Refusal(401, None)
    return words.envelope_refused(9, words.BROKEN, status=500)


def invalid(fault: Invalid, call: Call) -> Refusal:  # noqa: ARG001 - every operation words it alike
    """Word a bad request: a field in the envelope, a body that is none with its status as well."""
    if fault.field is None:
        return words.envelope_refused(4, "请求参数错误", status=413 if fault.problem == "size" else 400)
    return words.wrong(f"{fault.field}参数错误")


def unknown_path(method: str, path: str, other_method: bool) -> Refusal:  # noqa: ARG001
    """Answer a path that is not there, as the framework below the proxy does."""
    status, error = (405, "Method Not Allowed") if other_method else (404, "Not Found")
    return Refusal(status, {"status": status, "error": error, "path": path[:200]})


def _operations() -> Sequence[Operation]:
    found = [
        Operation("GET", "/attachments/{channel}/{message}/{name}", views.served, kind="link"),
        Operation("GET", "/cdn/{job}/{name}", views.served_part, kind="link"),
    ]
    for speed in SPEEDS:
        base = f"{speed}/mj"
        found += [
            Operation("POST", f"{base}/{path}", handler, kind="task", body="json")
            for path, handler in SUBMISSIONS.items()
        ]
        found += [
            Operation("POST", f"{base}/task/list-by-condition", list_by_ids, kind="query", body="json"),
            Operation("POST", f"{base}/task/list-by-ids", list_by_ids, kind="query", body="json"),
            Operation("GET", f"{base}/task/list", listing, kind="query"),
            Operation("GET", f"{base}/task/queue", queue, kind="query"),
            Operation("GET", f"{base}/task/{{id}}/fetch", fetch, kind="query"),
            Operation("GET", f"{base}/task/{{id}}/image-seed", image_seed, kind="query"),
            Operation("POST", f"{base}/task/{{id}}/cancel", cancel, kind="query"),
        ]
    return found


VENDOR = Vendor(
    slug=SLUG,
    title="Midjourney",
    operations=_operations(),
    authenticate=authenticate,
    refuse=refuse,
    invalid=invalid,
    unknown_path=unknown_path,
    resume=views.follow_again,
    body_bytes_max=96 * 2**20,
)

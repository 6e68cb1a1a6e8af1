"""Kling: pictures and films, asynchronously. Contract: contracts/kling.md."""

import base64
import binascii
import hashlib
import hmac
import secrets
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from starlette.responses import JSONResponse, Response

from yiapi_sandbox.books import ReferenceTaken, Task
from yiapi_sandbox.checks import Fields
from yiapi_sandbox.contract import Call, Handler, Invalid, Operation, Refusal, Vendor, Word
from yiapi_sandbox.sandbox import Sandbox
from yiapi_sandbox.vendors import kling_orders as orders

ISSUER = "sandbox"
"""The access key that the twin knows; its secret is the sandbox's key."""

SUBMITTED_PART = 0.25
"""For this part of its time a task is only submitted."""

FAILURE = "Generation failed: the sandbox was asked to fail this task"

KINDS: dict[str, Callable[[Call], Awaitable[orders.Order]]] = {
    "/v1/images/generations": orders.image,
    "/v1/videos/text2video": orders.text2video,
    "/v1/videos/image2video": orders.image2video,
    "/v1/videos/video-extend": orders.extend,
    "/v1/images/kolors-virtual-try-on": orders.try_on,
}


def submit(path: str) -> Handler:
    """Return the handler that takes a task of one kind."""

    async def handler(call: Call) -> Response:
        fields = Fields(call.json)
        reference = fields.text("external_task_id", longest=200) or None
        callback_url = fields.text("callback_url", longest=2000) or None
        if callback_url and not callback_url.startswith(("http://", "https://")):
            raise fields.wrong("callback_url", "value", "callback_url must be a URL")
        order = await KINDS[path](call)
        task = _task(call, path, order, reference=reference, callback_url=callback_url)
        try:
            call.sandbox.books.add_task(task)
        except ReferenceTaken:
            message = f"external_task_id {reference} already exists"
            raise fields.wrong("external_task_id", "conflict", message) from None
        if callback_url:
            call.sandbox.callbacks.start(_report(call.sandbox, task))
        view = _view(call.sandbox, task, call.base_url)
        names = ("task_id", "task_info", "task_status", "created_at", "updated_at")
        return _envelope({name: view[name] for name in names})

    return handler


def query(path: str) -> Handler:
    """Return the handler that shows one task, by its id or its caller's reference."""

    async def handler(call: Call) -> Response:
        wanted = call.parameters["id"]
        books = call.sandbox.books
        task = books.task("kling", wanted) or books.task_by_reference("kling", wanted)
        if task is None or task.operation != path:
            raise Refusal(404, _fault(1203, f"task {wanted[:100]} not found"))
        return _envelope(_view(call.sandbox, task, call.base_url))

    return handler


def listing(path: str) -> Handler:
    """Return the handler that lists the tasks of one kind, newest first."""

    async def handler(call: Call) -> Response:
        asked = Fields(dict(call.request.query_params), is_form=True)
        page, size = asked.whole("pageNum", 1, 1000) or 1, asked.whole("pageSize", 1, 500) or 30
        tasks = [task for task in call.sandbox.books.tasks("kling") if task.operation == path]
        chosen = tasks[(page - 1) * size : page * size]
        return _envelope([_view(call.sandbox, task, call.base_url) for task in chosen])

    return handler


async def link(call: Call) -> Response:
    """GET a picture or a film by its link."""
    return await call.sandbox.shelf.serve(call.request, call.parameters["file"])


# Tasks


def _task(call: Call, path: str, order: orders.Order, *, reference: str | None, callback_url: str | None) -> Task:
    now, words = call.sandbox.clock.now(), call.steering
    lasts = call.sandbox.task_seconds if words.delay_s is None else words.delay_s
    keep = [call.sandbox.shelf.put(recipe, keep_s=orders.KEEP_S, form=order.form) for recipe in order.recipes]
    return Task(
        vendor="kling",
        id=str(secrets.randbelow(9 * 10**17) + 10**17),
        operation=path,
        created_at=now,
        begins_at=now + lasts * SUBMITTED_PART,
        ends_at=now + lasts,
        reference=reference,
        failure=FAILURE if words.fail == "task" else None,
        files=keep,
        usage=order.usage,
        callback_url=callback_url,
        base_url=call.base_url,
        detail=order.detail | {"form": order.form, "units": f"{order.units:g}"},
    )


def _view(sandbox: Sandbox, task: Task, base_url: str) -> dict[str, Any]:
    """Show a task as it stands now."""
    now = sandbox.clock.now()
    status, since = _status(task, now)
    info: dict[str, Any] = {"external_task_id": task.reference} if task.reference else {}
    if parent := task.detail.get("parent"):
        info["parent_video"] = parent | {"url": _link(sandbox, task, parent["id"], base_url)}
    view = {
        "task_id": task.id,
        "task_status": status,
        "task_status_msg": (task.failure or "") if status == "failed" else "",
        "task_info": info,
        "created_at": round(task.created_at * 1000),
        "updated_at": round(since * 1000),
    }
    if status != "succeed":
        return view
    more = {"watermark_info": {"enabled": False}, "final_unit_deduction": task.detail["units"]}
    return view | more | {"task_result": _result(sandbox, task, base_url)}


def _status(task: Task, now: float) -> tuple[str, float]:
    if now >= task.ends_at:
        return ("failed" if task.failure else "succeed"), task.ends_at
    return ("processing", task.begins_at) if now >= task.begins_at else ("submitted", task.created_at)


def _result(sandbox: Sandbox, task: Task, base_url: str) -> dict[str, Any]:
    links = [_link(sandbox, task, file_id, base_url) for file_id in task.files]
    if task.detail["form"] == "png":
        return {"images": [{"index": index, "url": url} for index, url in enumerate(links)]}
    duration = task.detail["duration"]
    return {"videos": [{"id": task.files[0], "url": links[0], "watermark_url": "", "duration": duration}]}


def _link(sandbox: Sandbox, task: Task, file_id: str, base_url: str) -> str:
    expires = int(task.ends_at) + orders.KEEP_S
    name = f"out.{task.detail['form']}"
    return f"{base_url}/bs2/{file_id}/{name}?exp={expires}&sig={sandbox.shelf.sign(file_id, expires)}"


async def _report(sandbox: Sandbox, task: Task) -> None:
    """Call back at each change that is still to come: the flat task, without an envelope."""
    for moment in (task.begins_at, task.ends_at):
        wait_s = moment - sandbox.clock.now()
        if wait_s < 0:
            continue
        await sandbox.clock.sleep(wait_s)
        view = _view(sandbox, task, task.base_url)
        view.pop("watermark_info", None)
        await sandbox.callbacks.tell(task.callback_url or "", {"task_result": {}} | view)


def resume(sandbox: Sandbox) -> None:
    """Go on calling back for the tasks that were under way."""
    for task in sandbox.books.tasks("kling"):
        if task.callback_url and task.ends_at > sandbox.clock.now():
            sandbox.callbacks.start(_report(sandbox, task))


# Keys and refusals


def _envelope(data: Any) -> Response:
    return JSONResponse({"code": 0, "message": "SUCCEED", "request_id": _request_id(), "data": data})


def _fault(code: int, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "request_id": _request_id()}


def _request_id() -> str:
    return str(uuid.uuid4())


def authenticate(call: Call) -> None:
    """Check the JSON Web Token: HS256, our issuer, signed with the key, and its time."""
    header = call.request.headers.get("authorization")
    if not header:
        raise Refusal(401, _fault(1001, "Authorization is empty"))
    claims = _claims(header, call.sandbox.key)
    expires, begins = claims.get("exp"), claims.get("nbf", 0)
    if not all(isinstance(at, int | float) and not isinstance(at, bool) for at in (expires, begins)):
        raise refuse("auth", call)
    now = call.sandbox.clock.now()
    if begins > now:
        raise Refusal(401, _fault(1003, "Authorization is not valid yet"))
    if expires is None or expires <= now:
        raise Refusal(401, _fault(1004, "Authorization is expired"))


def _claims(header: str, key: str) -> dict[str, Any]:
    bad = Refusal(401, _fault(1002, "Authorization is invalid"))
    scheme, _, token = header.partition(" ")
    head, _, rest = token.partition(".")
    payload, _, signature = rest.partition(".")
    try:
        if scheme != "Bearer" or _decoded(head).get("alg") != "HS256":
            raise bad
        claims, given = _decoded(payload), _bytes(signature)
    except (ValueError, msgspec.DecodeError, RecursionError):
        raise bad from None
    wanted = hmac.new(key.encode(), f"{head}.{payload}".encode(), hashlib.sha256).digest()
    if not hmac.compare_digest(given, wanted) or claims.get("iss") != ISSUER:
        raise Refusal(401, _fault(1000, "Authentication failed"))
    return claims


def _decoded(part: str) -> dict[str, Any]:
    value = msgspec.json.decode(_bytes(part))
    if not isinstance(value, dict):
        raise binascii.Error("not an object")
    return value


def _bytes(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)


def refuse(word: Word, call: Call) -> Refusal:  # noqa: ARG001 - every operation words it alike
    """Say what a steering word asks for in Kling's words."""
    status, code, message = {
        "content": (400, 1301, "The parameter is blocked by the content safety policy"),
        "invalid": (400, 1201, "prompt value is invalid"),
        "rate": (429, 1302, "too many requests"),
        "credit": (429, 1102, "Account balance not enough"),
        "auth": (401, 1002, "Authorization is invalid"),
        "500": (500, 5000, "internal error"),
    }[word]
    return Refusal(status, _fault(code, message))


def invalid(fault: Invalid, call: Call) -> Refusal:  # noqa: ARG001
    """Word a bad request: 1200 for a body, 1203 for what is not there, 1201 for a value."""
    if fault.problem == "not_found":
        return Refusal(404, _fault(1203, fault.message))
    return Refusal(400, _fault(1200 if fault.problem == "body" else 1201, fault.message))


def unknown_path(method: str, path: str, other_method: bool) -> Refusal:
    """Answer a path or method that is not there."""
    if other_method:
        return Refusal(404, _fault(1202, f"method {method[:20]} is not supported"))
    return Refusal(404, _fault(1203, f"{path[:200]} does not exist"))


def _operations() -> Sequence[Operation]:
    found = [Operation("GET", "/bs2/{file}/{name}", link, kind="link")]
    for path in KINDS:
        found.append(Operation("POST", path, submit(path), kind="task", body="json"))
        found.append(Operation("GET", path, listing(path), kind="query"))
        found.append(Operation("GET", f"{path}/{{id}}", query(path), kind="query"))
    return found


VENDOR = Vendor(
    slug="kling",
    title="Kling",
    operations=_operations(),
    authenticate=authenticate,
    refuse=refuse,
    invalid=invalid,
    unknown_path=unknown_path,
    resume=resume,
)

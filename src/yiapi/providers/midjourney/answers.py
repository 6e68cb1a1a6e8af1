"""What comes down: receipts of submissions, refusals by code, and tasks; nothing of the account they were made with."""

from dataclasses import replace
from typing import Any

from yiapi.providers.contract import (
    Batch,
    Cancel,
    Fault,
    FaultShape,
    Receipt,
    Status,
    TaskShape,
    TaskView,
    Window,
)

TAKEN = frozenset({1, 21, 22})
WINDOW_TEXT = "Waiting for window confirm"
WINDOW_S = 15 * 60
OF_THE_ACCOUNT = ("discord", "message", "instance", "progressMessage", "referencedMessage")
NEVER_SHOWN = frozenset({"nonce", "flags", "userId", "clientIp", "notifyHook", "isWhite", "imageUrl"})
"""``imageUrl`` is the vendor's link; ours is in the task."""


# Receipts


def told(answer: Any, task_id: str) -> Any:
    """Answer a submission: queued is told as accepted, and 21 stays only where a window is to be filled."""
    if answer is None:
        return {"code": 1, "description": "提交成功", "result": task_id, "properties": {}}
    code = 21 if opens_window(answer) else 1
    return {
        "code": code,
        "description": answer.get("description"),
        "result": task_id,
        "properties": shareable(answer.get("properties")),
    }


def told_again(told: Any, shown: Any) -> Any:
    """Add our link to the picture that is there already."""
    if shown["imageUrl"] is None:
        return told
    return told | {"properties": told["properties"] | {"status": shown["status"], "imageUrl": shown["imageUrl"]}}


def shareable(properties: Any) -> dict[str, Any]:
    """Leave out what is about the vendor's account."""
    said = properties.items() if isinstance(properties, dict) else ()
    return {name: value for name, value in said if not name.startswith(OF_THE_ACCOUNT) and name not in NEVER_SHOWN}


def opens_window(answer: Any) -> bool:
    """Whether a submission opened a window, and was not just done before."""
    if answer.get("code") != 21:
        return False
    properties = answer.get("properties")
    has_remix = isinstance(properties, dict) and properties.get("remix") is True
    return has_remix or answer.get("description") == WINDOW_TEXT


def noted(answer: Any, asked: Any) -> Any:
    """Remember how the vendor took it, for who asks before we have."""
    if not opens_window(answer):
        return asked | {"status": "NOT_START" if answer.get("code") == 22 else "SUBMITTED"}
    final = shareable(answer.get("properties")).get("finalPrompt")
    return asked | {"description": WINDOW_TEXT, "finalPrompt": final, "prompt": asked.get("prompt") or final}


def finished(answer: Any) -> Any:
    """Return the task that an answer says is there already, with its picture."""
    properties = answer.get("properties")
    if answer.get("code") != 21 or not isinstance(properties, dict) or properties.get("status") != "SUCCESS":
        return None
    picture = properties.get("imageUrl")
    return {"status": "SUCCESS", "progress": "100%", "imageUrl": picture} if isinstance(picture, str) else None


def waiting(answer: Any) -> int | None:
    """Return how many tasks are before this one."""
    properties = answer.get("properties")
    count = properties.get("numberOfQueues") if isinstance(properties, dict) else None
    return count if isinstance(count, int) else None


# Tasks


STATUSES = {
    "NOT_START": Status.QUEUED,
    "MODAL": Status.QUEUED,
    "SUBMITTED": Status.RUNNING,
    "IN_PROGRESS": Status.RUNNING,
    "SUCCESS": Status.SUCCEEDED,
    "FAILURE": Status.FAILED,
    "CANCEL": Status.CANCELLED,
}
WORDS = {
    Status.QUEUED: "NOT_START",
    Status.SUBMITTING: "SUBMITTED",
    Status.UNKNOWN: "SUBMITTED",
    Status.RUNNING: "IN_PROGRESS",
    Status.SUCCEEDED: "SUCCESS",
    Status.FAILED: "FAILURE",
    Status.CANCELLED: "CANCEL",
    Status.EXPIRED: "FAILURE",
}

REASONS = {Status.CANCELLED: "取消任务", Status.EXPIRED: "任务超时"}
"""Why a task of ours ended without the vendor, in the words of this protocol."""

BOT = "MID_JOURNEY"


def shown(view: TaskView) -> Any:
    """Write a task: the fields that every kind of vendor has, from its last answer or from what was asked."""
    answer: dict[str, Any] = view.answer if isinstance(view.answer, dict) else {}
    asked: dict[str, Any] = view.asked or {}

    def said(name: str) -> Any:
        return answer.get(name) or asked.get(name)

    is_done = view.status is Status.SUCCEEDED
    properties = answer.get("properties")
    final = properties if isinstance(properties, dict) else {}
    body = {
        "id": view.id,
        "action": said("action"),
        "botType": said("botType") or BOT,
        "status": word(view, answer, asked),
        **{name: said(name) for name in ("prompt", "promptEn", "description", "state")},
        "submitTime": answer.get("submitTime") or view.created_at_ms,
        "startTime": answer.get("startTime") or None,
        "finishTime": (answer.get("finishTime") or view.finished_at_ms) if view.status.is_final else None,
        "progress": "100%" if is_done or WORDS[view.status] == "FAILURE" else f"{view.progress}%",
        "imageUrl": answer.get("imageUrl") if is_done else None,
        "failReason": REASONS.get(view.status, view.error_message) if view.status.is_final and not is_done else None,
        "buttons": (answer.get("buttons") or []) if is_done else [],
        "properties": {
            "finalPrompt": final.get("finalPrompt", asked.get("finalPrompt")),
            "finalZhPrompt": final.get("finalZhPrompt"),
        },
    }
    return body | films(answer) if is_done else body


def word(view: TaskView, answer: dict[str, Any], asked: dict[str, Any]) -> str:
    """Say where a task is: in the vendor's own word, while that means the same as ours."""
    if view.is_window:
        return "MODAL"
    own = answer.get("status")
    if isinstance(own, str) and own != "MODAL" and STATUSES.get(own) is view.status:
        return own
    if view.status is Status.QUEUED and asked.get("status"):
        return str(asked["status"])
    return WORDS[view.status]


def films(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the films of a task that made some; their thumbnails are the vendor's links and stay out."""
    found: dict[str, Any] = {}
    if answer.get("videoUrl"):
        found["videoUrl"] = answer["videoUrl"]
    if isinstance(answer.get("videoUrls"), list) and answer["videoUrls"]:
        found["videoUrls"] = [{"url": film.get("url")} for film in answer["videoUrls"] if isinstance(film, dict)]
    return found


TASK = TaskShape(
    id="id",
    status="status",
    statuses=STATUSES,
    words=WORDS,
    accepted=lambda view: told(None, view.id),
    files=("imageUrl", "videoUrl", "videoUrls[].url"),
    results="imageUrl",  # a preview is the vendor's link
    reason="failReason",
    progress="progress",
    poll=None,
    hook_tells="progress",
    batch=Batch(path="/mj/task/list-by-condition", body=lambda ids: {"ids": list(ids)}, items="", id="id"),
    cancel=Cancel(path="/mj/task/{id}/cancel"),
    receipt=Receipt(
        id="result",
        told=told,
        told_again=told_again,
        noted=noted,
        window=Window(opens=opens_window, word="MODAL", open_s=WINDOW_S),
        finished=finished,
        waiting=waiting,
    ),
    show=shown,
    asked=lambda request: request.noted(),
    names_ids=True,
)
IN_WORDS = replace(TASK, text="properties.finalPrompt")
"""A task whose result is text: candidates for a prompt."""


# Refusals


def refused(body: Any) -> Any:
    """Pass a refusal on as it is, but for the account."""
    if not isinstance(body, dict) or body.get("code") in TAKEN:
        return None
    passing = {name: body[name] for name in ("code", "description", "result", "type") if name in body}
    return passing | ({"properties": shareable(body["properties"])} if "properties" in body else {})


FAULTS = FaultShape(
    code="code",
    message="description",
    codes={
        3: Fault.UNAVAILABLE,  # without an earlier task, it is an account that was not found
        4: Fault.INVALID_REQUEST,
        5: Fault.UNAVAILABLE,
        9: Fault.UNAVAILABLE,
        23: Fault.RATE_LIMITED,
        24: Fault.CONTENT_BLOCKED,
        30: Fault.RATE_LIMITED,
    },
    inside=lambda body: isinstance(body, dict) and "code" in body and body["code"] not in TAKEN,
    passes=refused,
)
FOLLOW_UP_FAULTS = replace(FAULTS, codes={**FAULTS.codes, 3: Fault.NOT_FOUND})

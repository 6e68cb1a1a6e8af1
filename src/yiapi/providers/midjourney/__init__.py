"""Midjourney and InsightFace: pictures through a self-hosted proxy, in the protocol that such proxies share.

Callers use the protocol below ``/mj``, or below ``/mj-fast/mj`` and its siblings for a speed; task ids are ours,
wherever a text names one, and a submission's answer is a receipt.
Contract: contracts/midjourney.md
"""

from typing import Any

from yiapi.providers.contract import (
    AnswerShape,
    HeaderKey,
    Ids,
    Operation,
    Parent,
    Provider,
    Query,
    Question,
    TaskShape,
    Title,
)
from yiapi.providers.midjourney.answers import (
    FAULTS,
    FOLLOW_UP_FAULTS,
    IN_WORDS,
    TASK,
    refused,
    shareable,
)
from yiapi.providers.midjourney.requests import (
    Action,
    Blend,
    Change,
    Describe,
    Imagine,
    Modal,
    Shorten,
    SimpleChange,
    Submission,
    Swap,
    Upload,
    changed,
    filled,
    must_be_done,
    must_have_button,
    pressed,
)
from yiapi.providers.midjourney.requests import Ids as WantedIds
from yiapi.providers.midjourney.sending import at_speed, fit, serves
from yiapi.providers.midjourney.words import Refused, envelope

SPEEDS = ("fast", "relax", "turbo")
MOUNTS = {f"/mj-{speed}/mj": {"speed": speed} for speed in SPEEDS}
PICTURES_BYTES_MAX = 32 * 1024 * 1024  # several pictures in Base64
LIST_MAX = 100
SEED_S = 65.0  # a vendor may take a minute to find a seed


def submission(
    name: str,
    title: Title,
    request: type[Submission],
    usage: Any,
    *,
    path: str | None = None,
    task: TaskShape = TASK,
    parent: Parent | None = None,
    images: tuple[str, ...] = (),
    usual_s: float = 30.0,
) -> Operation:
    """Declare a submission."""
    path = path or f"/submit/{name}"
    return Operation(
        name=name,
        path=path,
        upstream=f"/mj{path}",
        title=title,
        request=request,
        usage=usage if callable(usage) else lambda asked: asked.priced(usage),
        fit=fit,
        task=task,
        parent=parent,
        faults=FOLLOW_UP_FAULTS if parent is not None else None,
        image_fields=images,
        sends_any_image=True,
        hook_url=lambda asked: asked.notify_hook,
        body_bytes_max=PICTURES_BYTES_MAX,
        usual_s=usual_s,
    )


def going_on_from(check: Any) -> Parent:
    """Declare that a submission names a finished task of the caller's."""
    return Parent(id=lambda request: request.task_id, missing=lambda: Refused("task_not_found"), check=check)


def query(name: str, path: str, title: Title, what: Query, **more: Any) -> Operation:
    """Declare a query."""
    return Operation(name=name, path=path, title=title, query=what, **more)


def no_task() -> Refused:
    """Refuse an id that is nobody's, or another caller's."""
    return Refused("task_no_found")  # spelt so by every relay


def done(task_id: str) -> Any:
    """Answer a cancellation."""
    return {"code": 1, "description": "成功", "result": task_id, "properties": {}}


def as_list(items: Any, request_id: str) -> Any:
    """A list is a bare array here."""
    del request_id
    return list(items)


SUBMISSIONS = [
    submission(
        "imagine", Title("提交Imagine任务", "Submit imagine"), Imagine, "mj_imagine", images=("base64_array", "base64")
    ),
    submission(
        "action",
        Title("执行动作", "Press a button"),
        Action,
        pressed,
        parent=going_on_from(must_have_button),
        usual_s=5.0,
    ),
    submission(
        "change",
        Title("提交变化任务", "Submit change"),
        Change,
        changed,
        parent=going_on_from(must_be_done),
        usual_s=5.0,
    ),
    submission(
        "simple-change",
        Title("提交变化任务-simple", "Submit change in one text"),
        SimpleChange,
        changed,
        parent=going_on_from(must_be_done),
        usual_s=5.0,
    ),
    submission(
        "modal",
        Title("提交Modal", "Fill a window"),
        Modal,
        "mj_modal",
        parent=Parent(
            id=lambda request: request.task_id,
            missing=lambda: Refused("task_not_found"),
            usage=filled,
            closed=lambda: Refused("task_status_not_modal"),
        ),
        images=("mask_base64",),
    ),
    submission("blend", Title("提交Blend任务", "Submit blend"), Blend, "mj_blend", images=("base64_array",)),
    submission(
        "describe",
        Title("提交Describe任务", "Submit describe"),
        Describe,
        "mj_describe",
        task=IN_WORDS,
        images=("base64",),
        usual_s=8.0,
    ),
    submission(
        "shorten", Title("提交Shorten任务", "Submit shorten"), Shorten, "mj_shorten", task=IN_WORDS, usual_s=8.0
    ),
    submission(
        "swap",
        Title("提交swap_face任务", "Submit face swap"),
        Swap,
        "swap_face",
        path="/insight-face/swap",
        images=("source_base64", "target_base64"),
        usual_s=10.0,
    ),
    Operation(
        name="upload",
        path="/submit/upload-discord-images",
        upstream="/mj/submit/upload-discord-images",
        title=Title("上传文件到Discord", "Upload pictures for prompts"),
        request=Upload,
        usage=lambda asked: asked.priced("mj_upload"),
        fit=fit,
        decode=lambda _, answer: answer | {"properties": shareable(answer.get("properties"))},
        answer=AnswerShape(is_empty=lambda answer: not answer.get("result")),
        image_fields=("base64_array",),
        sends_any_image=True,
        body_bytes_max=PICTURES_BYTES_MAX,
    ),
]

QUERIES = [
    query(
        "fetch",
        "/task/{task_id}/fetch",
        Title("指定ID获取任务", "Fetch a task"),
        Query(missing=no_task),
        method="GET",
    ),
    query(
        "list-by-condition",
        "/task/list-by-condition",
        Title("根据ID列表查询任务", "Fetch tasks by ids"),
        Query(render_list=as_list, ids=lambda asked: asked.ids or ()),
        request=WantedIds,
        aliases=("/mj/task/list-by-ids", *(f"{mount}/task/list-by-ids" for mount in MOUNTS)),
    ),
    query(
        "list",
        "/task/list",
        Title("查询所有任务", "List tasks"),
        Query(render_list=as_list, page=lambda _: (0, LIST_MAX)),
        method="GET",
    ),
    query(
        "queue",
        "/task/queue",
        Title("查询任务队列", "List what waits"),
        Query(render_list=as_list, page=lambda _: (0, LIST_MAX), only_waiting=True),
        method="GET",
    ),
    query(
        "image-seed",
        "/task/{task_id}/image-seed",
        Title("获取任务图片的seed(需设置mj或niji的私信ID)", "Get the seed of a picture"),
        Query(
            missing=no_task,
            question=Question(
                path=lambda values, vendor_id: at_speed(values, f"/mj/task/{vendor_id}/image-seed"),
                unready=lambda: Refused("task_status_not_success"),
                told=lambda answer: refused({**answer, "code": 0}) | {"code": answer.get("code")},
            ),
        ),
        method="GET",
        faults=FOLLOW_UP_FAULTS,
        first_byte_s=SEED_S,
    ),
    query(
        "cancel",
        "/task/{task_id}/cancel",
        Title("取消任务", "Cancel a task"),
        Query(missing=no_task, cancelled=done),
    ),
]

PROVIDER = Provider(
    slug="midjourney",
    title="Midjourney",
    contract="contracts/midjourney.md",
    base_url="http://localhost:8080",  # whoever serves this runs a proxy of their own
    prefix="/mj",
    mounts=MOUNTS,
    auth=HeaderKey("mj-api-secret"),
    key_headers=("mj-api-secret",),
    relays_keys=True,
    ids=Ids(length=16, begins_with_time=True),
    faults=FAULTS,
    envelope=envelope,
    serves=serves,
    spreads="load",
    operations=[*SUBMISSIONS, *QUERIES],
)

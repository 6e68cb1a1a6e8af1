"""Kling: images and video, in Kling's own wire format.

Callers use the official format below ``/kling``; only the task id is replaced by ours.
Contract: contracts/kling.md
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from yiapi.providers.contract import (
    REMOVED,
    ApiKeyMissing,
    Count,
    Fault,
    FaultShape,
    InvalidRequest,
    JwtHS256,
    NumberText,
    Operation,
    Provider,
    Query,
    Request,
    StationError,
    Status,
    TaskShape,
    TaskView,
    Title,
    Unit,
    Usage,
    edit,
)

PAGE_NUMBER_MAX = 1000
PAGE_SIZE_MAX = 500


class Made(Request):
    """What all submissions share; ``model`` is a synonym of ``model_name`` that callers use."""

    model_name: str | None = None
    model: str | None = None
    callback_url: str | None = None
    external_task_id: str | None = None

    @property
    def named(self) -> str:
        """Return the model that is meant."""
        return self.model_name or self.model or "kling-v1"


class Image(Made, kw_only=True):
    """Image generation."""

    prompt: str
    image: str | None = None
    n: Count = 1


class Video(Made):
    """Text to video."""

    prompt: str | None = None
    mode: Literal["std", "pro"] = "std"
    duration: NumberText = "5"


class ImageToVideo(Video):
    """Image to video: a first frame, a last one, or both."""

    image: str | None = None
    image_tail: str | None = None


class Extension(Made, kw_only=True):
    """A video of Kling's goes on by some five seconds."""

    video_id: str
    prompt: str | None = None


class TryOn(Made, kw_only=True):
    """A person wears a piece of clothing."""

    model_name: str | None = "kolors-virtual-try-on-v1"
    human_image: str
    cloth_image: str | None = None


def images(request: Image) -> Usage:
    """Count the pictures asked for."""
    return Usage(request.named, Unit.IMAGE, request.n)


def seconds(request: Video) -> Usage:
    """Count the seconds asked for; the length measured afterwards does not change the bill."""
    return Usage(f"{request.named}:{request.mode}", Unit.SECOND, int(request.duration))


def forwarded(request: Made, body: bytes) -> bytes:
    """Change the little that Kling would not take, and keep the caller's hook here: we call it."""
    changes: dict[str, Any] = {}
    if request.callback_url is not None:
        changes["callback_url"] = REMOVED
    if request.model is not None:
        changes |= {"model": REMOVED, "model_name": request.named}
    if isinstance(getattr(request, "duration", None), int):
        changes["duration"] = str(getattr(request, "duration", ""))
    for name in ("image", "image_tail", "human_image", "cloth_image"):
        picture = getattr(request, name, None)
        if isinstance(picture, str) and picture.startswith("data:"):
            changes[name] = picture.partition(",")[2]  # Kling wants raw Base64
    return edit(body, changes)


def accepted(view: TaskView) -> Any:
    """Answer a submission before Kling has."""
    times = {"created_at": view.created_at_ms, "updated_at": view.updated_at_ms}
    return {"code": 0, "message": "SUCCEED", "request_id": "", "data": {"task_id": view.id, "task_status": "", **times}}


TASK = TaskShape(
    id="data.task_id",
    status="data.task_status",
    statuses={
        "submitted": Status.QUEUED,
        "processing": Status.RUNNING,
        "succeed": Status.SUCCEEDED,  # Kling's spelling
        "failed": Status.FAILED,
    },
    words={
        Status.QUEUED: "submitted",
        Status.SUBMITTING: "submitted",
        Status.UNKNOWN: "submitted",
        Status.RUNNING: "processing",
        Status.SUCCEEDED: "succeed",
        Status.FAILED: "failed",
        Status.CANCELLED: "failed",
        Status.EXPIRED: "failed",
    },
    accepted=accepted,
    files=("data.task_result.videos[].url", "data.task_result.images[].url"),
    results="data.task_result",
    reason="data.task_status_msg",
    external_id="data.task_info.external_task_id",
    request_id="request_id",
    find="{path}/{reference}",
    hook="data",
    hook_tells="status",
)

FAULTS = FaultShape(
    code="code",
    message="message",
    codes={
        **dict.fromkeys((1000, 1001, 1002, 1003, 1004, 1103, 1304), Fault.CREDENTIAL),
        **dict.fromkeys((1100, 1101, 1102), Fault.UPSTREAM_CREDIT),  # sent as 429, yet waiting does not help
        **dict.fromkeys((1200, 1201, 1202), Fault.INVALID_REQUEST),
        1203: Fault.NOT_FOUND,
        **dict.fromkeys((1300, 1301), Fault.CONTENT_BLOCKED),
        **dict.fromkeys((1302, 1303), Fault.RATE_LIMITED),
        **dict.fromkeys((5000, 5001), Fault.UNAVAILABLE),
        5002: Fault.TIMEOUT,
    },
    inside=lambda body: body.get("code") != 0,
)

CODE_BY_STATUS = {401: 1002, 402: 1101, 403: 1103, 404: 1203, 405: 1202, 429: 1302, 503: 5001, 504: 5002}
KEY_MISSING = 1001
BAD_VALUE = 1201


def envelope(error: StationError, request_id: str) -> Any:
    """Say an error as Kling does; the code is Kling's own where it refused."""
    code = error.vendor.code if error.vendor and isinstance(error.vendor.code, int) else None
    fallback = CODE_BY_STATUS.get(error.status, 1200 if error.status < 500 else 5000)
    if isinstance(error, ApiKeyMissing):
        fallback = KEY_MISSING
    elif error.status in {400, 415} and error.param:
        fallback = BAD_VALUE
    return {"code": code or fallback, "message": error.message, "request_id": request_id}


def page(query: Mapping[str, str]) -> tuple[int, int]:
    """Read pageNum and pageSize."""
    number, size = (
        _number(query, *bounds) for bounds in (("pageNum", 1, PAGE_NUMBER_MAX), ("pageSize", 30, PAGE_SIZE_MAX))
    )
    return (number - 1) * size, size


def _number(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= most):
        raise InvalidRequest(f"{name} must be between 1 and {most}", param=name)
    return int(text)


def listed(items: Sequence[Any], request_id: str) -> Any:
    """Put tasks into one envelope."""
    tasks = [item["data"] for item in items]
    return {"code": 0, "message": "SUCCEED", "request_id": request_id, "data": tasks}


def submission(name: str, path: str, title: Title, request: type[Made], usage: Any, *pictures: str) -> list[Operation]:
    """Make the three operations of one kind: submit, ask for one task, list."""
    shared = {"request": Request, "method": "GET", "queries": name}
    return [
        Operation(
            name=name,
            path=path,
            title=title,
            request=request,
            usage=usage,
            encode=forwarded,
            task=TASK,
            image_fields=pictures,
            external_id=lambda made: made.external_task_id,
            hook_url=lambda made: made.callback_url,
            body_bytes_max=32 * 1024 * 1024,  # two pictures of 10 MB in Base64
            usual_s=60.0,
        ),
        Operation(
            name=f"{name}.get",
            path=path + "/{task_id}",
            title=Title(f"{title.zh}:查询任务", f"{title.en}: query a task"),
            query=Query(),
            **shared,  # type: ignore[arg-type]  # the three keys are fields of Operation
        ),
        Operation(
            name=f"{name}.list",
            path=path,
            title=Title(f"{title.zh}:任务列表", f"{title.en}: list tasks"),
            query=Query(render_list=listed, page=page),
            **shared,  # type: ignore[arg-type]  # the three keys are fields of Operation
        ),
    ]


PROVIDER = Provider(
    slug="kling",
    title="Kling",
    contract="contracts/kling.md",
    base_url="https://api.klingai.com",
    auth=JwtHS256(valid_s=1800, backdate_s=5),
    sandbox_credential="sandbox|{key}",
    reference="external_task_id",  # our id goes up here, so a submission that ended unclear can be found again
    callback="callback_url",
    deadline_s=7200,
    faults=FAULTS,
    envelope=envelope,
    operations=[
        *submission("image", "/v1/images/generations", Title("图像生成", "Image generation"), Image, images, "image"),
        *submission("text2video", "/v1/videos/text2video", Title("文生视频", "Text to video"), Video, seconds),
        *submission(
            "image2video",
            "/v1/videos/image2video",
            Title("图生视频", "Image to video"),
            ImageToVideo,
            seconds,
            "image",
            "image_tail",
        ),
        *submission(
            "extend",
            "/v1/videos/video-extend",
            Title("视频延长", "Video extension"),
            Extension,
            lambda _: Usage("video-extend", Unit.SECOND, 5),
        ),
        *submission(
            "try-on",
            "/v1/images/kolors-virtual-try-on",
            Title("虚拟试穿", "Virtual try-on"),
            TryOn,
            lambda request: Usage(request.named, Unit.IMAGE, 1),
            "human_image",
            "cloth_image",
        ),
    ],
)

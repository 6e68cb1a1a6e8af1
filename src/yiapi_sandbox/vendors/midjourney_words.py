"""What the proxy says: its envelope, its codes, its sentences. Contract: contracts/midjourney.md, section 0.3."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from yiapi_sandbox.contract import Refusal

SUBMITTED = "提交成功"
DONE = "成功"
IN_QUEUE = "排队中，前面还有"  # noqa: RUF001 - Chinese signs in Chinese
WINDOW = "Waiting for window confirm"
EXISTS = "任务已存在"
NO_PARENT = "关联任务不存在或已失效"
BAD_STATE = "关联任务状态错误"
NOT_CHANGEABLE = "关联任务不允许执行变化"
NO_ACCOUNT = "无可用的账号实例"
QUEUE_FULL = "队列已满，请稍后尝试"  # noqa: RUF001 - Chinese signs in Chinese
BANNED = "可能包含敏感词"
BAD_PICTURE = "base64格式错误"
NO_SEED = "未找到 seed"
CANCELLED_WELL = "取消成功"
CANCELLED = "取消任务"
BROKEN = "提交失败，系统异常"  # noqa: RUF001
SATURATED = "当前分组上游负载已饱和"
FAILED = "Failed to draw: the sandbox was asked to fail this task"


def envelope(
    code: int, description: str, result: object = None, account: str | None = None, **properties: object
) -> dict[str, Any]:
    """Write an answer to a submission."""
    whose = {"discordInstanceId": account, "discordChannelId": account} if account else {}
    return {"code": code, "description": description, "result": result, "properties": whose | properties}


def answered(
    code: int, description: str, result: object = None, account: str | None = None, **more: object
) -> Response:
    """Answer a submission."""
    return shown(envelope(code, description, result, account, **more))


def shown(what: object) -> Response:
    """Answer with anything, as JSON."""
    return Response(msgspec.json.encode(what), media_type="application/json")


def envelope_refused(
    code: int, description: str, result: str | None = None, account: str | None = None, *, status: int = 200
) -> Refusal:
    """Return a refusal in the envelope; most are HTTP 200."""
    return Refusal(status, envelope(code, description, result, account))


def wrong(description: str) -> Refusal:
    """Return the refusal of a value."""
    return envelope_refused(4, description)


def missing(name: str) -> Refusal:
    """Return the refusal of a value that is not there."""
    return wrong(f"{name}不能为空")


def banned(text: str, word: str) -> Refusal:
    """Return the refusal of a prompt; it has no ``result`` at all."""
    properties: Mapping[str, Any] = {"promptEn": text, "bannedWord": word}
    return Refusal(200, {"code": 24, "description": BANNED, "properties": properties})

"""The routes of our own API: what serves them is what the documents say of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from yiapi.api import account, catalogue, following, models, quotes, records, shapes, tasks, usage, webhooks
from yiapi.api.lists import LIMIT_MAX
from yiapi.api.tenants import TenantHandler
from yiapi.providers.contract import Status, Title
from yiapi.webhooks import DeliveryStatus

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}
PAGED: Mapping[str, Schema] = {"limit": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX}, "cursor": TEXT}
SPAN: Mapping[str, Schema] = {"from": TEXT, "to": TEXT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """A route of ours. ``handler`` None: the asset room serves it; ``answer`` a media type: no JSON."""

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    title: Title
    answer: type[Any] | str
    handler: TenantHandler | None = None
    query: Mapping[str, Schema] = field(default_factory=dict)
    headers: Mapping[str, Schema] = field(default_factory=dict)
    body: type[Any] | None = None
    status: int = 200


def get(
    path: str,
    handler: TenantHandler | None,
    title: tuple[str, str],
    answer: type[Any] | str,
    query: Mapping[str, Schema] | None = None,
    *,
    headers: Mapping[str, Schema] | None = None,
) -> Own:
    """Describe a route that reads."""
    return Own(
        method="GET",
        path=path,
        title=Title(*title),
        answer=answer,
        handler=handler,
        query=query or {},
        headers=headers or {},
    )


SUBSCRIPTION = ("余额(聊天客户端格式)", "The limit, as chat clients read it")
SPENT = ("已用额度(聊天客户端格式)", "What was spent, as chat clients read it")
FILTERS: Mapping[str, Schema] = {
    "status": {"type": "string", "enum": [status.value for status in Status]},
    "provider": TEXT,
    "operation": TEXT,
}

OWN: Sequence[Own] = (
    get("/v1/account", account.show, ("账户与余额", "The account and its money"), shapes.Account),
    get("/v1/models", models.listed, ("模型列表", "List models"), shapes.Models),
    get("/v1/models/{model_id:path}", models.show, ("查询模型", "Get a model"), shapes.Model),
    get("/v1/operations", catalogue.listed, ("接口目录", "List operations"), shapes.Operations, PAGED),
    get(
        "/v1/operations/{name}",
        catalogue.show,
        ("查询接口及其数据结构", "Get an operation with its schemas"),
        shapes.OperationWithSchema,
    ),
    Own(
        method="POST",
        path="/v1/quotes",
        title=Title("报价(不扣费)", "Quote a call, charging nothing"),
        answer=shapes.Quote,
        handler=quotes.quote,
        body=quotes.Asked,
    ),
    get("/v1/requests", records.listed, ("调用记录", "List the records of calls"), shapes.Records, PAGED),
    get(
        "/v1/requests/{request_id}",
        records.show,
        ("查询调用记录", "Get the record of a call"),
        shapes.RecordWithAttempts,
    ),
    get(
        "/v1/usage",
        usage.sums,
        ("用量汇总", "Sum up usage and charges"),
        shapes.Usage,
        {**SPAN, "group_by": {"type": "string", "enum": list(usage.GROUPS), "default": "day"}},
    ),
    get("/v1/tasks", tasks.listed, ("任务列表", "List tasks"), shapes.Tasks, {**PAGED, **FILTERS}),
    get(
        "/v1/tasks/{task_id}",
        tasks.show,
        ("查询任务", "Get a task, or wait for its end"),
        shapes.Task,
        headers={"Prefer": {"type": "string", "examples": ["wait=30"]}},
    ),
    Own(
        method="POST",
        path="/v1/tasks/{task_id}/cancel",
        title=Title("取消任务", "Cancel a task"),
        answer=shapes.Task,
        handler=tasks.cancel,
    ),
    get(
        "/v1/tasks/{task_id}/events",
        following.events,
        ("跟踪任务进度", "Follow a task"),
        "text/event-stream",
        headers={"Last-Event-ID": {"type": "string"}},
    ),
    get(
        "/v1/assets/{asset_id}",
        None,
        ("查询结果文件", "Get the record of a result file"),
        shapes.Asset,
        {"expires_s": {"type": "integer", "minimum": 1}},
    ),
    Own(
        method="DELETE",
        path="/v1/assets/{asset_id}",
        title=Title("删除结果文件", "Delete a result file"),
        answer=shapes.AssetDeleted,
    ),
    get("/v1/assets/{asset_id}/content", None, ("下载结果文件", "Download a result file"), "*/*"),
    Own(
        method="POST",
        path="/v1/webhook_endpoints",
        title=Title("新建回调地址", "Make a webhook endpoint"),
        answer=shapes.WebhookEndpointWithSecret,
        handler=webhooks.create,
        body=webhooks.NewEndpoint,
        status=201,
    ),
    get(
        "/v1/webhook_endpoints",
        webhooks.listed,
        ("回调地址列表", "List webhook endpoints"),
        shapes.WebhookEndpoints,
        PAGED,
    ),
    get(
        "/v1/webhook_endpoints/{endpoint_id}",
        webhooks.show,
        ("查询回调地址", "Get a webhook endpoint"),
        shapes.WebhookEndpoint,
    ),
    Own(
        method="PATCH",
        path="/v1/webhook_endpoints/{endpoint_id}",
        title=Title("修改回调地址", "Change a webhook endpoint, switch it on or off"),
        answer=shapes.WebhookEndpoint,
        handler=webhooks.change,
        body=webhooks.EndpointChange,
    ),
    Own(
        method="DELETE",
        path="/v1/webhook_endpoints/{endpoint_id}",
        title=Title("删除回调地址", "Delete a webhook endpoint"),
        answer=shapes.WebhookEndpointDeleted,
        handler=webhooks.delete,
    ),
    Own(
        method="POST",
        path="/v1/webhook_endpoints/{endpoint_id}/rotate",
        title=Title(
            "更换签名密钥(旧密钥 24 小时内仍签名)",
            "Give an endpoint a new secret; the old one signs along for 24 hours",
        ),
        answer=shapes.WebhookEndpointWithSecret,
        handler=webhooks.rotate,
    ),
    Own(
        method="POST",
        path="/v1/hook_secret",
        title=Title("新建任务回调签名密钥", "Make the secret that signs a task's own hook"),
        answer=shapes.HookSecret,
        handler=webhooks.hook_secret,
        status=201,
    ),
    get(
        "/v1/webhook_deliveries",
        webhooks.deliveries,
        ("回调投递记录", "List deliveries"),
        shapes.WebhookDeliveries,
        {
            **PAGED,
            "status": {"type": "string", "enum": [status.value for status in DeliveryStatus]},
            "endpoint_id": TEXT,
            "task_id": TEXT,
        },
    ),
    get(
        "/v1/webhook_deliveries/{delivery_id}",
        webhooks.delivery_shown,
        ("查询投递记录", "Get a delivery"),
        shapes.WebhookDelivery,
    ),
    Own(
        method="POST",
        path="/v1/webhook_deliveries/{delivery_id}/replay",
        title=Title("重新投递", "Deliver again"),
        answer=shapes.WebhookDelivery,
        handler=webhooks.replay,
        status=202,
    ),
    Own(
        method="POST",
        path="/v1/webhook_deliveries/replay",
        title=Title("按时间段重新投递", "Deliver again what was put out in a span of time"),
        answer=shapes.WebhookReplay,
        handler=webhooks.replay_span,
        body=webhooks.ReplayOf,
        status=202,
    ),
    get("/v1/dashboard/billing/subscription", account.subscription, SUBSCRIPTION, shapes.Subscription),
    get("/v1/dashboard/billing/usage", account.spent, SPENT, shapes.Spent),
    get("/dashboard/billing/subscription", account.subscription, SUBSCRIPTION, shapes.Subscription),
    get("/dashboard/billing/usage", account.spent, SPENT, shapes.Spent),
)

PAGES = frozenset(
    {
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/docs/zh",
        "/llms.txt",
        "/files/v1/{rest:path}",
        "/callbacks/{channel_id}/{token}",
    }
)
"""What is served beside the API and has no place in its document: for machines that look after us, for readers, and
for vendors."""

"""What our own answers look like: the schemas of ``/openapi.json``, and what the tests hold every answer to."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from yiapi.webhooks import DeadReason, DeliveryStatus, DisabledReason, EventType

Mode = Literal["live", "test"]


class Shape(msgspec.Struct, forbid_unknown_fields=True):
    """A documented answer has these fields and no others."""


class ErrorDetail(Shape):
    """What went wrong; ``code`` is stable."""

    message: str
    type: str
    code: str
    param: str | None
    request_id: str


class Error(Shape):
    """The envelope of our own errors."""

    error: ErrorDetail


class Account(Shape):
    """Amounts are decimal strings in USD."""

    object: Literal["account"]
    id: str
    mode: Mode
    currency: str
    balance: str
    held: str
    available: str
    spent_total: str


class Subscription(Shape):
    """The limit as chat clients read it: the balance, and what was spent."""

    object: Literal["billing_subscription"]
    has_payment_method: bool
    soft_limit_usd: float
    hard_limit_usd: float
    system_hard_limit_usd: float
    access_until: int


class Spent(Shape):
    """What was spent, in cents."""

    object: Literal["list"]
    total_usage: float


class Model(Shape):
    """A model in the shape of OpenAI."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class Models(Shape):
    """Every model that the key may use."""

    object: Literal["list"]
    data: list[Model]


class Title(Shape):
    """A name in both languages."""

    zh: str
    en: str


class Price(Shape):
    """``amount`` is in USD for ``per`` units."""

    sku: str
    unit: str
    per: int
    amount: str


class Operation(Shape):
    """An operation of the catalogue."""

    object: Literal["operation"]
    name: str
    provider: str
    method: str
    path: str
    aliases: list[str]
    title: Title
    mode: Literal["sync", "stream", "task", "query"]
    models: list[str]
    enabled: bool
    price: list[Price]
    docs_url: str


class Operations(Shape):
    """A page of the catalogue."""

    object: Literal["list"]
    data: list[Operation]
    next_cursor: str | None


class Schemas(Shape):
    """JSON Schema of a request, and of the part of the answer that is known."""

    request: dict[str, Any]
    response: dict[str, Any] | None


class OperationWithSchema(Operation):
    """An operation with its schemas."""

    schema: Schemas


class QuotePart(Shape):
    """``unit_price`` is for ``per`` units."""

    sku: str
    unit: str
    quantity: int
    unit_price: str
    per: int
    amount: str


class Quote(Shape):
    """What a call would hold."""

    object: Literal["quote"]
    operation: str
    model: str
    amount: str
    currency: str
    parts: list[QuotePart]


class Used(Shape):
    """So much of a unit."""

    unit: str
    quantity: int


class Failure(Shape):
    """How a call or a task failed."""

    code: str
    message: str | None


class Record(Shape):
    """The record of a call."""

    object: Literal["request"]
    id: str
    created_at: str
    operation: str
    provider: str
    model: str
    mode: Mode
    status: str
    http_status: int
    usage: list[Used]
    is_estimated: bool
    is_partial: bool
    charge: str
    duration_ms: int
    first_byte_ms: int | None
    task_id: str | None
    key_id: str
    client_request_id: str | None
    error: Failure | None


class Records(Shape):
    """A page of records."""

    object: Literal["list"]
    data: list[Record]
    next_cursor: str | None


class RecordWithAttempts(Record):
    """A record, and how many attempts it took."""

    attempts: int


class UsageGroup(Shape, omit_defaults=True):
    """The sums of one day, model, provider, operation or key."""

    requests: int
    charge: str
    usage: list[Used]
    day: str | None = None
    model: str | None = None
    provider: str | None = None
    operation: str | None = None
    key: str | None = None


class Usage(Shape):
    """The sums of a span."""

    object: Literal["list"]
    data: list[UsageGroup]
    next_cursor: str | None


class AssetInTask(Shape):
    """A result file; ``url`` needs no key."""

    id: str
    type: str
    content_type: str
    url: str
    expires_at: str
    size_bytes: int | None
    sha256: str | None
    width: int | None
    height: int | None
    duration_s: float | None


class Asset(AssetInTask):
    """The record of a result file."""

    object: Literal["asset"]
    created_at: str
    mode: Mode
    task_id: str | None
    request_id: str | None


class AssetDeleted(Shape):
    """The file is gone."""

    object: Literal["asset"]
    id: str
    deleted: bool


class Result(Shape):
    """What a task made."""

    text: str | None
    assets: list[AssetInTask]


class Charge(Shape):
    """What a task holds, and what it took."""

    held: str
    captured: str
    currency: str


class Task(Shape):
    """A generation, whatever the provider."""

    object: Literal["task"]
    id: str
    operation: str
    provider: str
    model: str
    mode: Mode
    status: Literal["queued", "submitting", "running", "unknown", "succeeded", "failed", "cancelled", "expired"]
    progress: int
    created_at: str
    started_at: str | None
    finished_at: str | None
    deadline_at: str
    result: Result | None
    error: Failure | None
    charge: Charge
    metadata: dict[str, Any]


class Tasks(Shape):
    """A page of tasks."""

    object: Literal["list"]
    data: list[Task]
    next_cursor: str | None


class WebhookEndpoint(Shape):
    """Where to be told of tasks; ``disabled_reason``: you asked for it, it said 410, or it failed for three days."""

    object: Literal["webhook_endpoint"]
    id: str
    url: str
    events: list[EventType]
    enabled: bool
    disabled_reason: DisabledReason | None
    disabled_at: str | None
    last_success_at: str | None
    created_at: str


class WebhookEndpointWithSecret(WebhookEndpoint):
    """An endpoint with its secret, which is not shown again."""

    secret: str


class WebhookEndpoints(Shape):
    """A page of endpoints."""

    object: Literal["list"]
    data: list[WebhookEndpoint]
    next_cursor: str | None


class WebhookEndpointDeleted(Shape):
    """The endpoint hears nothing more."""

    object: Literal["webhook_endpoint"]
    id: str
    deleted: bool


class HookSecret(Shape):
    """What signs the calls to a task's own hook; it is not shown again."""

    object: Literal["hook_secret"]
    secret: str


class WebhookEvent(Shape):
    """What happened; ``data`` is the task, or for a task's own hook the whole body in the dialect."""

    id: str
    type: EventType
    data: Any


class WebhookAttempt(Shape):
    """One attempt; ``status`` null: no answer, and ``excerpt`` says why."""

    time: str
    status: int | None
    excerpt: str


class WebhookDelivery(Shape):
    """One event on its way to one receiver; ``endpoint_id`` null: the task's own hook."""

    object: Literal["webhook_delivery"]
    id: str
    endpoint_id: str | None
    task_id: str
    event: WebhookEvent
    status: DeliveryStatus
    dead_reason: DeadReason | None
    attempts: list[WebhookAttempt]
    next_attempt_at: str | None
    created_at: str


class WebhookDeliveries(Shape):
    """A page of deliveries."""

    object: Literal["list"]
    data: list[WebhookDelivery]
    next_cursor: str | None


class WebhookReplay(Shape):
    """How many deliveries are sent again; 5,000 at a time, the oldest first."""

    object: Literal["webhook_replay"]
    count: int

"""The room of hooks: an outbox that is written with what it reports, and a courier who empties it."""

from yiapi.webhooks.courier import Courier
from yiapi.webhooks.models import (
    Attempt,
    DeadReason,
    Delivery,
    DeliveryStatus,
    DisabledReason,
    Endpoint,
    Event,
    EventType,
)
from yiapi.webhooks.secrets import Secrets
from yiapi.webhooks.sending import Sender
from yiapi.webhooks.service import BODY_BYTES_MAX, Webhooks, envelope
from yiapi.webhooks.signing import is_genuine, is_secret

__all__ = [
    "BODY_BYTES_MAX",
    "Attempt",
    "Courier",
    "DeadReason",
    "Delivery",
    "DeliveryStatus",
    "DisabledReason",
    "Endpoint",
    "Event",
    "EventType",
    "Secrets",
    "Sender",
    "Webhooks",
    "envelope",
    "is_genuine",
    "is_secret",
]

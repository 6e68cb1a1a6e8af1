"""The attempt loop: every call to a vendor, of every kind, goes through here and nowhere else."""

from yiapi.dispatch.exchange import JSON_HEADERS, Exchange, decoded, malformed, refused, refused_inside
from yiapi.dispatch.faults import POLICIES, error_for
from yiapi.dispatch.loop import ATTEMPTS_MAX, Dispatcher, Unclear
from yiapi.dispatch.models import AttemptFailed, Begun, Errand, Won

__all__ = [
    "ATTEMPTS_MAX",
    "JSON_HEADERS",
    "POLICIES",
    "AttemptFailed",
    "Begun",
    "Dispatcher",
    "Errand",
    "Exchange",
    "Unclear",
    "Won",
    "decoded",
    "error_for",
    "malformed",
    "refused",
    "refused_inside",
]

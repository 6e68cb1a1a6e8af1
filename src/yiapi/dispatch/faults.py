"""One row per fault: is another attempt worth it, what happens to the channel, what does the caller see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from yiapi.dispatch.models import AttemptFailed
from yiapi.errors import (
    NoChannelAvailable,
    RateLimited,
    StationError,
    UpstreamFailed,
    UpstreamInvalid,
    UpstreamTimeout,
    VendorRefusal,
    VendorWords,
)
from yiapi.providers.contract import Fault, Kind

Effect = Literal["failure", "neutral", "cool", "disable"]
"""failure counts against the channel's circuit; cool leaves it alone for a while; disable takes the credential out."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What follows from a fault."""

    again: bool
    effect: Effect
    caller: type[StationError] | None
    """What the caller sees after the last attempt; None: the vendor's own refusal."""


POLICIES: Mapping[Fault, Policy] = {
    Fault.RATE_LIMITED: Policy(True, "cool", RateLimited),
    Fault.CREDENTIAL: Policy(True, "disable", NoChannelAvailable),
    Fault.UPSTREAM_CREDIT: Policy(True, "disable", NoChannelAvailable),
    Fault.INVALID_REQUEST: Policy(False, "neutral", None),
    Fault.CONTENT_BLOCKED: Policy(False, "neutral", None),
    Fault.NOT_FOUND: Policy(False, "neutral", None),
    Fault.UNAVAILABLE: Policy(True, "failure", UpstreamFailed),
    Fault.TIMEOUT: Policy(True, "failure", UpstreamTimeout),
    Fault.MALFORMED: Policy(True, "failure", UpstreamInvalid),
    Fault.UNKNOWN: Policy(False, "neutral", UpstreamFailed),
}

MESSAGES: Mapping[type[StationError], str] = {
    RateLimited: "Every channel for this model is at its limit; try again later.",
    NoChannelAvailable: "No channel is available for this call now.",
    UpstreamFailed: "The vendor could not serve this call.",
    UpstreamInvalid: "The vendor's answer could not be used.",
    UpstreamTimeout: "The vendor did not answer in time.",
}


def may_try_again(failed: AttemptFailed, kind: Kind, *, may_repeat_after_timeout: bool) -> bool:
    """Decide whether another attempt may be made for this call at all."""
    if failed.is_unclear or not failed.may_repeat:
        return False
    if failed.fault is Fault.TIMEOUT and failed.sent and (kind == "making" or not may_repeat_after_timeout):
        return kind == "submission"  # there a time-out that is not unclear is the vendor's own refusal
    return POLICIES[failed.fault].again


_NOT_THE_CALLERS = frozenset({401, 402, 407, 408, 429})
"""Statuses about our account at the vendor: a caller would take them for its own key, money or rate."""


def error_for(failed: AttemptFailed, *, shortest_wait_s: float | None = None) -> StationError:
    """Say to the caller what the last attempt failed with; the wait is that until the first channel has cooled."""
    caller = POLICIES[failed.fault].caller
    if failed.words is not None and failed.words.answer is not None and caller is not NoChannelAvailable:
        wait = max(failed.retry_after_s or 1.0, 1.0) if caller is RateLimited and failed.status == 429 else None
        return VendorRefusal(failed.status or 200, failed.words, retry_after_s=wait)
    if caller is None:
        words = failed.words or VendorWords("The vendor refused the request.")
        status = failed.status or 400
        return VendorRefusal(status if 400 <= status < 500 and status not in _NOT_THE_CALLERS else 400, words)
    if caller is RateLimited:
        wait_s = failed.retry_after_s if shortest_wait_s is None else shortest_wait_s
        return caller(MESSAGES[caller], retry_after_s=max(wait_s or 1.0, 1.0))
    return caller(MESSAGES[caller])

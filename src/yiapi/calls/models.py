"""What is written about a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from yiapi.db import Transaction
from yiapi.money import ZERO, Money
from yiapi.providers.contract import Fault, Usage


@dataclass(frozen=True, slots=True)
class Claim:
    """A caller's idempotency key: one run per tenant, route and key."""

    account_id: str
    mode: str
    route: str
    key: str
    fingerprint: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Replay:
    """The stored answer of the first run."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


class Attempt(msgspec.Struct, array_like=True, gc=False):
    """One try on one channel; ``fault`` is None while it runs and when it worked.

    The journal has its fields in this order; ``yiapi.calls.store`` reads them.
    """

    channel_id: str
    credential_id: str
    started_at_ms: int
    fault: Fault | None = None
    http_status: int | None = None
    detail: str | None = None
    duration_ms: int = 0
    cost: Money = ZERO


class Record(msgspec.Struct, kw_only=True, array_like=True, gc=False):
    """The row of a call, without its money; the journal has its fields in this order, as with an attempt."""

    id: str
    account_id: str
    mode: str
    key_id: str
    operation: str
    provider: str
    model: str
    status: str = "succeeded"
    http_status: int = 200
    is_estimated: bool = False
    is_partial: bool = False
    price_version: int
    multiplier: int
    client_request_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    created_at_ms: int
    duration_ms: int = 0
    first_byte_ms: int | None = None
    usage: Sequence[Usage] = ()
    task_id: str | None = None


class Ending(msgspec.Struct, kw_only=True, gc=False):
    """How a call ends. ``price`` None releases the hold: nothing is charged."""

    record: Record
    hold_id: str
    attempts: Sequence[Attempt]
    price: Money | None
    claim: Claim | None = None
    stored: Replay | None = None
    """The answer to keep for the claim; None frees the key, unless ``keeps_key``."""
    also: Sequence[Callable[[Transaction], object]] = ()
    """Rows of the result, written in the same transaction."""
    keeps_key: bool = False
    """The key cannot run again although there is no whole answer to keep for it."""
    keeps_hold: bool = False
    """The hold lives on: it went over to a task."""


class Finished(msgspec.Struct, frozen=True, gc=False):
    """What a call cost its caller, and what its balance did not cover."""

    charge: Money
    loss: Money

"""What the attempt loop works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, Literal, TypeVar

import msgspec

from yiapi.calls import Attempt
from yiapi.channels import Channel, Credential
from yiapi.errors import VendorWords
from yiapi.providers.contract import Fault, FaultShape, Operation, Provider

T = TypeVar("T")

Kind = Literal["chat", "making", "submission"]
"""What may be repeated: a chat after a time-out too, a picture in the making not, a task by refusal only."""


class AttemptFailed(Exception):
    """One try on one channel failed.

    ``is_unclear`` is for a submission whose fate nobody knows; ``sent`` False means that no byte reached the vendor.
    """

    def __init__(
        self,
        fault: Fault,
        *,
        status: int | None = None,
        words: VendorWords | None = None,
        retry_after_s: float | None = None,
        sent: bool = True,
        is_unclear: bool = False,
        may_repeat: bool = True,
    ) -> None:
        super().__init__(fault.value)
        self.fault = fault
        self.status = status
        self.words = words
        self.retry_after_s = retry_after_s
        self.sent = sent
        self.is_unclear = is_unclear
        self.may_repeat = may_repeat


class Errand(msgspec.Struct, kw_only=True, eq=False, gc=False):
    """One call on its way through the channels."""

    provider: Provider
    operation: Operation
    mode: str
    price_group: str
    model: str
    request_id: str
    kind: Kind
    deadline_at: float
    """By the monotonic clock; no attempt goes beyond it."""
    attempts: list[Attempt] = msgspec.field(default_factory=list)
    only_channel: str | None = None
    """Follow-up calls of a task go to the channel that made it."""
    only_credential: str | None = None
    """And show the credential that made it, while the channel has it."""
    fits: Callable[[Channel], bool] | None = None
    """Whether a channel may serve this call at all."""
    load: Mapping[str, int] | None = None
    """How many tasks each channel has: among those of one priority the one with the fewest is tried first."""

    @property
    def faults(self) -> FaultShape:
        """Return what the vendor's answers mean."""
        return self.operation.faults or self.provider.faults


class Begun(msgspec.Struct, frozen=True, eq=False, gc=False):
    """An attempt that was begun. ``began`` is by the monotonic clock."""

    channel: Channel
    credential: Credential
    attempt: Attempt
    began: float


class Won(msgspec.Struct, Generic[T], eq=False, gc=False):
    """The attempt that worked; a stream keeps its channel until it ends."""

    value: T
    channel: Channel
    credential: Credential
    attempt: Attempt


Headers = Mapping[bytes, bytes]

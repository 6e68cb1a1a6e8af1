"""What the attempt loop works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from yiapi.calls import Attempt
from yiapi.channels import Channel, Credential
from yiapi.errors import VendorWords
from yiapi.providers.contract import Fault, FaultShape, Kind, Operation, Provider

T = TypeVar("T")


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


class Errand:
    """One call on its way through the channels.

    ``deadline_at`` is by the monotonic clock; no attempt goes beyond it. Follow-up calls of a task go to the channel
    that made it (``only_channel``), with the credential that made it while the channel has that. ``fits`` says whether
    a channel may serve the call at all. With ``load``, how many tasks each channel has, the one with the fewest is
    tried first among those of one priority.
    """

    def __init__(
        self,
        *,
        provider: Provider,
        operation: Operation,
        mode: str,
        price_group: str,
        model: str,
        request_id: str,
        kind: Kind,
        deadline_at: float,
        only_channel: str | None = None,
        only_credential: str | None = None,
        fits: Callable[[Channel], bool] | None = None,
        load: Mapping[str, int] | None = None,
    ) -> None:
        self.provider = provider
        self.operation = operation
        self.mode = mode
        self.price_group = price_group
        self.model = model
        self.request_id = request_id
        self.kind: Kind = kind
        self.deadline_at = deadline_at
        self.attempts: list[Attempt] = []
        self.only_channel = only_channel
        self.only_credential = only_credential
        self.fits = fits
        self.load = load

    @property
    def faults(self) -> FaultShape:
        """Return what the vendor's answers mean."""
        return self.operation.faults or self.provider.faults


class Begun:
    """An attempt that was begun. ``began`` is by the monotonic clock."""

    __slots__ = ("attempt", "began", "channel", "credential")

    def __init__(self, channel: Channel, credential: Credential, attempt: Attempt, began: float) -> None:
        self.channel = channel
        self.credential = credential
        self.attempt = attempt
        self.began = began


class Won(Generic[T]):
    """The attempt that worked; a stream keeps its channel until it ends."""

    __slots__ = ("attempt", "channel", "credential", "value")

    def __init__(self, value: T, channel: Channel, credential: Credential, attempt: Attempt) -> None:
        self.value = value
        self.channel = channel
        self.credential = credential
        self.attempt = attempt


Headers = Mapping[bytes, bytes]

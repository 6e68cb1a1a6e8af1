"""The one attempt loop: choose a channel, send, classify, try again where the fault and the budget allow it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TypeVar

from yiapi.calls import Attempt
from yiapi.channels import Channel, Channels, Credential, Health, Outcome, RetryBudget, pick_credential
from yiapi.clock import Clock, whole_ms
from yiapi.dispatch.faults import POLICIES, error_for, may_try_again
from yiapi.dispatch.models import AttemptFailed, Begun, Errand, Won
from yiapi.errors import NoChannelAvailable, RateLimited, StationError, UpstreamTimeout
from yiapi.logs import get_logger
from yiapi.providers.contract import Fault

T = TypeVar("T")
Try = Callable[[Channel, Credential], Awaitable[T]]

ATTEMPTS_MAX = 3
SAME_CHANNEL_WAIT_S_MAX = 2.0
BACKOFF_S = 0.1
BACKOFF_S_MAX = 2.0
DETAIL_CHARACTERS_MAX = 500

log = get_logger()


class Unclear(Exception):
    """A submission ended without anybody knowing whether the vendor took it; ``channel`` is where."""

    def __init__(self, channel: Channel, credential: Credential) -> None:
        super().__init__(channel.id)
        self.channel = channel
        self.credential = credential


class Dispatcher:
    """Carries errands to channels."""

    def __init__(self, channels: Channels, clock: Clock, *, attempts_max: int = ATTEMPTS_MAX) -> None:
        self._channels = channels
        self._clock = clock
        self.health = Health(clock, random.Random())  # noqa: S311 - spreads load, guards nothing
        self._retries = RetryBudget(clock)
        self._attempts_max = attempts_max
        self._spread = 0
        self._waiting: dict[str, int] = {}

    async def run(
        self,
        errand: Errand,
        attempt: Try[T],
        *,
        holds_channel: bool = False,
        first: tuple[Begun, AttemptFailed] | None = None,
    ) -> Won[T]:
        """Make attempts until one works and return it; every attempt is noted in the errand.

        With ``holds_channel`` the winner keeps its place on the channel until ``ended`` is called (a stream). ``first``
        is an attempt that was made before and has failed. Raises the StationError that the caller gets after the last
        attempt, and Unclear for a submission.
        """
        tried: list[str] = []
        failed: AttemptFailed | None = None
        goes_on = True
        if first is None:
            self.count(errand)
        else:
            tried.append(first[0].channel.id)
            failed = first[1]
            goes_on = await self._failed(errand, first[0], failed, len(tried))
        while goes_on:
            begun = self.begin(errand, tried)
            if begun is None and failed is not None:
                begun = await self._same_again(errand, failed)
            if begun is None:
                break
            tried.append(begun.channel.id)
            try:
                value = await attempt(begun.channel, begun.credential)
            except AttemptFailed as error:
                failed = error
                goes_on = await self._failed(errand, begun, error, len(tried))
            except BaseException:
                self.broken(begun)
                raise
            else:
                return self.worked(begun, value, holds_channel=holds_channel)
        raise self._last_word(errand, failed) from failed

    # One attempt

    def count(self, errand: Errand) -> None:
        """Count a caller's request, of which a share may be spent on further attempts."""
        self._retries.note_request((errand.provider.slug, errand.mode))

    def begin(self, errand: Errand, tried: Collection[str] = ()) -> Begun | None:
        """Begin an attempt on the best channel that was not tried, and note it; None if there is none."""
        began = self._clock.monotonic()
        if began >= errand.deadline_at:
            return None
        channel = self.health.take(self._candidates(errand), tried=tried, load=errand.load and self._load(errand))
        if channel is None:
            return None
        credential = self._credential(errand, channel)
        noted = Attempt(channel.id, credential.id, self._clock.now_ms())
        errand.attempts.append(noted)
        return Begun(channel, credential, noted, began)

    def undo(self, errand: Errand, begun: Begun) -> None:
        """Take back an attempt of which nothing was sent."""
        self.health.end(begun.channel, "neutral")
        errand.attempts.remove(begun.attempt)

    def worked(self, begun: Begun, value: T, *, holds_channel: bool = False) -> Won[T]:
        """End an attempt that worked."""
        begun.attempt.duration_ms = self._since(begun.began)
        if not holds_channel:
            self.health.end(begun.channel, "success")
        return Won(value, begun.channel, begun.credential, begun.attempt)

    def broken(self, begun: Begun) -> None:
        """End an attempt that was given up, which says nothing of its channel."""
        self.health.end(begun.channel, "neutral")
        begun.attempt.duration_ms = self._since(begun.began)

    async def _failed(self, errand: Errand, begun: Begun, error: AttemptFailed, number: int) -> bool:
        """End an attempt that failed; return whether another may be made. Raises Unclear."""
        self._note(begun.attempt, error, begun.began)
        await self._punish(begun.channel, begun.credential, error)
        if error.is_unclear:
            raise Unclear(begun.channel, begun.credential) from error
        return number < self._attempts_max and self._may_go_on(errand, error, begun.channel)

    def ended(self, won: Won[T], fault: Fault | None, *, is_our_fault: bool = True) -> None:
        """Give back the channel of a stream that ended."""
        won.attempt.fault = fault
        won.attempt.duration_ms = self._clock.now_ms() - won.attempt.started_at_ms
        outcome: Outcome = "success" if fault is None else "failure" if is_our_fault else "neutral"
        self.health.end(won.channel, outcome)

    async def _same_again(self, errand: Errand, failed: AttemptFailed) -> Begun | None:
        """Take a channel that has failed once more after a wait, because no other is left."""
        remaining_s = errand.deadline_at - self._clock.monotonic()
        if remaining_s <= 0 or POLICIES[failed.fault].effect == "disable":
            return None
        wait_s = failed.retry_after_s
        if wait_s is None:
            wait_s = random.uniform(0, min(BACKOFF_S * 2 ** len(errand.attempts), BACKOFF_S_MAX))  # noqa: S311 - jitter
        if wait_s > min(SAME_CHANNEL_WAIT_S_MAX, remaining_s):
            return None
        await asyncio.sleep(wait_s)
        return self.begin(errand)

    def _candidates(self, errand: Errand) -> Sequence[Channel]:
        found = self._channels.candidates(errand.provider.slug, errand.mode, errand.price_group, errand.model)
        if errand.only_channel is not None:
            found = [channel for channel in found if channel.id == errand.only_channel]
        if errand.fits is not None:
            found = [channel for channel in found if errand.fits(channel)]
        return found

    def has_choice(self, errand: Errand) -> bool:
        """Whether there is more than one channel to choose from."""
        return len(self._candidates(errand)) > 1

    def note_waiting(self, channel: Channel, count: int) -> None:
        """Remember how many tasks a vendor said are waiting there; a sandbox has no memory."""
        if not channel.is_sandbox:
            self._waiting[channel.id] = count

    def _load(self, errand: Errand) -> Mapping[str, int] | None:
        if errand.load is None:
            return None
        return {
            channel.id: errand.load.get(channel.id, 0) + self._waiting.get(channel.id, 0)
            for channel in self._candidates(errand)
        }

    def _credential(self, errand: Errand, channel: Channel) -> Credential:
        if errand.only_credential is not None:
            for credential in channel.credentials:
                if credential.id == errand.only_credential:
                    return credential
        self._spread += 1
        return pick_credential(channel, self._spread)

    def _note(self, noted: Attempt, error: AttemptFailed, began: float) -> None:
        noted.fault = error.fault
        noted.http_status = error.status
        noted.detail = error.words.message[:DETAIL_CHARACTERS_MAX] if error.words else None
        noted.duration_ms = self._since(began)

    def _since(self, began: float) -> int:
        return whole_ms(self._clock.monotonic() - began)

    async def _punish(self, channel: Channel, credential: Credential, error: AttemptFailed) -> None:
        effect = POLICIES[error.fault].effect
        self.health.end(channel, "failure" if effect == "failure" else "neutral")
        if channel.is_sandbox:
            return
        if effect == "cool":
            self.health.cool(channel, error.retry_after_s)
        elif effect == "disable":
            log.error("channel_refused_us", channel=channel.id, credential=credential.hint, fault=error.fault.value)
            try:
                await self._channels.disable_credential(credential.id, error.fault.value)
            except StationError as storage:
                log.warning("credential_not_disabled", credential=credential.hint, error=storage.code)

    def _may_go_on(self, errand: Errand, error: AttemptFailed, channel: Channel) -> bool:
        if not may_try_again(error, errand.kind, may_repeat_after_timeout=errand.operation.may_repeat_after_timeout):
            return False
        return channel.is_sandbox or self._retries.may_retry((errand.provider.slug, errand.mode))

    def _last_word(self, errand: Errand, failed: AttemptFailed | None) -> StationError:
        if failed is not None:
            return error_for(failed, shortest_wait_s=self.health.shortest_wait(self._candidates(errand)))
        if errand.deadline_at <= self._clock.monotonic():
            return UpstreamTimeout("The call's time was over before a channel was free.")
        wait_s = self.health.shortest_wait(self._candidates(errand))
        if wait_s is not None:
            return RateLimited("Every channel for this model is at its limit.", retry_after_s=max(wait_s, 1.0))
        wait_s = self.health.shortest_return(self._candidates(errand))
        return NoChannelAvailable("No channel is available for this call now.", retry_after_s=wait_s or 30)

"""Which channel to try next, from what was seen of it: pure decisions on counters of this process.

A channel that fails is taken out for a while (its circuit opens) and comes back with one probe; one that is asked too
often cools; one that is full is passed over. Nodes may see a channel differently, and nothing depends on their
agreeing. A sandbox channel has no memory: whatever one caller rehearses there, the next one does not notice.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from yiapi.channels.models import Channel
from yiapi.clock import Clock

Outcome = Literal["success", "failure", "neutral"]
Circuit = Literal["closed", "open", "half_open"]

CONSECUTIVE_FAILURES_MAX = 5
WINDOW_S = 30
WINDOW_REQUESTS_MIN = 20
WINDOW_FAILURE_SHARE = 0.3
EJECTION_S = 30.0
EJECTION_MAX_S = 300.0
ALL_OUT_EJECTION_S = 25.0  # a provider that comes back is used again within 30 s, whatever was before
JITTER_SHARE = 0.1
COOL_DEFAULT_S = 1.0
COOL_MAX_S = 300.0


@dataclass(frozen=True, slots=True)
class ChannelState:
    """What this process has seen of one channel."""

    channel_id: str
    circuit: Circuit
    returns_s: float  # until a probe may be sent
    cooled_s: float
    in_flight: int
    ejections: int  # in a row


class _State:
    """The memory of one channel."""

    __slots__ = (
        "closed_at",
        "consecutive",
        "cooled_until",
        "ejections",
        "failures",
        "in_flight",
        "is_needed",
        "is_open",
        "requests",
        "returns_at",
        "returns_at_alone",
        "second",
        "sum_failures",
        "sum_requests",
        "trials",
    )

    def __init__(self) -> None:
        self.in_flight = 0
        self.cooled_until = 0.0
        self.is_open = False
        self.is_needed = False  # used although it is out, because most others are out too
        self.trials = 0  # calls that run although it is out
        self.returns_at = -math.inf
        self.returns_at_alone = -math.inf  # the same if every other channel is out too
        self.closed_at = -math.inf
        self.ejections = 0
        self.clear()

    def clear(self) -> None:
        """Forget how calls ended."""
        self.consecutive = 0
        self.second = 0
        self.requests = [0] * WINDOW_S
        self.failures = [0] * WINDOW_S
        self.sum_requests = self.sum_failures = 0

    def count(self, *, is_failure: bool, now: float) -> None:
        """Note how a call ended."""
        second = int(now)
        if second != self.second:
            self._advance(second)
        place = self.second % WINDOW_S
        self.requests[place] += 1
        self.sum_requests += 1
        if is_failure:
            self.failures[place] += 1
            self.sum_failures += 1
            self.consecutive += 1
        else:
            self.consecutive = 0

    def _advance(self, second: int) -> None:
        """Drop the seconds that have left the window."""
        for passed in range(self.second + 1, min(second, self.second + WINDOW_S) + 1):
            place = passed % WINDOW_S
            self.sum_requests -= self.requests[place]
            self.sum_failures -= self.failures[place]
            self.requests[place] = self.failures[place] = 0
        self.second = max(second, self.second)

    @property
    def is_failing(self) -> bool:
        """Whether the channel has to go out."""
        return self.consecutive >= CONSECUTIVE_FAILURES_MAX or (
            self.sum_requests >= WINDOW_REQUESTS_MIN and self.sum_failures >= WINDOW_FAILURE_SHARE * self.sum_requests
        )


class Health:
    """The memory of all channels of this process."""

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._random = random
        self._states: dict[str, _State] = {}

    def order(
        self, candidates: Sequence[Channel], *, tried: Collection[str], load: Mapping[str, int] | None = None
    ) -> list[Channel]:
        """Return who may be tried, best first: by priority, by ``load`` if given, among equals at random by weight.

        Left out are those tried before and those that cool, are full or are out. If more than half are out they are
        appended after the others. If all are out nobody is used but one probe each, once it is time.
        """
        now = self._clock.monotonic()
        ready: list[Channel] = []
        out: list[tuple[Channel, _State]] = []
        for channel in candidates:
            state = None if channel.is_sandbox else self._states.get(channel.id)
            if state is not None and state.is_open:
                out.append((channel, state))
            elif channel.id not in tried and (state is None or _is_free(channel, state, now)):
                ready.append(channel)
        if not out:
            return self._arranged(ready, load)
        are_all_out = len(out) == len(candidates)
        late: list[Channel] = []
        for channel, state in out:
            returns_at = state.returns_at_alone if are_all_out else state.returns_at
            state.is_needed = not are_all_out and 2 * len(out) > len(candidates) and now < returns_at
            if channel.id in tried or not _is_free(channel, state, now):
                continue
            if state.is_needed:
                late.append(channel)
            elif now >= returns_at and not state.trials:
                ready.append(channel)
        return self._arranged(ready, load) + self._arranged(late, load)

    def take(
        self, candidates: Sequence[Channel], *, tried: Collection[str], load: Mapping[str, int] | None = None
    ) -> Channel | None:
        """Begin a call on the best channel that may be tried, and return it; None if there is none."""
        if len(candidates) == 1:
            channel = candidates[0]
            state = self._states.get(channel.id)
            if (
                state is not None
                and not state.is_open
                and channel.parallel_max is None
                and channel.id not in tried
                and (not state.cooled_until or self._clock.monotonic() >= state.cooled_until)
            ):
                state.in_flight += 1
                return channel
        for channel in self.order(candidates, tried=tried, load=load):
            if self.begin(channel):
                return channel
        return None

    def begin(self, channel: Channel) -> bool:
        """Note that a call begins; False if the channel is full or its one probe is on its way. Then nothing begins."""
        if channel.is_sandbox:
            return True
        state = self._states.get(channel.id)
        if state is None:
            state = self._states[channel.id] = _State()
        if channel.parallel_max is not None and state.in_flight >= channel.parallel_max:
            return False
        if state.is_open:
            if state.trials and not state.is_needed:
                return False
            state.trials += 1
        state.in_flight += 1
        return True

    def end(self, channel: Channel, outcome: Outcome) -> None:
        """Note how a call ended that had begun; ``neutral`` says nothing about the channel."""
        if channel.is_sandbox:
            return
        state = self._states[channel.id]
        state.in_flight -= 1
        now = self._clock.monotonic()
        if state.is_open:
            self._end_trial(state, outcome, now)
        elif outcome != "neutral":
            is_failure = outcome == "failure"
            state.count(is_failure=is_failure, now=now)
            if state.sum_failures and state.is_failing:
                self._eject(state, now)

    def cool(self, channel: Channel, seconds: float | None = None) -> None:
        """Pass a channel over for the time that its provider stated (at most 300 s), or for one second."""
        if channel.is_sandbox:
            return
        state = self._states.setdefault(channel.id, _State())
        wait_s = COOL_DEFAULT_S if seconds is None else min(max(seconds, 0.0), COOL_MAX_S)
        state.cooled_until = max(state.cooled_until, self._clock.monotonic() + wait_s)

    def shortest_wait(self, candidates: Sequence[Channel]) -> float | None:
        """Return how long until the first of them has cooled, or None if one of them does not cool."""
        waits = [self._cooled_s(channel) for channel in candidates]
        return min(waits) if waits and all(waits) else None

    def shortest_return(self, candidates: Sequence[Channel]) -> float | None:
        """Return how long until the first of them may be tried again, or None if that is now or nobody knows."""
        now = self._clock.monotonic()
        waits: list[float] = []
        for channel in candidates:
            state = None if channel.is_sandbox else self._states.get(channel.id)
            if state is None:
                return None
            waits.append(max(state.cooled_until, state.returns_at_alone if state.is_open else now) - now)
        shortest = min(waits, default=0.0)
        return shortest if shortest > 0 else None

    def states(self) -> list[ChannelState]:
        """Return what was seen of each channel."""
        now = self._clock.monotonic()
        return [
            ChannelState(
                channel_id=channel_id,
                circuit=("half_open" if now >= state.returns_at else "open") if state.is_open else "closed",
                returns_s=max(state.returns_at - now, 0.0) if state.is_open else 0.0,
                cooled_s=max(state.cooled_until - now, 0.0),
                in_flight=state.in_flight,
                ejections=state.ejections,
            )
            for channel_id, state in self._states.items()
        ]

    def _arranged(self, channels: list[Channel], load: Mapping[str, int] | None) -> list[Channel]:
        """Order by priority and load; among equals the first places go by chance, in proportion to the weights."""
        if len(channels) < 2:
            return channels
        random = self._random.random
        return sorted(
            channels,
            key=lambda channel: (
                -channel.priority,
                load.get(channel.id, 0) if load else 0,
                -math.log(1.0 - random()) / channel.weight if channel.weight else math.inf,
            ),
        )

    def _cooled_s(self, channel: Channel) -> float:
        state = None if channel.is_sandbox else self._states.get(channel.id)
        return 0.0 if state is None else max(state.cooled_until - self._clock.monotonic(), 0.0)

    def _end_trial(self, state: _State, outcome: Outcome, now: float) -> None:
        """A call ended while the channel is out; one that had begun before it went out says nothing."""
        if not state.trials:
            return
        state.trials -= 1
        if outcome == "success":
            state.is_open = state.is_needed = False
            state.trials = 0
            state.closed_at = now
            state.clear()
        elif outcome == "failure" and now >= state.returns_at_alone:
            self._eject(state, now)

    def _eject(self, state: _State, now: float) -> None:
        """Open the circuit, for longer each time that it was closed for less than a window."""
        is_in_a_row = state.is_open or now - state.closed_at < WINDOW_S
        state.ejections = state.ejections + 1 if is_in_a_row else 1
        state.is_open = True
        jitter = 1.0 + JITTER_SHARE * self._random.random()
        state.returns_at = now + min(EJECTION_S * state.ejections, EJECTION_MAX_S) * jitter
        state.returns_at_alone = now + ALL_OUT_EJECTION_S * jitter
        state.clear()


def _is_free(channel: Channel, state: _State, now: float) -> bool:
    is_full = channel.parallel_max is not None and state.in_flight >= channel.parallel_max
    return not is_full and now >= state.cooled_until

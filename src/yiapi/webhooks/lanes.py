"""Who is next: free places go round among tenants, and a receiver that fails keeps few of them.

A lane is what shares one receiver: an endpoint, or a group of a tenant's hooks by their host. What is known of lanes is
this worker's own and may be lost: it decides when something is sent, never whether.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit
from zlib import crc32

from yiapi.clock import Clock

AT_ONCE_MAX = 256
TENANT_AT_ONCE_MAX = 32
TENANT_FAILING_AT_ONCE_MAX = 8
LANE_AT_ONCE_MAX = 16
FAILING_AT_ONCE_MAX = 4
SLOWED_AT_ONCE_MAX = 1
REST_S = 5.0
REST_S_MAX = 300.0
FORGET_S = 3600.0
HOOK_LANES = 32

Tenant = tuple[str, str]
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane with deliveries that wait: how many of them are due (counted up to a bound), and since when."""

    name: str
    tenant: Tenant
    due: int
    due_at: int


@dataclass(slots=True)
class _Conduct:
    """How a receiver that fails behaves."""

    failed_at: float
    slowed: int = 0  # how often in a row it asked for time
    rests_until: float = 0.0


class Lanes:
    """The lanes as one worker sees them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failing: dict[str, _Conduct] = {}
        self._forgot_at = clock.monotonic()
        self._in_lane: Counter[str] = Counter()
        self._of_tenant: Counter[Tenant] = Counter()
        self._failing_of_tenant: Counter[Tenant] = Counter()

    @property
    def under_way(self) -> int:
        """Return how many attempts are under way."""
        return self._in_lane.total()

    def share(self, lanes: Sequence[Lane]) -> dict[str, int]:
        """Give each free place to the tenant that has the fewest; return how many each lane gets."""
        open_lanes: dict[Tenant, list[_Claim]] = defaultdict(list)
        for lane in lanes:
            room = min(lane.due, self._allowed(lane.name) - self._in_lane[lane.name])
            if room > 0:
                open_lanes[lane.tenant].append(_Claim(lane, room, is_failing=lane.name in self._failing))
        turns = [
            (self._of_tenant[tenant], min(claim.lane.due_at for claim in claims), tenant)
            for tenant, claims in open_lanes.items()
        ]
        heapq.heapify(turns)
        free = AT_ONCE_MAX - self.under_way
        while free > 0 and turns:
            has, due_at, tenant = heapq.heappop(turns)
            claim = self._next(tenant, open_lanes[tenant])
            if claim is not None:
                claim.taken += 1
                free -= 1
                heapq.heappush(turns, (has + 1, due_at, tenant))
        return {claim.lane.name: claim.taken for claims in open_lanes.values() for claim in claims if claim.taken}

    def _next(self, tenant: Tenant, claims: list[_Claim]) -> _Claim | None:
        """Return the tenant's lane that has the fewest places, if it may have another."""
        failing_left = TENANT_FAILING_AT_ONCE_MAX - self._failing_of_tenant[tenant]
        failing_left -= sum(claim.taken for claim in claims if claim.is_failing)
        if self._of_tenant[tenant] + sum(claim.taken for claim in claims) >= TENANT_AT_ONCE_MAX:
            return None
        able = [claim for claim in claims if claim.taken < claim.room and (not claim.is_failing or failing_left > 0)]
        return min(able, key=lambda one: (self._in_lane[one.lane.name] + one.taken, one.lane.due_at), default=None)

    def _allowed(self, lane: str) -> int:
        conduct = self._failing.get(lane)
        if conduct is None:
            return LANE_AT_ONCE_MAX
        if conduct.rests_until > self._clock.monotonic():
            return 0
        return SLOWED_AT_ONCE_MAX if conduct.slowed else FAILING_AT_ONCE_MAX

    def began(self, lane: str, tenant: Tenant) -> bool:
        """Note an attempt, and return whether it is one of a failing lane: ``ended`` wants to know."""
        is_failing = lane in self._failing
        self._in_lane[lane] += 1
        self._of_tenant[tenant] += 1
        self._failing_of_tenant[tenant] += is_failing
        return is_failing

    def ended(self, lane: str, tenant: Tenant, *, was_failing: bool) -> None:
        """Note that an attempt is over."""
        _count_down(self._in_lane, lane)
        _count_down(self._of_tenant, tenant)
        if was_failing:
            _count_down(self._failing_of_tenant, tenant)

    def succeeded(self, lane: str) -> None:
        """Note that a receiver took something."""
        self._failing.pop(lane, None)

    def failed(self, lane: str, *, asks_for_time: bool, retry_after_s: float | None) -> None:
        """Note that a receiver failed; one that asks for time rests: as long as it says, else longer each time."""
        now = self._clock.monotonic()
        self._forget(now - FORGET_S)
        conduct = self._failing.setdefault(lane, _Conduct(now))
        conduct.failed_at = now
        if asks_for_time:
            rest_s = retry_after_s if retry_after_s is not None else REST_S * 2**conduct.slowed
            conduct.slowed = min(conduct.slowed + 1, 10)
            conduct.rests_until = max(conduct.rests_until, now + min(rest_s, REST_S_MAX))

    def _forget(self, before: float) -> None:
        """Forget what was seen long ago, now and then: who failed then begins anew."""
        if before > self._forgot_at:
            self._forgot_at = before + FORGET_S
            self._failing = {name: one for name, one in self._failing.items() if one.failed_at >= before}


@dataclass(slots=True)
class _Claim:
    """How many places a lane may have, and how many it got."""

    lane: Lane
    room: int
    is_failing: bool
    taken: int = 0


def _count_down(counts: Counter[K], key: K) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]


def hook_lane(account_id: str, mode: str, url: str) -> str:
    """Return the lane of a task's own hook: a tenant has a bounded number of them, whatever hosts it names."""
    host = urlsplit(url).netloc.lower()
    return f"hooks:{account_id}:{mode}:{crc32(host.encode()) % HOOK_LANES:02}"

"""The courier: takes what is due to its receivers, round by round, and writes down what came of it.

A claim is a lease with a fence. Whoever dies between sending and writing leaves the delivery to the next claim after
the lease, which sends it again under the same id: twice is possible, never is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping

from yiapi.clock import Clock
from yiapi.db import Database, Row, Transaction
from yiapi.errors import StationError
from yiapi.logs import get_logger
from yiapi.metrics import Metrics
from yiapi.webhooks import store
from yiapi.webhooks.lanes import LANE_AT_ONCE_MAX, Lanes
from yiapi.webhooks.models import Attempt, DeadReason, DisabledReason, Endpoint, Parcel, attempts_of
from yiapi.webhooks.schedule import Outcome, asks_for_time, outcome_of, pause_s
from yiapi.webhooks.secrets import Secrets
from yiapi.webhooks.sending import ATTEMPT_S, Sender, Sent

PAUSE_S = 0.25
ROUND_PAUSE_S = 0.02
LEASE_S = 30.0
FLUSH_S = 5.0
FINISH_S = ATTEMPT_S + 5.0
KEPT_MS = 30 * 86_400 * 1000
SWEEP_ROWS_MAX = 500
ACTOR = "station"

log = get_logger()


class Courier:
    """Delivers for one worker. ``wake`` is set when something may be due."""

    def __init__(
        self,
        database: Database,
        secrets: Secrets,
        sender: Sender,
        clock: Clock,
        metrics: Metrics,
        wake: asyncio.Event,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._secrets = secrets
        self._sender = sender
        self._metrics = metrics
        self._wake = wake
        self._chance = chance
        self._lanes = Lanes(clock)
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Deliver what is due, for ever; an outage of the database is waited out."""
        while True:
            self._wake.clear()
            begun = 0
            try:
                begun = await self.deliver_once()
            except StationError as error:
                log.warning("courier_waits", error=error.code)
            except Exception:
                log.exception("courier_broke")
            if not begun:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), PAUSE_S)
            await asyncio.sleep(ROUND_PAUSE_S)

    async def deliver_once(self) -> int:
        """Claim what is due, as far as there are places, and begin to send it; return how many were claimed."""
        waiting = await self._database.read(lambda tx: store.due_lanes(tx, counted=LANE_AT_ONCE_MAX))
        places = self._lanes.share(waiting)
        if not places:
            return 0
        parcels = await self._database.write(lambda tx: self._claim(tx, places))
        for parcel in parcels:
            delivering = asyncio.create_task(self._deliver(parcel))
            self._under_way.add(delivering)
            delivering.add_done_callback(self._under_way.discard)
        return len(parcels)

    async def flush(self) -> None:
        """Deliver what is due before this worker goes, as far as a few seconds reach; the rest stays for others."""
        with contextlib.suppress(TimeoutError, StationError):
            async with asyncio.timeout(FLUSH_S):
                while await self.deliver_once():
                    await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)

    async def finish(self) -> None:
        """Wait for the attempts that are under way; what takes longer is delivered again by another."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=FINISH_S)

    async def sweep(self) -> None:
        """Forget deliveries of thirty days ago."""
        while (
            await self._database.write(lambda tx: store.sweep(tx, age_ms=KEPT_MS, limit=SWEEP_ROWS_MAX))
            == SWEEP_ROWS_MAX
        ):
            pass

    # Claiming

    def _claim(self, tx: Transaction, places: Mapping[str, int]) -> list[Parcel]:
        """Take parcels with their address and secrets; what has no receiver any more is dead."""
        rows = store.claim(tx, places, lease_ms=round(LEASE_S * 1000))
        endpoints = store.endpoints_of(tx, rows)
        secrets = self._secrets.of(tx, {_owner_of(row) for row in rows})
        parcels = []
        for row in rows:
            parcel = _parcel(row, endpoints.get(row["endpoint_id"]), secrets.get(_owner_of(row), ()))
            endpoint = endpoints.get(row["endpoint_id"])
            if row["endpoint_id"] is not None and (endpoint is None or not endpoint.enabled):
                reason = DeadReason.ENDPOINT_DELETED if endpoint is None else DeadReason.ENDPOINT_DISABLED
                store.note_dead(tx, parcel, parcel.attempts, reason)
            else:
                parcels.append(parcel)
        return parcels

    # Delivering

    async def _deliver(self, parcel: Parcel) -> None:
        tenant = (parcel.account_id, parcel.mode)
        was_failing = self._lanes.began(parcel.lane, tenant)
        if not parcel.tries and not parcel.attempts:
            self._metrics.delivery_wait.observe(max(parcel.claimed_at - parcel.created_at, 0) / 1000)
        try:
            await self._note(parcel, await self._send(parcel))
        except StationError as error:
            log.warning("delivery_not_noted", delivery_id=parcel.id, error=error.code)
        except Exception:
            log.exception("delivery_broke", delivery_id=parcel.id)
        finally:
            self._lanes.ended(parcel.lane, tenant, was_failing=was_failing)
            self._wake.set()

    async def _send(self, parcel: Parcel) -> Sent:
        if parcel.endpoint_id is not None and not parcel.secrets:
            return Sent(Attempt(parcel.claimed_at, None, "The station could not sign it."))
        return await self._sender.send(parcel.url, parcel.event_id, parcel.body, parcel.secrets)

    async def _note(self, parcel: Parcel, sent: Sent) -> None:
        """Write down what came of an attempt, and what follows from it."""
        status, attempts = sent.attempt.status, (*parcel.attempts, sent.attempt)
        outcome = outcome_of(status)
        self._metrics.deliveries.labels(outcome.value).inc()
        if outcome is Outcome.DELIVERED:
            self._lanes.succeeded(parcel.lane)
            await self._database.write(lambda tx: store.note_delivered(tx, parcel, attempts))
            return
        self._lanes.failed(
            parcel.lane,
            asks_for_time=asks_for_time(status, sent.retry_after_s),
            retry_after_s=sent.retry_after_s,
        )
        wait_s = pause_s(parcel.tries + 1, sent.retry_after_s, self._chance)
        if outcome is Outcome.GONE:
            disabled = await self._database.write(lambda tx: _end(tx, parcel, attempts, DeadReason.GONE))
        elif wait_s is None:
            disabled = await self._database.write(lambda tx: _end(tx, parcel, attempts, DeadReason.ATTEMPTS_USED))
        else:
            await self._database.write(lambda tx: store.note_failed(tx, parcel, attempts, pause_s=wait_s))
            return
        log.warning("delivery_dead", delivery_id=parcel.id, endpoint_id=parcel.endpoint_id, status=status)
        if disabled:
            log.warning("webhook_endpoint_disabled", endpoint_id=parcel.endpoint_id, account_id=parcel.account_id)


def _end(tx: Transaction, parcel: Parcel, attempts: tuple[Attempt, ...], reason: DeadReason) -> bool:
    """Give a delivery up; return whether its endpoint is switched off for that."""
    endpoint_id = parcel.endpoint_id
    if not store.note_dead(tx, parcel, attempts, reason) or endpoint_id is None:
        return False
    if reason is DeadReason.GONE:
        is_off = store.disable_endpoint(tx, endpoint_id, DisabledReason.GONE)
    else:
        is_off = store.disable_failing(tx, endpoint_id, since=parcel.round_began_at)
    if is_off:
        store.audit(tx, ACTOR, "webhook_endpoint.disable", endpoint_id, {"reason": reason.value})
    return is_off


def _owner_of(row: Row) -> str:
    return row["endpoint_id"] or store.hooks_owner(row["account_id"], row["mode"])


def _parcel(row: Row, endpoint: Endpoint | None, secrets: tuple[str, ...]) -> Parcel:
    return Parcel(
        id=row["id"],
        fence=row["fence"],
        lane=row["lane"],
        account_id=row["account_id"],
        mode=row["mode"],
        endpoint_id=row["endpoint_id"],
        url=row["url"] or (endpoint.url if endpoint is not None else ""),
        event_id=row["event_id"],
        body=row["body"],
        secrets=secrets,
        attempts=attempts_of(row),
        tries=row["tries"],
        round_began_at=row["round_began_at"],
        created_at=row["created_at"],
        claimed_at=row["now"],
    )

"""The SQL of hooks. Nothing here commits, and secrets come and go sealed.

Every write of an outcome carries the fence of its claim, so that a courier who was away too long changes nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from yiapi.db import Row, Transaction, queries
from yiapi.ids import new_id
from yiapi.webhooks.lanes import Lane, hook_lane
from yiapi.webhooks.models import (
    Attempt,
    DeadReason,
    Delivery,
    DeliveryStatus,
    DisabledReason,
    Endpoint,
    Event,
    EventType,
    Parcel,
    delivery_of,
    endpoint_of,
)

SQL = queries("webhooks")

ATTEMPTS_KEPT_MAX = 30
DUE_READ_MAX = 256
CHANGED_AT_ONCE_MAX = 5000
SECRETS_MAX = 5
SECRET_SIGNS_ON_MS = 24 * 3600 * 1000

Place = tuple[int, str]

# Endpoints


def insert_endpoint(tx: Transaction, account_id: str, mode: str, url: str, events: Sequence[EventType] | None) -> str:
    """Write a new endpoint and return its id."""
    endpoint_id = new_id("whe")
    tx.run(SQL.insert_endpoint, id=endpoint_id, account_id=account_id, mode=mode, url=url, events=_events_text(events))
    return endpoint_id


def endpoint_count(tx: Transaction, account_id: str, mode: str) -> int:
    """Count a tenant's endpoints."""
    row = tx.one(SQL.endpoint_count, account_id=account_id, mode=mode)
    return int(row["count"]) if row else 0


def find_endpoint(tx: Transaction, account_id: str, mode: str, endpoint_id: str) -> Endpoint | None:
    """Return a tenant's endpoint."""
    row = tx.one(SQL.endpoint, account_id=account_id, mode=mode, id=endpoint_id)
    return None if row is None else endpoint_of(row)


def endpoints(tx: Transaction, account_id: str, mode: str, *, before: Place, limit: int) -> list[Endpoint]:
    """Return a page of a tenant's endpoints, newest first."""
    rows = tx.all(SQL.endpoints, account_id=account_id, mode=mode, before=before[0], before_id=before[1], limit=limit)
    return [endpoint_of(row) for row in rows]


def listening(tx: Transaction, account_id: str, mode: str, event_type: EventType) -> list[Endpoint]:
    """Return a tenant's endpoints that are to be told of this."""
    rows = tx.all(SQL.enabled_endpoints, account_id=account_id, mode=mode)
    return [endpoint for endpoint in map(endpoint_of, rows) if endpoint.wants(event_type)]


def update_endpoint(tx: Transaction, endpoint_id: str, url: str, events: Sequence[EventType] | None) -> None:
    """Write where an endpoint leads, and what it is told of."""
    tx.run(SQL.update_endpoint, id=endpoint_id, url=url, events=_events_text(events))


def enable_endpoint(tx: Transaction, endpoint_id: str) -> bool:
    """Switch an endpoint on; False if it was on."""
    return tx.run(SQL.enable_endpoint, id=endpoint_id) == 1


def disable_endpoint(tx: Transaction, endpoint_id: str, reason: DisabledReason) -> bool:
    """Switch an endpoint off, and try nothing more of what waits for it; False if it was off."""
    is_new = tx.run(SQL.disable_endpoint, id=endpoint_id, reason=reason.value) == 1
    if is_new:
        bury(tx, endpoint_id, DeadReason.ENDPOINT_DISABLED)
    return is_new


def disable_failing(tx: Transaction, endpoint_id: str, *, since: int) -> bool:
    """Switch an endpoint off to which nothing was delivered since then; False if something was, or it was off."""
    is_new = tx.run(SQL.disable_failing, id=endpoint_id, reason=DisabledReason.FAILING.value, since=since) == 1
    if is_new:
        bury(tx, endpoint_id, DeadReason.ENDPOINT_DISABLED)
    return is_new


def delete_endpoint(tx: Transaction, endpoint_id: str) -> None:
    """Delete an endpoint with its secrets; what waits for it is dead."""
    tx.run(SQL.delete_secrets, owner=endpoint_id)
    tx.run(SQL.delete_endpoint, id=endpoint_id)
    bury(tx, endpoint_id, DeadReason.ENDPOINT_DELETED)


def bury(tx: Transaction, lane: str, reason: DeadReason) -> None:
    """Try nothing more of what waits in a lane: of the first thousands at once, of others when their turn comes."""
    tx.run(SQL.bury_lane, lane=lane, reason=reason.value, limit=CHANGED_AT_ONCE_MAX)


def _events_text(events: Sequence[EventType] | None) -> str | None:
    return None if events is None else msgspec.json.encode(events).decode()


# Secrets


def hooks_owner(account_id: str, mode: str) -> str:
    """Return who owns the secret of a tenant's hooks."""
    return f"hooks:{account_id}:{mode}"


def insert_secret(tx: Transaction, owner: str, secret_id: str, sealed: str) -> None:
    """Write a new secret; the ones before it sign along for a day, at most five in all."""
    tx.run(SQL.retire_secrets, owner=owner, signs_ms=SECRET_SIGNS_ON_MS)
    tx.run(SQL.insert_secret, id=secret_id, owner=owner, sealed=sealed)
    tx.run(SQL.delete_old_secrets, owner=owner, most=SECRETS_MAX)


def sealed_secrets(tx: Transaction, owners: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
    """Return the secrets that sign now, by owner, newest first: id and sealed text."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in tx.all(SQL.secrets, owners=_listed(owners)):
        found[row["owner"]].append((row["id"], row["sealed"]))
    return found


# Deliveries


def put_out(tx: Transaction, event: Event, endpoint_ids: Sequence[str], body: str) -> None:
    """Write an event for some endpoints; it has one id for all of them."""
    event_id = new_id("evt")
    for endpoint_id in endpoint_ids:
        _insert_delivery(tx, event, event_id, lane=endpoint_id, endpoint_id=endpoint_id, url=None, body=body)


def put_out_hook(tx: Transaction, event: Event, url: str, body: str) -> None:
    """Write an event for a task's own hook."""
    lane = hook_lane(event.account_id, event.mode, url)
    _insert_delivery(tx, event, new_id("evt"), lane=lane, endpoint_id=None, url=url, body=body)


def _insert_delivery(
    tx: Transaction, event: Event, event_id: str, *, lane: str, endpoint_id: str | None, url: str | None, body: str
) -> None:
    tx.run(
        SQL.insert_delivery,
        id=new_id("dlv"),
        account_id=event.account_id,
        mode=event.mode,
        lane=lane,
        endpoint_id=endpoint_id,
        task_id=event.task_id,
        url=url,
        event_id=event_id,
        event_type=event.type.value,
        body=body,
    )


def find_delivery(tx: Transaction, account_id: str, mode: str, delivery_id: str) -> Delivery | None:
    """Return a tenant's delivery."""
    row = tx.one(SQL.delivery, account_id=account_id, mode=mode, id=delivery_id)
    return None if row is None else delivery_of(row)


def deliveries(
    tx: Transaction, account_id: str, mode: str, *, before: Place, limit: int, filters: Mapping[str, str]
) -> list[Delivery]:
    """Return a page of a tenant's deliveries, newest first; ``filters`` may name status, endpoint_id, task_id."""
    chosen = {name: filters.get(name, "") for name in ("status", "endpoint_id", "task_id")}
    rows = tx.all(
        SQL.deliveries, account_id=account_id, mode=mode, before=before[0], before_id=before[1], limit=limit, **chosen
    )
    return [delivery_of(row) for row in rows]


def of_anybody(tx: Transaction, *, status: str, account_id: str, limit: int) -> list[tuple[str, str, Delivery]]:
    """Return the newest deliveries with their account and mode, for the operator; an empty text stands for all."""
    rows = tx.all(SQL.of_anybody, status=status, account_id=account_id, limit=limit)
    return [(row["account_id"], row["mode"], delivery_of(row)) for row in rows]


def tenant_of(tx: Transaction, delivery_id: str) -> tuple[str, str] | None:
    """Return whose a delivery is, for the operator."""
    row = tx.one(SQL.tenant_of, id=delivery_id)
    return None if row is None else (row["account_id"], row["mode"])


def replay(tx: Transaction, account_id: str, mode: str, delivery_id: str) -> bool:
    """Begin a new round of attempts; False if there is no such delivery."""
    return tx.run(SQL.replay, account_id=account_id, mode=mode, id=delivery_id) == 1


def replay_span(
    tx: Transaction,
    account_id: str,
    mode: str,
    *,
    from_ms: int,
    to_ms: int,
    endpoint_id: str = "",
    status: DeliveryStatus = DeliveryStatus.DEAD,
) -> int:
    """Begin a new round for what was put out in a span of time, where the endpoint is on; return how many.

    There are at most some thousands at once: the oldest.
    """
    return tx.run(
        SQL.replay_span,
        account_id=account_id,
        mode=mode,
        from_ms=from_ms,
        to_ms=to_ms,
        endpoint_id=endpoint_id,
        status=status.value,
        limit=CHANGED_AT_ONCE_MAX,
    )


def sweep(tx: Transaction, *, age_ms: int, limit: int) -> int:
    """Forget deliveries of that age that are over; return how many."""
    return tx.run(SQL.sweep, age_ms=age_ms, limit=limit)


# On the way


def due_lanes(tx: Transaction, *, counted: int) -> list[Lane]:
    """Return the lanes in which something is due, and how much, as far as it is counted.

    Little is read whole. Where much is due, some lane is full, and the others are to be found beside it.
    """
    rows = tx.all(SQL.due, limit=DUE_READ_MAX)
    if len(rows) == DUE_READ_MAX:
        found = tx.all(SQL.lanes, counted=counted)
        return [Lane(row["lane"], (row["account_id"], row["mode"]), row["due"], row["due_at"]) for row in found]
    counts = Counter(row["lane"] for row in rows)
    first = {row["lane"]: row for row in reversed(rows)}
    return [Lane(lane, (row["account_id"], row["mode"]), counts[lane], row["due_at"]) for lane, row in first.items()]


def claim(tx: Transaction, places: Mapping[str, int], *, lease_ms: int) -> list[Row]:
    """Take what is due in some lanes; until the lease is over nobody else does."""
    return [
        row for lane, count in places.items() for row in tx.all(SQL.claim, lane=lane, limit=count, lease_ms=lease_ms)
    ]


def endpoints_of(tx: Transaction, rows: Iterable[Row]) -> dict[str, Endpoint]:
    """Return the endpoints that some deliveries are for, by id."""
    ids = {row["endpoint_id"] for row in rows if row["endpoint_id"] is not None}
    return {row["id"]: endpoint_of(row) for row in tx.all(SQL.endpoints_by_id, ids=_listed(ids))} if ids else {}


def note_delivered(tx: Transaction, parcel: Parcel, attempts: Sequence[Attempt]) -> bool:
    """Write that it arrived; False if it is in other hands by now."""
    done = tx.run(SQL.delivered, **_outcome(parcel, attempts)) == 1
    if done and parcel.endpoint_id is not None:
        tx.run(SQL.note_success, id=parcel.endpoint_id)
    return done


def note_failed(tx: Transaction, parcel: Parcel, attempts: Sequence[Attempt], *, pause_s: float) -> bool:
    """Write that it is tried again; False if it is in other hands by now."""
    return tx.run(SQL.failed, pause_ms=round(pause_s * 1000), **_outcome(parcel, attempts)) == 1


def note_dead(tx: Transaction, parcel: Parcel, attempts: Sequence[Attempt], reason: DeadReason) -> bool:
    """Write that it is tried no more; False if it is in other hands by now."""
    return tx.run(SQL.dead, reason=reason.value, **_outcome(parcel, attempts)) == 1


def _outcome(parcel: Parcel, attempts: Sequence[Attempt]) -> dict[str, Any]:
    kept = msgspec.json.encode(attempts[-ATTEMPTS_KEPT_MAX:]).decode()
    return {"id": parcel.id, "fence": parcel.fence, "attempts": kept, "tries": parcel.tries + 1}


def audit(tx: Transaction, actor: str, action: str, subject: str, detail: Mapping[str, Any]) -> None:
    """Note who did what; the detail has no secrets."""
    text = msgspec.json.encode(detail).decode()
    tx.run(SQL.write_audit, id=new_id("audit"), actor=actor, action=action, subject=subject, detail=text)


def _listed(texts: Iterable[str]) -> str:
    return msgspec.json.encode(sorted(texts)).decode()

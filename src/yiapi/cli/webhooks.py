"""``yiapi webhook``: what was delivered to customers and what was not, and delivering it again."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from yiapi.cli.desk import MISUSED, OPERATOR, Desk, at_desk, saying, tell
from yiapi.cli.options import AsJson, Data, DatabaseUrl
from yiapi.clock import rfc3339, rfc3339_or_none
from yiapi.db import Transaction
from yiapi.errors import NotFound
from yiapi.webhooks import Delivery, DeliveryStatus, store
from yiapi.webhooks.service import replay

webhook = typer.Typer(help="Deliveries of events to customers.", no_args_is_help=True)


@webhook.command("list")
def list_deliveries(
    status: Annotated[str, typer.Option(help="pending, delivered or dead; default: all.")] = "",
    account_id: Annotated[str, typer.Option("--account", help="Of one account.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 50,
    data: Data = None,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List deliveries, newest first."""
    with saying(MISUSED):
        if status and status not in set(DeliveryStatus):
            raise ValueError(f"a status is {', '.join(DeliveryStatus)}, not {status}")

    async def work(desk: Desk) -> list[dict[str, Any]]:
        found = await desk.database.read(
            lambda tx: store.of_anybody(tx, status=status, account_id=account_id, limit=limit)
        )
        return [_described(*one) for one in found]

    tell(at_desk(work, data=data, database=database, must_exist=True), as_json=as_json)


@webhook.command("replay")
def replay_delivery(delivery_id: str, data: Data = None, database: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Deliver again, under the same event id; the station's worker does it within a second."""

    async def work(desk: Desk) -> dict[str, Any]:
        def again(tx: Transaction) -> dict[str, Any]:
            tenant = store.tenant_of(tx, delivery_id)
            if tenant is None:
                raise NotFound("no delivery has this id")
            store.audit(tx, OPERATOR, "delivery.replay", delivery_id, {})
            return _described(*tenant, replay(tx, *tenant, delivery_id))

        return await desk.database.write(again)

    tell(at_desk(work, data=data, database=database, must_exist=True), as_json=as_json)


def _described(account_id: str, mode: str, one: Delivery) -> dict[str, Any]:
    last = one.attempts[-1] if one.attempts else None
    return {
        "id": one.id,
        "account": account_id,
        "mode": mode,
        "endpoint": one.endpoint_id,
        "task": one.task_id,
        "event": one.event_type.value,
        "status": one.status.value if one.dead_reason is None else f"{one.status.value} ({one.dead_reason.value})",
        "attempts": len(one.attempts),
        "last": None if last is None else last.status or last.excerpt,
        "next": rfc3339_or_none(one.next_attempt_at),
        "created": rfc3339(one.created_at),
    }

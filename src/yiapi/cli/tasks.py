"""``yiapi task``: the tasks of every customer, as the operator sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, cast

import typer
from prometheus_client import CollectorRegistry
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from yiapi.calls import Calls
from yiapi.cli.desk import Desk, at_desk, secret_of, tell
from yiapi.cli.options import AsJson, Data, DatabaseUrl
from yiapi.clock import SystemClock, rfc3339, rfc3339_or_none
from yiapi.db import Transaction
from yiapi.errors import NotFound
from yiapi.metrics import Metrics
from yiapi.providers.contract import Status
from yiapi.providers.registry import Registry
from yiapi.tasks import Task, Tasks, store
from yiapi.upstream import AddressGuard, Fetcher

task = typer.Typer(help="Tasks: durable generations.", no_args_is_help=True)

LIMIT = 20
FRAME_S = 1.0
ESTIMATE_MAX = 95
BAR_WIDTH_MIN = 8

StatusOption = Annotated[str, typer.Option(help="Only with this status.")]
ProviderOption = Annotated[str, typer.Option(help="Only of this provider.")]
OperationOption = Annotated[str, typer.Option(help="Only of this operation.")]
Limit = Annotated[int, typer.Option(help="How many at the most.", min=1, max=1000)]


@task.command("list")
def list_tasks(
    account: Annotated[str | None, typer.Option(help="Of this customer, ended ones too.")] = None,
    mode: Annotated[str, typer.Option(help="Of the customer's live or test keys.")] = "live",
    status: StatusOption = "",
    provider: ProviderOption = "",
    operation: OperationOption = "",
    limit: Limit = LIMIT,
    data: Data = None,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List open tasks of all customers, or all of one."""
    filters = {"status": status, "provider": provider, "operation": operation}

    async def work(desk: Desk) -> list[dict[str, Any]]:
        def read(tx: Transaction) -> list[Task]:
            if account is None:
                return store.open_tasks(tx, limit=limit, filters=filters)
            return store.listed(tx, account, mode, before=(2**62, ""), limit=limit, filters=filters)

        return [_line(one) for one in await desk.database.read(read)]

    tell(at_desk(work, data=data, database=database, must_exist=True), as_json=as_json)


@task.command("show")
def show(task_id: str, data: Data = None, database: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Show one task of whomever: where it runs, what it holds, and why it failed."""

    async def work(desk: Desk) -> dict[str, Any]:
        return _described(await _found(desk, task_id))

    tell(at_desk(work, data=data, database=database, must_exist=True), as_json=as_json)


@task.command("cancel")
def cancel(task_id: str, data: Data = None, database: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """End a task at once and release what it holds; a worker tells its vendor, where that can be."""

    async def work(desk: Desk) -> dict[str, Any]:
        found = await _found(desk, task_id)
        return _described(await _tasks_of(desk).cancel(found.account_id, found.mode, found.id))

    tell(at_desk(work, data=data, database=database, must_exist=True), as_json=as_json)


@task.command("watch")
def watch(
    status: StatusOption = "",
    provider: ProviderOption = "",
    operation: OperationOption = "",
    limit: Limit = LIMIT,
    once: Annotated[bool, typer.Option("--once", help="Print what runs now, and end.")] = False,
    data: Data = None,
    database: DatabaseUrl = None,
) -> None:
    """Watch what runs, until interrupted. A bar with ≈ is an estimate from the usual duration."""
    filters = {"status": status, "provider": provider, "operation": operation}

    async def work(desk: Desk) -> None:
        async def frame() -> Group:
            tasks, counts = await desk.database.read(
                lambda tx: (store.open_tasks(tx, limit=limit, filters=filters), store.open_by_status(tx))
            )
            return picture(tasks, counts, desk.registry, SystemClock().now_ms())

        console = Console()
        if once:
            console.print(await frame())
            return
        with Live(await frame(), console=console, auto_refresh=False, screen=console.is_terminal) as live:
            while True:
                await asyncio.sleep(FRAME_S)
                live.update(await frame(), refresh=True)

    try:
        at_desk(work, data=data, database=database, must_exist=True)
    except KeyboardInterrupt:
        raise typer.Exit from None


def picture(tasks: Sequence[Task], counts: dict[str, int], registry: Registry, now_ms: int) -> Group:
    """Draw open tasks with their bars, and how many there are in all."""
    table = Table(box=None, pad_edge=False, expand=True)
    for name in ("task", "operation", "model", "status"):
        table.add_column(name, no_wrap=True)
    table.add_column("", min_width=BAR_WIDTH_MIN, ratio=1)
    table.add_column("", justify="right")
    table.add_column("age", justify="right")
    for one in tasks:
        percent, is_estimate = progress_of(one, registry, now_ms)
        table.add_row(
            *(Text(text) for text in (one.id, one.operation, one.model, one.status.value)),
            ProgressBar(total=100, completed=percent),
            Text(f"{'≈' if is_estimate else ''}{percent}%"),
            Text(_age(now_ms - one.created_at)),
        )
    total = sum(counts.values())
    words = ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items())) or "nothing runs"
    shown = f"   ({len(tasks)} of {total:,} shown)" if len(tasks) < total else ""
    return Group(Text(words + shown), table) if tasks else Group(Text(words))


def progress_of(task: Task, registry: Registry, now_ms: int) -> tuple[int, bool]:
    """Return how far a task is, and whether that is only an estimate from its operation's usual duration."""
    if task.progress or task.status not in {Status.RUNNING, Status.QUEUED}:
        return task.progress, False
    served = registry.served.get(task.operation)
    usual_s = served.operation.usual_s if served else 60.0
    age_s = max(now_ms - (task.started_at or task.created_at), 0) / 1000
    return min(round(100 * age_s / max(usual_s, 1.0)), ESTIMATE_MAX), True


def _age(milliseconds: int) -> str:
    minutes, seconds = divmod(max(milliseconds, 0) // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


async def _found(desk: Desk, task_id: str) -> Task:
    found = await desk.database.read(lambda tx: store.by_id(tx, task_id))
    if found is None:
        raise NotFound("no task has this id")
    return found


def _tasks_of(desk: Desk) -> Tasks:
    """Build what ends tasks; nothing is submitted from the command line, so there are no calls."""
    from yiapi.app import assets_for, webhooks_for

    settings, database, clock, secret = desk.settings, desk.database, SystemClock(), secret_of(desk.settings)
    guard = AddressGuard(settings.permits)
    fetcher = Fetcher(guard)
    assets = assets_for(settings, secret, database, clock, fetcher)
    webhooks, _, _ = webhooks_for(secret, database, clock, guard, fetcher)
    metrics, no_calls = Metrics(CollectorRegistry()), cast("Calls", None)
    return Tasks(database, desk.registry, no_calls, desk.pricing, assets, metrics, clock, settings, webhooks)


def _line(one: Task) -> dict[str, Any]:
    return {
        "id": one.id,
        "account": one.account_id,
        "mode": one.mode,
        "operation": one.operation,
        "model": one.model,
        "status": one.status.value,
        "progress": one.progress,
        "created_at": rfc3339(one.created_at),
        "error": one.error_code,
    }


def _described(one: Task) -> dict[str, Any]:
    return _line(one) | {
        "provider": one.provider,
        "channel": one.channel_id,
        "credential": one.credential_id,
        "vendor_task_id": one.vendor_task_id,
        "bucket": one.bucket,
        "request_id": one.request_id,
        "held": str(one.held),
        "captured": str(one.captured),
        "started_at": rfc3339_or_none(one.started_at),
        "finished_at": rfc3339_or_none(one.finished_at),
        "deadline_at": rfc3339(one.deadline_at),
        "error_message": one.error_message,
    }

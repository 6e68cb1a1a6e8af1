"""``yiapi serve`` and the processes that it supervises."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from yiapi.cli.options import Data, settings_of
from yiapi.db import migrate
from yiapi.errors import StationError
from yiapi.first_run import FILE, prepare
from yiapi.logs import configure_logs, flush_logs
from yiapi.secrets import SecretUnusable, ServerSecret, load_secret
from yiapi.settings import Settings, load_settings
from yiapi.supervisor import PortTaken, ProcessSpec, bind_socket, run_supervised, wait_ready

READY_S = 60.0


def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on (127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on (8080); 0 takes a free one.")] = None,
    data: Data = None,
    database: Annotated[str | None, typer.Option(help="postgresql://…; default: SQLite in the data folder.")] = None,
    redis: Annotated[str | None, typer.Option(help="redis://…, to share rates between nodes.")] = None,
    assets: Annotated[str | None, typer.Option(help="s3://bucket/prefix; default: a folder.")] = None,
    base_url: Annotated[str | None, typer.Option(help="The public address that links carry.")] = None,
    workers: Annotated[int | None, typer.Option(help="How many gateway processes share the port.")] = None,
    no_sandbox: Annotated[bool, typer.Option("--no-sandbox", help="Start no sandbox.")] = False,
    sandbox_port: Annotated[int | None, typer.Option(help="The sandbox's port (8090); 0 takes a free one.")] = None,
    permit_host: Annotated[list[str] | None, typer.Option(help="A private host that hooks may reach.")] = None,
) -> None:
    """Start the station: gateways, worker and sandbox, watched over until it is told to end."""
    given = {
        "host": host,
        "port": port,
        "data": data,
        "database": database,
        "redis": redis,
        "assets": assets,
        "base_url": base_url,
        "workers": workers,
        "sandbox": False if no_sandbox else None,
        "sandbox_port": sandbox_port,
        "permit_host": tuple(permit_host) if permit_host else None,
    }
    settings = settings_of(**given)
    configure_logs(settings.log_level)
    try:
        raise typer.Exit(_supervise(settings))
    except (SecretUnusable, PortTaken, StationError, OSError) as error:
        typer.echo(f"yiapi: {error}", err=True)
        raise typer.Exit(1) from error


def _supervise(settings: Settings) -> int:
    settings.data.mkdir(parents=True, exist_ok=True)
    secret = load_secret(settings.data, settings.secret.get_secret_value() if settings.secret else None)
    listener = bind_socket(settings.host, settings.port)
    sockets = [listener]
    values: dict[str, object] = {"port": listener.getsockname()[1]}
    beside: socket.socket | None = None
    if settings.sandbox:
        beside = bind_socket("127.0.0.1", settings.sandbox_port)
        sockets.append(beside)
        values["sandbox_port"] = beside.getsockname()[1]
    settings = settings.model_copy(update=values)
    migrate(settings.database_url)
    first = uvloop.run(prepare(settings, secret))
    specs = _processes(settings, secret, listener, beside)
    return run_supervised(specs, sockets=sockets, announce=lambda: _announce(settings, is_first=first is not None))


def _processes(
    settings: Settings, secret: ServerSecret, listener: socket.socket, beside: socket.socket | None
) -> list[ProcessSpec]:
    metrics = settings.data / "metrics"
    shutil.rmtree(metrics, ignore_errors=True)
    metrics.mkdir()
    env = settings.environment() | {"PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    gateway = str(listener.fileno())
    specs = [
        ProcessSpec(f"gateway-{number}", ("gateway", "--fd", gateway, "--number", str(number)), env, (int(gateway),))
        for number in range(settings.workers)
    ]
    specs.append(ProcessSpec("worker", ("worker",), env))
    if beside is not None:
        from yiapi.app import sandbox_key

        args = ("sandbox", "--socket-fd", str(beside.fileno()), "--data", str(settings.data))
        limits = ("--limits",) if settings.sandbox_limits else ()
        sandbox_env = {
            "YIAPI_SANDBOX_KEY": sandbox_key(secret),
            "YIAPI_SANDBOX_TASK_SECONDS": str(settings.sandbox_task_seconds),
        }
        specs.insert(0, ProcessSpec("sandbox", (*args, *limits), sandbox_env, (beside.fileno(),), ends_last=True))
    return specs


def _announce(settings: Settings, *, is_first: bool) -> None:
    """Say where the station is, once it is ready: the first time with everything that a newcomer needs."""
    wait_ready(f"{settings.public_url if not settings.base_url else _own(settings)}/readyz", READY_S)
    lines = [f"YIAPI is ready at {settings.public_url}"]
    if is_first:
        said = json.loads((settings.data / FILE).read_text())
        lines += [
            f"  sandbox        {said['sandbox_url']}",
            f"  administrator  {said['admin']['email']}   {said['admin']['password']}",
            f"  admin key      {said['admin_key']}",
            f"  first key      {said['api_key']}   (play money, sandbox vendors)",
            f"  all of this is in {settings.data / FILE}",
            "",
            *_trial(settings, said["api_key"]),
        ]
    typer.echo("\n".join(lines))
    sys.stdout.flush()


def _own(settings: Settings) -> str:
    return f"http://{settings.host}:{settings.port}"


def _trial(settings: Settings, api_key: str) -> list[str]:
    """Write a call that can be tried at once, of the first operation that says how."""
    from yiapi.providers.registry import Registry

    for served in Registry.discover().served.values():
        if served.operation.trial is not None:
            call = (
                f"  curl -s {settings.public_url}{served.path} -H 'Authorization: Bearer {api_key}' "
                f"-H 'Content-Type: application/json' -d '{served.operation.trial}'"
            )
            return ["Try it:", call]
    return []


def gateway(
    fd: Annotated[int, typer.Option(help="The listening socket that the supervisor made.")],
    number: Annotated[int, typer.Option(help="Which of the gateways this is.")] = 0,
) -> None:
    """Serve callers on an inherited socket; ``yiapi serve`` starts this."""
    from yiapi.serving import serve_gateway

    settings = load_settings()
    configure_logs(settings.log_level)
    _run(serve_gateway(settings, number=number, listener=socket.socket(fileno=fd)))


def worker(
    data: Data = None,
    database: Annotated[str | None, typer.Option(help="The station's database.")] = None,
    name: Annotated[str, typer.Option(help="A name that is the same at every start.")] = "worker",
) -> None:
    """Look after tasks; more of these can run beside a station on PostgreSQL."""
    from yiapi.serving import run_worker

    settings = settings_of(data=data, database=database)
    configure_logs(settings.log_level)
    _run(run_worker(settings, name=name))


def _run(work: object) -> None:
    try:
        uvloop.run(work)  # type: ignore[arg-type]  # a coroutine
    except (SecretUnusable, StationError) as error:
        typer.echo(f"yiapi: {error}", err=True)
        flush_logs()
        raise typer.Exit(1) from error
    except (KeyboardInterrupt, asyncio.CancelledError):
        flush_logs()


def sandbox(context: typer.Context) -> None:
    """Play every vendor; a program of its own, written from the contracts."""
    os.execv(sys.executable, [sys.executable, "-m", "yiapi_sandbox", *context.args])  # noqa: S606 - our own program


def migrate_command(
    data: Data = None,
    database: Annotated[str | None, typer.Option(help="The station's database.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Try it, and roll everything back.")] = False,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Bring the database to this program's schema."""
    settings = settings_of(data=data, database=database)
    Path(settings.data).mkdir(parents=True, exist_ok=True)
    applied = [migration.name for migration in migrate(settings.database_url, dry_run=dry_run)]
    if as_json:
        typer.echo(json.dumps({"dry_run": dry_run, "migrations": applied}))
    else:
        typer.echo("\n".join(applied) if applied else "nothing to do")


__all__ = ["gateway", "migrate_command", "sandbox", "serve", "worker"]

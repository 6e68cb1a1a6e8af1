"""``yiapi channel``: our accounts at the providers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from yiapi.channels import ChannelRow, Routing
from yiapi.cli.desk import FAILED, MISUSED, OPERATOR, Desk, at_desk, listed, saying, tell
from yiapi.cli.options import AsJson, Data, DatabaseUrl
from yiapi.cli.probe import probe
from yiapi.errors import NotFound

channel = typer.Typer(help="Accounts at the providers.", no_args_is_help=True)

PermitHost = Annotated[
    list[str] | None,
    typer.Option("--permit-host", help="A private host that channels may be at; the station needs the same option."),
]


@channel.command("create")
def create(
    provider: Annotated[str, typer.Option(help="The provider: openai, kling, …")],
    credential: Annotated[list[str], typer.Option(help="Its key; @FILE reads a file, - standard input. Repeatable.")],
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Another address than the provider's own.")] = None,
    weight: Annotated[int, typer.Option(help="Its share among channels of the same priority.")] = 1,
    priority: Annotated[int, typer.Option(help="Higher is tried first.")] = 0,
    groups: Annotated[str | None, typer.Option(help="Price groups it serves; default: all.")] = None,
    models: Annotated[str | None, typer.Option(help="Patterns of models it serves; default: all.")] = None,
    model_name: Annotated[list[str] | None, typer.Option(help="ours=theirs. Repeatable.")] = None,
    parallel: Annotated[int | None, typer.Option(help="Calls at once.")] = None,
    setting: Annotated[list[str] | None, typer.Option(help="name=value of the provider. Repeatable.")] = None,
    permit_host: PermitHost = None,
    data: Data = None,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Add a live channel; its credentials are sealed and never shown again."""
    with saying(MISUSED):
        routing = Routing(
            weight=weight,
            priority=priority,
            price_groups=listed(groups),
            models=listed(models),
            model_names=_pairs(model_name),
            settings=_pairs(setting),
            parallel_max=parallel,
        )
        secrets = [_secret(one) for one in credential]

    async def work(desk: Desk) -> dict[str, Any]:
        declared = desk.registry.providers.get(provider)
        if declared is None:
            raise NotFound(f"no provider is named {provider}: {', '.join(desk.registry.providers)}")
        made = await desk.channels.create_channel(
            provider, name or provider, base_url or declared.base_url, secrets, routing=routing, actor=OPERATOR
        )
        return _described(await _row(desk, made))

    tell(at_desk(work, data=data, database=database, permit_host=permit_host), as_json=as_json)


@channel.command("list")
def list_channels(data: Data = None, database: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List channels, sandbox ones too."""

    async def work(desk: Desk) -> list[dict[str, Any]]:
        return [_described(one) for one in await desk.channels.list_channels()]

    tell(at_desk(work, data=data, database=database), as_json=as_json)


@channel.command("show")
def show(channel_id: str, data: Data = None, database: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Show one channel and what it serves; of its credentials the hints."""

    async def work(desk: Desk) -> dict[str, Any]:
        row = await _row(desk, channel_id)
        return _described(row) | {
            "groups": row.routing.price_groups,
            "models": row.routing.models,
            "model_names": dict(row.routing.model_names),
            "settings": sorted(row.routing.settings),  # by name: a value may be a secret
            "parallel": row.routing.parallel_max,
        }

    tell(at_desk(work, data=data, database=database), as_json=as_json)


@channel.command("disable")
def disable(
    channel_id: str,
    reason: Annotated[str, typer.Option(help="Why, for people.")] = "switched off",
    data: Data = None,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Take a channel out of use."""

    async def work(desk: Desk) -> dict[str, Any]:
        row = await _row(desk, channel_id)
        if row.mode == "test":
            raise NotFound("the channels of the sandbox are the station's own and cannot be changed")
        await desk.channels.disable_channel(channel_id, reason, actor=OPERATOR)
        return _described(await _row(desk, channel_id))

    tell(at_desk(work, data=data, database=database), as_json=as_json)


@channel.command("enable")
def enable(channel_id: str, data: Data = None, database: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Put a channel and its credentials back into use."""

    async def work(desk: Desk) -> dict[str, Any]:
        await desk.channels.enable_channel(channel_id, actor=OPERATOR)
        return _described(await _row(desk, channel_id))

    tell(at_desk(work, data=data, database=database), as_json=as_json)


@channel.command("test")
def try_out(
    channel_id: str,
    model: Annotated[str | None, typer.Option(help="Of a chat; default: the cheapest that the channel serves.")] = None,
    permit_host: PermitHost = None,
    data: Data = None,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Ask the vendor for one token, or, where it has no chat, only whether it is there. No wallet is touched."""

    async def work(desk: Desk) -> dict[str, Any]:
        await desk.channels.load()
        found = desk.channels.get(channel_id)
        if found is None:
            raise NotFound("no channel has this id")
        return await probe(desk, found, model)

    said = at_desk(work, data=data, database=database, permit_host=permit_host)
    tell(said, as_json=as_json)
    if said["fault"] is not None:
        raise typer.Exit(FAILED)


async def _row(desk: Desk, channel_id: str) -> ChannelRow:
    for row in await desk.channels.list_channels():
        if row.id == channel_id:
            return row
    raise NotFound("no channel has this id")


def _described(row: ChannelRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "provider": row.provider,
        "name": row.name,
        "mode": row.mode,
        "base_url": row.base_url,
        "weight": row.routing.weight,
        "priority": row.routing.priority,
        "enabled": row.enabled,
        "reason": row.reason,
        "credentials": [one.hint if one.enabled else f"{one.hint} ({one.reason})" for one in row.credentials],
    }


def _secret(text: str) -> str:
    if text == "-":
        return sys.stdin.readline().strip()
    return Path(text[1:]).read_text().strip() if text.startswith("@") else text


def _pairs(texts: list[str] | None) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts or ()]
    if any(not name or not equals for name, equals, _ in pairs):
        raise ValueError("a pair is written name=value")
    return {name: value for name, _, value in pairs}

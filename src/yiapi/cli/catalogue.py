"""``yiapi price`` and ``yiapi operation``: what is sold, for how much, and what is switched off."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from yiapi.cli.desk import MISUSED, OPERATOR, Desk, at_desk, saying, tell
from yiapi.cli.options import AsJson, Data, DatabaseUrl
from yiapi.errors import NotFound
from yiapi.money import NANO_PER_USD
from yiapi.pricing import MULTIPLIER_ONE, PriceEntry, PriceFilter, Switch, units_per_price
from yiapi.providers.contract import Unit

price = typer.Typer(help="The price book.", no_args_is_help=True)
operation = typer.Typer(help="Operations and their switches.", no_args_is_help=True)


@price.command("list")
def list_prices(
    provider: Annotated[str | None, typer.Option(help="One provider's.")] = None,
    text: Annotated[str | None, typer.Option(help="Part of a sku.")] = None,
    data: Data = None,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the prices that hold."""

    async def work(desk: Desk) -> list[dict[str, Any]]:
        await desk.pricing.import_files(desk.registry)
        return [_price(one) for one in await desk.pricing.list_prices(PriceFilter(provider=provider, text=text))]

    tell(at_desk(work, data=data, database=database), as_json=as_json)


@price.command("set")
def set_price(
    provider: str,
    sku: str,
    unit: Unit,
    sell: Annotated[str, typer.Option(help="USD per unit (of tokens and characters: per million).")],
    cost: Annotated[str, typer.Option(help="What the vendor takes, in the same way.")],
    quantity_max: Annotated[int | None, typer.Option(help="The most that one call can use.")] = None,
    data: Data = None,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Write a price: a new version of the book, which running calls do not see."""
    with saying(MISUSED):
        sold, taken = _stored(sell, unit), _stored(cost, unit)

    async def work(desk: Desk) -> dict[str, Any]:
        if provider not in desk.registry.providers:
            raise NotFound(f"no provider is named {provider}")
        version = await desk.pricing.edit(
            provider,
            sku,
            unit,
            sell=sold,
            cost=taken,
            quantity_max=quantity_max,
            is_free=sold == 0,
            author=OPERATOR,
        )
        return {"version": version}

    tell(at_desk(work, data=data, database=database), as_json=as_json)


@price.command("group")
def set_group(
    name: str,
    multiplier: Annotated[str, typer.Argument(help="1 is the list price.")],
    data: Data = None,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Set what a price group pays, as a multiple of the list price."""
    with saying(MISUSED):
        millionths = _whole(Decimal(multiplier) * MULTIPLIER_ONE, "a multiplier has at most six places")

    async def work(desk: Desk) -> dict[str, Any]:
        await desk.pricing.set_multiplier(name, millionths, author=OPERATOR)
        return {"group": name, "multiplier": multiplier}

    tell(at_desk(work, data=data, database=database), as_json=as_json)


def _stored(text: str, unit: Unit) -> int:
    """Spell USD for so many units as nano-dollars for a million. Raises ValueError, InvalidOperation."""
    exact = Decimal(text) * NANO_PER_USD * 1_000_000 / units_per_price(unit)
    return _whole(exact, "a price has too many places")


def _whole(number: Decimal, otherwise: str) -> int:
    if not number.is_finite() or number != number.to_integral_value():
        raise ValueError(otherwise)
    return int(number)


def _price(entry: PriceEntry) -> dict[str, Any]:
    row = entry.row
    per = Decimal(units_per_price(row.unit)) / 1_000_000 / NANO_PER_USD
    return {
        "provider": row.provider,
        "sku": row.sku,
        "unit": row.unit.value,
        "sell": f"{(row.sell * per).normalize():f}",
        "cost": f"{(row.cost * per).normalize():f}",
        "author": entry.author,
        "since": entry.from_version,
    }


@operation.command("list")
def list_operations(data: Data = None, database: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List everything that is served."""

    async def work(desk: Desk) -> list[dict[str, Any]]:
        await desk.switches.load()
        return [
            {
                "name": name,
                "method": served.operation.method,
                "path": served.path,
                "mode": served.operation.mode.value,
                "enabled": desk.switches.is_enabled(name),
                "assets": desk.switches.assets(name),
            }
            for name, served in desk.registry.served.items()
        ]

    tell(at_desk(work, data=data, database=database), as_json=as_json)


@operation.command("enable")
def enable(name: str, data: Data = None, database: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Switch an operation on."""
    tell(_switch(name, data, database, enabled=True), as_json=as_json)


@operation.command("disable")
def disable(
    name: str,
    message: Annotated[str, typer.Option(help="What callers are told.")] = "This operation is switched off.",
    data: Data = None,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Switch an operation off; a caller gets 403 with the message."""
    tell(_switch(name, data, database, enabled=False, message=message), as_json=as_json)


@operation.command("assets")
def assets(
    name: str,
    policy: Annotated[str, typer.Argument(help="mirror or original.")],
    data: Data = None,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Copy an operation's files here (mirror), or leave the vendor's links (original)."""
    with saying(MISUSED):
        if policy not in {"mirror", "original"}:
            raise ValueError("files are mirrored or stay where they are: mirror, original")
    tell(_switch(name, data, database, assets=policy), as_json=as_json)


def _switch(name: str, data: Path | None, database: str | None, **wanted: Any) -> dict[str, Any]:
    """Change part of an operation's switch and leave the rest as it is."""

    async def work(desk: Desk) -> dict[str, Any]:
        if name not in desk.registry.served:
            raise NotFound(f"no operation is named {name}")
        switch = f"operation:{name}"
        known = {one.name: one for one in await desk.switches.list()}.get(switch, Switch(switch, True, "", None))
        new = replace(known, **wanted)
        await desk.switches.set(switch, enabled=new.enabled, message=new.message, assets=new.assets, author=OPERATOR)
        return {"name": name, "enabled": new.enabled, "assets": new.assets or "mirror"}

    return at_desk(work, data=data, database=database)

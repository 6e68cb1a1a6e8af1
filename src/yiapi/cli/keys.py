"""``yiapi key``: what callers and operators show to be let in."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Annotated, Any

import typer

from yiapi.apikeys import Key, Restrictions
from yiapi.apikeys.service import PAGE_MAX
from yiapi.cli.accounts import AccountId, account_of
from yiapi.cli.desk import MISUSED, OPERATOR, Desk, at_desk, listed, saying, tell
from yiapi.cli.options import AsJson, Data, DatabaseUrl
from yiapi.clock import rfc3339_or_none
from yiapi.money import Money

key = typer.Typer(help="Keys of customers and operators.", no_args_is_help=True)


@key.command("create")
def create_key(
    mode: Annotated[str, typer.Option(help="live, test or admin.")],
    account_id: AccountId = None,
    name: Annotated[str, typer.Option(help="A name for people.")] = "key",
    operations: Annotated[str | None, typer.Option(help="Patterns: kling.*,openai.chat")] = None,
    models: Annotated[str | None, typer.Option(help="Patterns: gpt-4o*,kling/kling-v1")] = None,
    ip: Annotated[str | None, typer.Option(help="Networks: 10.0.0.0/8,2001:db8::/32")] = None,
    budget: Annotated[str | None, typer.Option(help="The most it may spend in a period, in USD.")] = None,
    budget_period: Annotated[str, typer.Option(help="day, month or total.")] = "month",
    expires: Annotated[str | None, typer.Option(help="A time, UTC unless it says otherwise: 2027-01-01")] = None,
    rpm: Annotated[int | None, typer.Option(help="Requests a minute.")] = None,
    tpm: Annotated[int | None, typer.Option(help="Tokens a minute.")] = None,
    parallel: Annotated[int | None, typer.Option(help="Requests at once.")] = None,
    data: Data = None,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make a key; its text is shown this once."""
    with saying(MISUSED):
        restrictions = Restrictions(
            operations=listed(operations),
            models=listed(models),
            ip_networks=tuple(map(ip_network, listed(ip) or ())) or None,
            budget=Money.parse(budget) if budget else None,
            budget_period=budget_period if budget else None,  # type: ignore[arg-type]  # checked when it is made
            requests_per_minute=rpm,
            tokens_per_minute=tpm,
            parallel_max=parallel,
            expires_at_ms=_ms(expires) if expires else None,
        )
        if mode not in {"live", "test", "admin"}:
            raise ValueError(f"a key's mode is live, test or admin, not {mode}")
        if mode == "admin" and account_id:
            raise ValueError("an admin key belongs to no account")

    async def work(desk: Desk) -> dict[str, Any]:
        owner = None if mode == "admin" else (await account_of(desk, account_id)).id
        made, text = await desk.apikeys.create_key(owner, mode, name=name, restrictions=restrictions)  # type: ignore[arg-type]  # a KeyMode, checked above
        return _key(made) | {"key": text}

    tell(at_desk(work, data=data, database=database), as_json=as_json)


@key.command("list")
def list_keys(
    account_id: Annotated[str | None, typer.Option("--account", help="One account's; default: all.")] = None,
    data: Data = None,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List keys, newest first; never their texts."""

    async def work(desk: Desk) -> list[dict[str, Any]]:
        found: list[Key] = []
        while page := await desk.apikeys.list_keys(account_id, before=found[-1].id if found else None):
            found += page
            if len(page) < PAGE_MAX:
                break
        return [_key(one) for one in found]

    tell(at_desk(work, data=data, database=database), as_json=as_json)


@key.command("show")
def show_key(key_id: str, data: Data = None, database: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Show one key with what it is held to; never its text."""

    async def work(desk: Desk) -> dict[str, Any]:
        found = await desk.apikeys.get_key(key_id)
        return _key(found) | {
            "operations": found.operations,
            "models": found.models,
            "ip": None if found.ip_networks is None else [str(network) for network in found.ip_networks],
            "budget": None if found.budget is None else str(found.budget),
            "budget_period": found.budget_period,
            "rpm": found.requests_per_minute,
            "tpm": found.tokens_per_minute,
            "parallel": found.parallel_max,
        }

    tell(at_desk(work, data=data, database=database), as_json=as_json)


@key.command("revoke")
def revoke(key_id: str, data: Data = None, database: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Refuse a key from now on."""

    async def work(desk: Desk) -> dict[str, Any]:
        return _key(await desk.apikeys.revoke_key(key_id, actor=OPERATOR))

    tell(at_desk(work, data=data, database=database), as_json=as_json)


def _key(one: Key) -> dict[str, Any]:
    return {
        "id": one.id,
        "account": one.account_id,
        "mode": one.mode,
        "name": one.name,
        "hint": one.hint,
        "expires": rfc3339_or_none(one.expires_at_ms),
        "revoked": rfc3339_or_none(one.revoked_at_ms),
    }


def _ms(text: str) -> int:
    """Read a time. Raises ValueError."""
    when = datetime.fromisoformat(text)
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)

"""``yiapi account``: customers and their money."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from yiapi.apikeys import Account, insert_account
from yiapi.apikeys.service import PAGE_MAX
from yiapi.cli.desk import MISUSED, Desk, at_desk, saying, tell
from yiapi.cli.options import AsJson, Data, DatabaseUrl
from yiapi.db import Transaction
from yiapi.errors import NotFound
from yiapi.ids import new_id
from yiapi.ledger import open_wallet, tenant_balance, top_up, wallet_of
from yiapi.ledger.models import Credit
from yiapi.money import Money

account = typer.Typer(help="Customers and their money.", no_args_is_help=True)

AccountId = Annotated[str | None, typer.Option("--account", help="The account; default: the first.")]
MODES = ("live", "test")


@account.command("create")
def create_account(
    name: Annotated[str, typer.Option(help="A name for people.")],
    test_balance: Annotated[str, typer.Option(help="Play money in USD.")] = "100",
    data: Data = None,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make an account with its two wallets."""
    with saying(MISUSED):
        given = Money.parse(test_balance).movable()

    async def work(desk: Desk) -> dict[str, Any]:
        def make(tx: Transaction) -> Account:
            made = insert_account(tx, name)
            for mode in MODES:
                open_wallet(tx, made.id, mode)
            if given:
                top_up(tx, new_id("op"), wallet_of(made.id, "test"), given, "grant")
            return made

        made = await desk.database.write(make)
        return await _described(desk, made)

    tell(at_desk(work, data=data, database=database), as_json=as_json)


@account.command("list")
def list_accounts(data: Data = None, database: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List accounts, newest first."""

    async def work(desk: Desk) -> list[dict[str, Any]]:
        return [await _described(desk, one) for one in await _accounts(desk)]

    tell(at_desk(work, data=data, database=database), as_json=as_json)


@account.command("show")
def show_account(
    account_id: AccountId = None, data: Data = None, database: DatabaseUrl = None, as_json: AsJson = False
) -> None:
    """Show one account."""

    async def work(desk: Desk) -> dict[str, Any]:
        return await _described(desk, await account_of(desk, account_id))

    tell(at_desk(work, data=data, database=database), as_json=as_json)


@account.command("suspend")
def suspend(account_id: str, data: Data = None, database: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Refuse every key of an account until it is resumed."""

    async def work(desk: Desk) -> dict[str, Any]:
        return await _described(desk, await desk.apikeys.suspend_account(account_id))

    tell(at_desk(work, data=data, database=database), as_json=as_json)


@account.command("resume")
def resume(account_id: str, data: Data = None, database: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Let a suspended account call again."""

    async def work(desk: Desk) -> dict[str, Any]:
        return await _described(desk, await desk.apikeys.resume_account(account_id))

    tell(at_desk(work, data=data, database=database), as_json=as_json)


@account.command("top-up")
def add_money(
    amount: Annotated[str, typer.Option(help="USD, with at most nine places.")],
    account_id: AccountId = None,
    test: Annotated[bool, typer.Option("--test", help="Play money.")] = False,
    operation_id: Annotated[str | None, typer.Option(help="Repeating the same id adds nothing.")] = None,
    data: Data = None,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Add money to a wallet, once for each operation id."""
    with saying(MISUSED):
        given = Money.parse(amount).movable()
        if not given:
            raise ValueError("the amount is above 0")

    async def work(desk: Desk) -> dict[str, Any]:
        found = await account_of(desk, account_id)
        wallet = wallet_of(found.id, "test" if test else "live")
        kind: Credit = "grant" if test else "top_up"
        operation = operation_id or new_id("op")
        await desk.database.write(lambda tx: top_up(tx, operation, wallet, given, kind))
        return await _described(desk, found)

    tell(at_desk(work, data=data, database=database), as_json=as_json)


async def account_of(desk: Desk, account_id: str | None) -> Account:
    """Return the account that is named, else the first. Raises NotFound."""
    if account_id is not None:
        return await desk.apikeys.get_account(account_id)
    accounts = await _accounts(desk)
    if not accounts:
        raise NotFound("there is no account yet: yiapi account create --name NAME")
    return accounts[-1]


async def _accounts(desk: Desk) -> list[Account]:
    found: list[Account] = []
    while page := await desk.apikeys.list_accounts(before=found[-1].id if found else None):
        found += page
        if len(page) < PAGE_MAX:
            break
    return found


async def _described(desk: Desk, found: Account) -> dict[str, Any]:
    balances = await desk.database.read(lambda tx: [tenant_balance(tx, wallet_of(found.id, mode)) for mode in MODES])
    money = {f"{mode}_available": str(one.available) for mode, one in zip(MODES, balances, strict=True)}
    return {"id": found.id, "name": found.name, "status": found.status, "group": found.price_group} | money

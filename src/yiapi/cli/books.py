"""``yiapi check``: do the books agree?"""

from __future__ import annotations

from functools import partial

import typer

from yiapi.cli.desk import Desk, at_desk, tell
from yiapi.cli.options import AsJson, Data, DatabaseUrl
from yiapi.ledger.check import Report
from yiapi.ledger.check import check as check_books
from yiapi.pricing import price_of


def check(data: Data = None, database: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Verify the ledger's invariants on the live database; exit status 1 on any violation."""

    async def work(desk: Desk) -> Report:
        return await check_books(desk.database, price_of=partial(price_of, books={}))

    report = at_desk(work, data=data, database=database, must_exist=True)
    if as_json:
        tell({"is_clean": report.is_clean, "lines": report.lines()}, as_json=True)
    else:
        typer.echo("\n".join(report.lines()))
    if not report.is_clean:
        raise typer.Exit(1)

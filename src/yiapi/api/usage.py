"""What calls add up to, by day, model, provider, operation or key; the database does the adding."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

from starlette.requests import Request

from yiapi.api.records import folded
from yiapi.api.services import Services, Tenant
from yiapi.db import Job, Row, Transaction, queries
from yiapi.errors import InvalidRequest, Overloaded
from yiapi.money import money_text

T = TypeVar("T")

SQL = queries("api")
DAY_MS = 86_400_000
DAYS_DEFAULT = 30
DAYS_MAX = 400
GROUPS = ("day", "model", "provider", "operation", "key")
GROUPS_SHOWN_MAX = 10_000
TURN_S = 5.0

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+ -]\d{2}:\d{2})", re.ASCII)


async def sums(services: Services, request: Request, tenant: Tenant) -> Any:
    """``GET /v1/usage``; days newest first, else by name. Raises InvalidRequest."""
    group = request.query_params.get("group_by", "day")
    if group not in GROUPS:
        raise InvalidRequest(f"group_by is one of {', '.join(GROUPS)}.", param="group_by")
    from_ms, to_ms = span(request.query_params, services.node.clock.now_ms())
    chosen = {
        "account_id": tenant.account_id,
        "mode": tenant.mode,
        "from_ms": from_ms,
        "to_ms": to_ms,
        "group_by": group,
    }

    def read(tx: Transaction) -> tuple[list[Row], list[Row]]:
        rows = tx.all(SQL.usage_sums, limit=GROUPS_SHOWN_MAX + 1, **chosen)
        if len(rows) > GROUPS_SHOWN_MAX:
            raise InvalidRequest(f"There are more than {GROUPS_SHOWN_MAX} groups; choose a shorter span.", param="from")
        return rows, tx.all(SQL.usage_units, **chosen)

    await services.node.calls.settled()
    rows, used = await _alone(services, read)
    return {"object": "list", "data": _groups(group, rows, used), "next_cursor": None}


async def _alone(services: Services, read: Job[T]) -> T:
    """Read when no other sum is being made. Raises Overloaded where that takes too long."""
    try:
        async with asyncio.timeout(TURN_S):
            await services.summing.acquire()
    except TimeoutError as error:
        raise Overloaded("Too many sums are asked for at once; try again.", retry_after_s=TURN_S) from error
    reading = asyncio.ensure_future(services.database.read(read))
    reading.add_done_callback(lambda _: services.summing.release())  # not earlier, should the caller leave
    return await asyncio.shield(reading)


def _groups(group: str, rows: list[Row], used: list[Row]) -> list[dict[str, Any]]:
    lines: dict[str, list[tuple[str, int]]] = {}
    for row in used:
        lines.setdefault(row["name"], []).append((row["unit"], int(row["quantity"])))
    groups = [
        {
            group: _named(group, row["name"]),
            "requests": row["requests"],
            "charge": money_text(int(row["charge"])),
            "usage": folded(lines.get(row["name"], ())),
        }
        for row in rows
    ]
    return sorted(groups, key=lambda one: str(one[group]), reverse=group == "day")


def _named(group: str, name: str) -> str:
    return (date(1970, 1, 1) + timedelta(days=int(name))).isoformat() if group == "day" else name


def span(given: Mapping[str, str], now_ms: int) -> tuple[int, int]:
    """Read ``from`` and ``to``: the last 30 days by default. Raises InvalidRequest."""
    to_ms = _time(given, "to")
    to_ms = now_ms + 1 if to_ms is None else to_ms
    from_ms = _time(given, "from")
    from_ms = to_ms - DAYS_DEFAULT * DAY_MS if from_ms is None else from_ms
    if not from_ms <= to_ms <= from_ms + DAYS_MAX * DAY_MS:
        raise InvalidRequest(f"from and to are in order and at most {DAYS_MAX} days apart.", param="from")
    return from_ms, to_ms


def _time(given: Mapping[str, str], name: str) -> int | None:
    """Read a day or a time; a day as ``to`` is the end of that day."""
    text = given.get(name)
    if not text:
        return None
    try:
        if _DAY.fullmatch(text):
            day = datetime.fromisoformat(text).replace(tzinfo=UTC)
            return _ms(day) + (DAY_MS if name == "to" else 0)
        if _TIME.fullmatch(text):
            return _ms(
                datetime.fromisoformat(text[:19] + text[19:].upper().replace(" ", "+"))
            )  # a + that was not encoded
    except (ValueError, OverflowError):
        pass  # the 31st of February has the right form
    raise InvalidRequest(f"{name} is a day like 2026-11-23, or a time like 2026-11-23T08:00:00Z.", param=name)


def _ms(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)

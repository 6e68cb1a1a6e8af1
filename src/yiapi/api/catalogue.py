"""The catalogue: every operation with its models and prices, in a stable order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request

from yiapi.api.languages import Language, language_of
from yiapi.api.lists import LIMIT_MAX, closed, limit_of, opened
from yiapi.api.samples import sample_of
from yiapi.api.schemas import schema_of
from yiapi.api.services import Node, Services, Tenant
from yiapi.errors import InvalidRequest, NotFound, StationError
from yiapi.money import Money
from yiapi.pricing import MULTIPLIER_ONE, PriceRow, units_per_price
from yiapi.providers.contract import Mode, Operation, Unit, Usage
from yiapi.providers.registry import Served

PRICES_SHOWN_MAX = 100


async def listed(services: Services, request: Request, tenant: Tenant) -> Any:
    """``GET /v1/operations``. Raises InvalidRequest."""
    names = list(services.node.registry.served)
    begin = _begin(names, request.query_params.get("cursor"))
    end = begin + limit_of(request, LIMIT_MAX)
    served = [services.node.registry.served[name] for name in names[begin:end]]
    multiplier = services.node.pricing.multiplier(tenant.account.price_group)
    return {
        "object": "list",
        "data": [described(services.node, one, language_of(request), multiplier) for one in served],
        "next_cursor": closed(names[end]) if end < len(names) else None,
    }


def _begin(names: Sequence[str], cursor: str | None) -> int:
    if not cursor:
        return 0
    try:
        return names.index(opened(cursor))
    except ValueError as error:
        raise InvalidRequest("cursor is not one of ours.", param="cursor") from error


async def show(services: Services, request: Request, tenant: Tenant) -> Any:
    """``GET /v1/operations/{name}``, with the JSON Schema of request and response. Raises NotFound."""
    served = services.node.registry.served.get(request.path_params["name"])
    if served is None:
        raise NotFound("No operation has this name.")
    multiplier = services.node.pricing.multiplier(tenant.account.price_group)
    return described(services.node, served, language_of(request), multiplier) | {"schema": schemas(served.operation)}


def described(node: Node, served: Served, language: Language, multiplier: int = MULTIPLIER_ONE) -> dict[str, Any]:
    """Describe an operation, at a price group's prices."""
    operation = served.operation
    rows = prices_of(node, served)
    return {
        "object": "operation",
        "name": served.name,
        "provider": served.provider.slug,
        "method": operation.method,
        "path": served.path,
        "aliases": list(served.paths[1:]),
        "title": {"zh": operation.title.zh, "en": operation.title.en},
        "mode": operation.mode.value,
        "models": models_of(node, served, rows),
        "enabled": node.switches.is_enabled(served.name),
        "price": [_price(row, multiplier) for row in rows[:PRICES_SHOWN_MAX]],
        "docs_url": docs_url(node, served, language),
    }


def docs_url(node: Node, served: Served, language: Language) -> str:
    """Return where an operation is described."""
    return f"{node.settings.public_url}/docs{'/zh' if language == 'zh' else ''}#{served.name}"


def prices_of(node: Node, served: Served) -> list[PriceRow]:
    """Return the prices that may apply: the provider's, in the units that the operation counts."""
    if served.operation.mode is Mode.QUERY:
        return []
    units = _units(served.operation)
    slug = served.provider.slug
    return [row for row in node.pricing.book.rows if row.provider == slug and (not units or row.unit in units)]


def models_of(node: Node, served: Served, rows: Sequence[PriceRow]) -> list[str]:
    """Return the models that these prices name in full, sorted."""
    priced = {row.sku.partition(":")[0] for row in rows}
    slug = served.provider.slug
    return [known.model for known in node.pricing.book.models() if known.provider == slug and known.model in priced]


def _units(operation: Operation) -> set[Unit]:
    """Return what an operation counts, learned from its smallest request; empty where that says nothing."""
    if operation.usage is None:
        return set()
    try:
        text = msgspec.json.encode(sample_of(operation))
        request = msgspec.json.decode(text, type=operation.request, strict=False)
        usage = operation.usage(request)
    except (msgspec.ValidationError, StationError):
        return set()
    units = {line.unit for line in ([usage] if isinstance(usage, Usage) else usage)}
    return units | ({Unit.TOKEN_IN_CACHED} if Unit.TOKEN_IN in units else set())


def _price(row: PriceRow, multiplier: int) -> dict[str, Any]:
    """Say a price as people write it: for one picture, for a million tokens."""
    per = units_per_price(row.unit)
    return {"sku": row.sku, "unit": row.unit.value, "per": per, "amount": str(price_for(row, per, multiplier))}


def price_for(row: PriceRow, quantity: int, multiplier: int) -> Money:
    """Return the price of a quantity, rounded up for reading."""
    return Money(-(-row.sell * quantity * multiplier // (1_000_000 * MULTIPLIER_ONE)))


def schemas(operation: Operation) -> dict[str, Any]:
    """Return the JSON Schema of an operation's request, and of what of the vendor's answer is known here."""
    answer = operation.answer.decode if operation.answer is not None else None
    return {
        "request": schema_of(operation.request),
        "response": None if answer is None or answer is dict else schema_of(answer),
    }

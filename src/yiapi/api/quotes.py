"""What a call would hold, without making it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request

from yiapi.api.bodies import decode, read_json
from yiapi.api.services import Services, Tenant
from yiapi.errors import InvalidRequest, ModelNotFound, NotFound
from yiapi.money import CURRENCY
from yiapi.pricing import Quote
from yiapi.providers.contract import Operation, Usage

WITHIN = "request"
MODEL_SHOWN_MAX = 100


class Asked(msgspec.Struct):
    """The operation, and the request as it would be sent; files that a form would have are left out."""

    operation: str
    request: msgspec.Raw


async def quote(services: Services, request: Request, tenant: Tenant) -> Any:
    """``POST /v1/quotes``. Charges nothing. Raises InvalidRequest, NotFound, ModelNotFound."""
    node = services.node
    asked = await read_json(request, Asked, limit_s=node.settings.client_body_s)
    served = node.registry.served.get(asked.operation)
    if served is None or served.operation.usage is None:
        raise NotFound("No operation that costs anything has this name.", param="operation")
    usage = _usage(served.operation, asked.request)
    slug, model = served.provider.slug, usage[0].model
    if not node.pricing.book.knows(slug, model):
        raise ModelNotFound(f"The model `{model[:MODEL_SHOWN_MAX]}` does not exist.", param="model")
    made = node.pricing.book.quote(slug, usage, node.pricing.multiplier(tenant.account.price_group))
    return shown(served.name, model, made)


def _usage(operation: Operation, sent: msgspec.Raw) -> Sequence[Usage]:
    """Return what the request would use at the most; the fields of a flat form may be text. Raises InvalidRequest."""
    is_flat_form = operation.accepts == ("form",) and operation.json_part is None
    request = decode(sent, operation.request, within=WITHIN, strict=not is_flat_form)
    assert operation.usage is not None
    try:
        usage = operation.usage(request)
    except InvalidRequest as error:
        error.param = ".".join(filter(None, (WITHIN, error.param)))
        raise
    return [usage] if isinstance(usage, Usage) else usage


def shown(operation: str, model: str, made: Quote) -> dict[str, Any]:
    """Show a quote; a part's ``unit_price`` is for ``per`` units."""
    return {
        "object": "quote",
        "operation": operation,
        "model": model,
        "amount": str(made.amount),
        "currency": CURRENCY,
        "parts": [
            {
                "sku": part.sku,
                "unit": part.unit.value,
                "quantity": part.quantity,
                "unit_price": str(part.unit_price),
                "per": part.per,
                "amount": str(part.amount),
            }
            for part in made.parts
        ],
    }

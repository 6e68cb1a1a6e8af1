"""The account as its caller sees it, and the shapes that chat clients read to show a balance."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from yiapi.api.services import Services, Tenant
from yiapi.ledger import Balance, UnknownWallet, wallet_of
from yiapi.money import CURRENCY, NANO_PER_USD, ZERO

FOR_EVER_S = 4102444800  # 2100-01-01; clients want a time
EMPTY = Balance(ZERO, ZERO, ZERO, ZERO)


async def show(services: Services, request: Request, tenant: Tenant) -> Any:
    """``GET /v1/account``."""
    del request
    found = await _balance(services, tenant)
    return {
        "object": "account",
        "id": tenant.account_id,
        "mode": tenant.mode,
        "currency": CURRENCY,
        "balance": str(found.posted),
        "held": str(found.held),
        "available": str(found.available),
        "spent_total": str(found.spent_total),
    }


async def subscription(services: Services, request: Request, tenant: Tenant) -> Any:
    """``GET /v1/dashboard/billing/subscription``: the limit is what there is and what was spent."""
    del request
    found = await _balance(services, tenant)
    limit_usd = (found.posted + found.spent_total).nano / NANO_PER_USD
    return {
        "object": "billing_subscription",
        "has_payment_method": True,
        "soft_limit_usd": limit_usd,
        "hard_limit_usd": limit_usd,
        "system_hard_limit_usd": limit_usd,
        "access_until": FOR_EVER_S,
    }


async def spent(services: Services, request: Request, tenant: Tenant) -> Any:
    """``GET /v1/dashboard/billing/usage``, in cents; the dates that such clients send are not looked at."""
    del request
    found = await _balance(services, tenant)
    return {"object": "list", "total_usage": found.spent_total.nano * 100 / NANO_PER_USD}


async def _balance(services: Services, tenant: Tenant) -> Balance:
    """Read the wallet; a tenant whose wallet was never opened has nothing."""
    try:
        return await services.node.calls.balance(wallet_of(tenant.account_id, tenant.mode))
    except UnknownWallet:
        return EMPTY

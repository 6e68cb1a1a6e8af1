"""What may be entered about accounts and keys."""

from __future__ import annotations

from yiapi.apikeys.models import Restrictions
from yiapi.errors import InvalidRequest

NAME_LENGTH_MAX = 200
STORED_MAX = 2**63 - 1


def check_name(name: str, thing: str) -> None:
    """Refuse a name that says nothing, or that could not be stored and shown as it is. Raises InvalidRequest."""
    if not name.strip() or len(name) > NAME_LENGTH_MAX or not name.isprintable():
        raise InvalidRequest(f"{thing} needs a name of at most {NAME_LENGTH_MAX} printable characters", param="name")


def check_restrictions(restrictions: Restrictions) -> None:
    """Refuse what would be stored and never be right. Raises InvalidRequest."""
    for param in ("operations", "models", "ip_networks"):
        entries = getattr(restrictions, param)
        if entries is not None and (not entries or "" in entries):
            raise InvalidRequest("a list of what is allowed has entries; leave it out to allow all", param=param)
    for param in ("requests_per_minute", "tokens_per_minute", "parallel_max"):
        limit = getattr(restrictions, param)
        if limit is not None and not 1 <= limit < 2**31:
            raise InvalidRequest("a limit is a whole number above 0; leave it out for none", param=param)
    if (restrictions.budget is None) != (restrictions.budget_period is None):
        raise InvalidRequest("a budget has a period: day, month or total", param="budget_period")
    if restrictions.budget_period not in {None, "day", "month", "total"}:
        raise InvalidRequest("a budget's period is day, month or total", param="budget_period")
    if restrictions.budget is not None and not 0 <= restrictions.budget.nano <= STORED_MAX:
        raise InvalidRequest("a budget is an amount not below 0", param="budget")
    if restrictions.expires_at_ms is not None and not 0 <= restrictions.expires_at_ms <= STORED_MAX:
        raise InvalidRequest("an expiry is a time; leave it out for none", param="expires_at_ms")

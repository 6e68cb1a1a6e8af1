"""How amounts are written for people and machines outside."""

from __future__ import annotations

NANO_PER_USD = 1_000_000_000


def money_text(nano: int) -> str:
    """Write nano-dollars as a decimal string without trailing zeros: ``42_000_000`` is ``"0.042"``."""
    if nano < 0:
        return "-" + money_text(-nano)
    whole, places = str(nano // NANO_PER_USD), nano % NANO_PER_USD
    if not places:
        return whole
    return f"{whole}.{str(NANO_PER_USD + places)[1:].rstrip('0')}"

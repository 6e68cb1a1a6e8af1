"""What a key may do, and whether a new key would be allowed more than the key that makes it. Pure decisions."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from fnmatch import translate
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, ip_address

from yiapi.apikeys.models import IpNetwork, Key, KeyMode, Restrictions
from yiapi.errors import ModelNotAllowed, PermissionDenied


def permit(key: Key, operation: str, model: str | None, peer: str | None) -> None:
    """Let a key use an operation and a model from an address, or raise PermissionDenied or ModelNotAllowed.

    ``operation`` is the catalogue's name, ``kling.text2video``. A ``model`` of None is for calls that use none, such as
    asking for a task; an empty text is a model like any other and needs a pattern that allows it.
    """
    if key.operations is None and key.models is None and key.ip_networks is None:
        return
    if key.ip_networks is not None and not _is_inside(peer, key.ip_networks):
        raise PermissionDenied("this API key may not be used from this address")
    provider = operation.partition(".")[0]
    if key.operations is not None and not _matches(key.operations, operation, provider):
        raise PermissionDenied(f"this API key may not use the operation {operation}")
    if model is not None and key.models is not None and not _matches(key.models, model, f"{provider}/{model}"):
        raise ModelNotAllowed("this API key may not use this model")


def budget_period_of(key: Key, now_ms: int) -> str:
    """Name the period that a key's budget is in: ``2026-11-23``, ``2026-11`` or ``total``. Days end in UTC."""
    if key.budget_period is None or key.budget_period == "total":
        return "total"
    day = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y-%m-%d")
    return day if key.budget_period == "day" else day[:7]


def within(wanted: Restrictions, maker: Key, *, account_id: str | None, mode: KeyMode) -> None:
    """Refuse a key that would be allowed more than its maker; the operator's keys may make any.

    Where it is not certain that patterns allow no more than the maker's, the answer is no. Raises PermissionDenied.
    """
    if maker.mode == "admin":
        return
    own = maker.restrictions
    excesses = {
        "account": account_id is None or account_id != maker.account_id,
        "mode": mode != maker.mode,
        "operations": not _all_covered(wanted.operations, own.operations),
        "models": not _all_covered(wanted.models, own.models),
        "addresses": not _all_inside(wanted.ip_networks, own.ip_networks),
        "budget": _is_budget_above(wanted, own),
        "requests per minute": _is_above(wanted.requests_per_minute, own.requests_per_minute),
        "tokens per minute": _is_above(wanted.tokens_per_minute, own.tokens_per_minute),
        "parallel requests": _is_above(wanted.parallel_max, own.parallel_max),
        "life": _is_above(wanted.expires_at_ms, own.expires_at_ms),
    }
    for name, is_excess in excesses.items():
        if is_excess:
            raise PermissionDenied(f"a key may not be allowed more than the key that makes it: {name}")


# Patterns


def _matches(patterns: tuple[str, ...], *names: str) -> bool:
    match = _compiled(patterns)
    return any(match.match(name) for name in names)


@lru_cache(maxsize=4096)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{translate(pattern)})" for pattern in patterns))


def _all_covered(wanted: tuple[str, ...] | None, own: tuple[str, ...] | None) -> bool:
    if own is None:
        return True
    return wanted is not None and all(any(_is_covered(pattern, by) for by in own) for pattern in wanted)


def _is_covered(pattern: str, by: str) -> bool:
    """Whether all that a pattern allows is allowed by another one.

    A pattern that is read as a text and matches one with no wildcard but ``*`` says no more than that one: its own
    wildcards lie under those stars.
    """
    if pattern == by:
        return True
    if _has_any(pattern, "*?[") and _has_any(by, "?["):
        return False
    first = re.split(r"[./]", pattern, maxsplit=1)[0]
    is_of_provider = "." in pattern and "/" not in pattern and not _has_any(first, "*?[")
    return _matches((by,), pattern, *((first,) if is_of_provider else ()))


def _has_any(text: str, characters: str) -> bool:
    return any(character in text for character in characters)


# Addresses


def _is_inside(peer: str | None, networks: tuple[IpNetwork, ...]) -> bool:
    try:
        address = ip_address(peer or "")
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


def _all_inside(wanted: tuple[IpNetwork, ...] | None, own: tuple[IpNetwork, ...] | None) -> bool:
    if own is None:
        return True
    return wanted is not None and all(any(_is_part(network, of) for of in own) for network in wanted)


def _is_part(network: IpNetwork, of: IpNetwork) -> bool:
    if isinstance(network, IPv4Network):
        return isinstance(of, IPv4Network) and network.subnet_of(of)
    return not isinstance(of, IPv4Network) and network.subnet_of(of)


# Amounts


def _is_above(wanted: int | None, own: int | None) -> bool:
    return own is not None and (wanted is None or wanted > own)


def _is_budget_above(wanted: Restrictions, own: Restrictions) -> bool:
    """A budget for all time is within one for each day; any other period must be the maker's own."""
    if own.budget is None:
        return False
    if wanted.budget is None or wanted.budget > own.budget:
        return True
    return wanted.budget_period not in {own.budget_period, "total"}

"""Accounts, their keys, and what a key may be held to."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from yiapi.money import Money

KeyMode = Literal["live", "test", "admin"]
AccountStatus = Literal["active", "suspended"]
BudgetPeriod = Literal["day", "month", "total"]
IpNetwork = IPv4Network | IPv6Network

PARALLEL_MAX = 1_000
OPEN_TASKS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Account:
    """A customer. Its limits are high by default: money, not a limit, is what usually runs out first."""

    id: str
    name: str
    status: AccountStatus
    price_group: str
    parallel_max: int
    open_tasks_max: int
    created_at_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Restrictions:
    """What a key is held to; None stands for no restriction.

    ``operations`` are patterns of an operation (``kling.text2video``, ``kling.*``) or a provider (``kling``),
    ``models`` of a model (``kling-v1``) or of both (``kling/kling-*``).
    """

    operations: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    ip_networks: tuple[IpNetwork, ...] | None = None
    budget: Money | None = None
    budget_period: BudgetPeriod | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    parallel_max: int | None = None
    expires_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """A caller's credential as the station knows it; the text itself is kept nowhere. No account: the operator's."""

    id: str
    account: Account | None
    mode: KeyMode
    name: str
    hint: str
    operations: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    ip_networks: tuple[IpNetwork, ...] | None = None
    budget: Money | None = None
    budget_period: BudgetPeriod | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    parallel_max: int | None = None
    expires_at_ms: int | None = None
    revoked_at_ms: int | None = None
    created_at_ms: int = 0

    @property
    def account_id(self) -> str | None:
        """Return the id of the account, or None for a key of the operator."""
        return None if self.account is None else self.account.id

    @property
    def restrictions(self) -> Restrictions:
        """Return what this key is held to."""
        return Restrictions(
            operations=self.operations,
            models=self.models,
            ip_networks=self.ip_networks,
            budget=self.budget,
            budget_period=self.budget_period,
            requests_per_minute=self.requests_per_minute,
            tokens_per_minute=self.tokens_per_minute,
            parallel_max=self.parallel_max,
            expires_at_ms=self.expires_at_ms,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key that is about to be stored; ``hash`` is all that stays of its text."""

    id: str
    account_id: str | None
    mode: KeyMode
    name: str
    hint: str
    hash: str = field(repr=False)
    restrictions: Restrictions

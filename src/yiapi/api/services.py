"""What our own API works with: the part of a node's services that it reads. The app hands them over."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from yiapi.apikeys import Account, ApiKeys, Key
from yiapi.assets import Assets
from yiapi.calls import Calls
from yiapi.clock import Clock
from yiapi.db import Database
from yiapi.dispatch import Dispatcher
from yiapi.metrics import Metrics
from yiapi.pricing import Pricing, Switches
from yiapi.providers.registry import Registry
from yiapi.settings import Settings
from yiapi.tasks import Callbacks, Tasks
from yiapi.webhooks import Webhooks


class Node(Protocol):
    """The services of one node, as far as they concern us."""

    settings: Settings
    clock: Clock
    registry: Registry
    apikeys: ApiKeys
    pricing: Pricing
    switches: Switches
    calls: Calls
    dispatcher: Dispatcher
    assets: Assets
    tasks: Tasks
    webhooks: Webhooks
    callbacks: Callbacks
    metrics: Metrics
    is_draining: bool


@dataclass(frozen=True, slots=True)
class Services:
    """A node and its database."""

    node: Node
    database: Database
    summing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One long sum at a time, so that it leaves a reader of the database to everybody else."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who asks: an account in a mode, by one of its keys, from an address."""

    account: Account
    key: Key
    peer: str | None

    @property
    def account_id(self) -> str:
        """Return the account's id."""
        return self.account.id

    @property
    def mode(self) -> str:
        """Return ``live`` or ``test``."""
        return self.key.mode

"""What the flows of the relay work with: the services, made by ``yiapi.app`` and handed over once."""

from __future__ import annotations

from dataclasses import dataclass, field

from yiapi.apikeys import ApiKeys
from yiapi.assets import Assets
from yiapi.calls import Calls
from yiapi.clock import Clock
from yiapi.dispatch import Dispatcher, Exchange
from yiapi.metrics import Metrics
from yiapi.pricing import Pricing, Switches
from yiapi.providers.registry import Registry
from yiapi.relay.terms import AllTerms
from yiapi.settings import Settings
from yiapi.tasks import Callbacks, Tasks
from yiapi.upstream import AddressGuard, Limits
from yiapi.webhooks import Webhooks


@dataclass
class Station:
    """The services of one node."""

    settings: Settings
    clock: Clock
    registry: Registry
    apikeys: ApiKeys
    pricing: Pricing
    switches: Switches
    calls: Calls
    dispatcher: Dispatcher
    exchange: Exchange
    assets: Assets
    tasks: Tasks
    webhooks: Webhooks
    callbacks: Callbacks
    guard: AddressGuard
    metrics: Metrics
    terms: AllTerms = field(init=False)
    limits: dict[float, Limits] = field(default_factory=dict)
    """Of attempts, by the time to the first byte."""
    is_draining: bool = field(default=False)
    """The station will end: it is not ready for new callers, and serves those who come all the same."""
    is_ending: bool = field(default=False)
    """The time to finish is over: nothing more is begun."""

    def __post_init__(self) -> None:
        self.terms = AllTerms(self.apikeys, self.pricing, self.switches)

"""Channels: accounts of ours at providers, ready to be called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from yiapi.upstream import Redactor, Target

ChannelMode = Literal["live", "test"]


@dataclass(frozen=True, slots=True)
class Credential:
    """What a channel shows to its provider; only the hint is ever shown to people."""

    id: str
    secret: str = field(repr=False)
    hint: str


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """One account at a provider, with the credentials that are in use."""

    id: str
    provider: str
    name: str
    mode: ChannelMode
    base_url: str
    target: Target
    weight: int
    priority: int
    price_groups: frozenset[str] | None  # None: all
    models: tuple[str, ...] | None  # patterns; None: all
    model_names: Mapping[str, str]
    settings: Mapping[str, Any] = field(repr=False)
    parallel_max: int | None
    credentials: tuple[Credential, ...]
    is_sandbox: bool
    redactor: Redactor = field(repr=False)
    enabled: bool = True
    models_matcher: re.Pattern[str] | None = field(default=None, repr=False)
    retired: tuple[Credential, ...] = ()  # out of use; tasks that were made with them are still asked for

    def credential(self, credential_id: str | None) -> Credential | None:
        """Return a credential by its id, in use or not; where it is not known any more, one that is in use."""
        for credential in (*self.credentials, *self.retired):
            if credential.id == credential_id:
                return credential
        return next(iter((*self.credentials, *self.retired)), None)

    def serves(self, price_group: str, model: str) -> bool:
        """Whether this channel is for a price group and a model."""
        if self.price_groups is not None and price_group not in self.price_groups:
            return False
        return self.models_matcher is None or self.models_matcher.match(model) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """What an operator may choose about a channel beside its address and credentials."""

    weight: int = 1
    priority: int = 0
    price_groups: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    model_names: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    parallel_max: int | None = None


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """A credential as people may see it."""

    id: str
    hint: str
    enabled: bool
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRow:
    """A channel as people may see it: never with a secret."""

    id: str
    provider: str
    name: str
    mode: ChannelMode
    base_url: str
    routing: Routing
    enabled: bool
    reason: str | None
    credentials: tuple[CredentialRow, ...]
    created_at_ms: int

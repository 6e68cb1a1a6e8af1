"""The registry: discovers every provider file of this folder. Nothing else in the station names a vendor."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Literal

import yiapi.providers
from yiapi.providers.contract import Mode, Operation, Provider

_OURS = frozenset({"contract", "registry", "paths"})


@dataclass(frozen=True)
class Served:
    """An operation as the station serves it."""

    provider: Provider
    operation: Operation

    @cached_property
    def name(self) -> str:
        """Return the name of the catalogue: ``kling.text2video``."""
        return f"{self.provider.slug}.{self.operation.name}"

    @cached_property
    def mode(self) -> Mode:
        """Return how the operation answers."""
        return self.operation.mode

    @cached_property
    def kind(self) -> Literal["chat", "making", "submission"]:
        """Return what may be repeated of it: a chat after a time-out too, a picture not, a task by refusal only."""
        if self.operation.task is not None:
            return "submission"
        return "chat" if self.operation.may_repeat_after_timeout else "making"

    @cached_property
    def passed_headers(self) -> frozenset[bytes]:
        """Return the vendor's headers that callers get, as they come."""
        return frozenset(name.encode() for name in self.provider.passed_headers)

    @cached_property
    def path(self) -> str:
        """Return the canonical path."""
        return self.provider.mount + self.operation.path

    @cached_property
    def places(self) -> Mapping[str, Mapping[str, str]]:
        """Return every path where it is served, the canonical one first, and what each says by itself."""
        others = {mount + self.operation.path: says for mount, says in self.provider.mounts.items()}
        return {path: {} for path in (self.path, *self.operation.aliases)} | others

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Return the canonical path and its aliases."""
        return tuple(self.places)


class Registry:
    """Every provider and every operation."""

    def __init__(self, providers: list[Provider]) -> None:
        self.providers = MappingProxyType({provider.slug: provider for provider in providers})
        self.served = MappingProxyType(
            {
                served.name: served
                for provider in providers
                for served in (Served(provider, operation) for operation in provider.operations)
            }
        )

    @classmethod
    def discover(cls) -> Registry:
        """Import every provider file; a file without ``PROVIDER`` is a mistake and raises AttributeError."""
        names = sorted(
            module.name
            for module in pkgutil.iter_modules(yiapi.providers.__path__)
            if module.name not in _OURS and not module.name.startswith("_")
        )
        return cls([importlib.import_module(f"yiapi.providers.{name}").PROVIDER for name in names])

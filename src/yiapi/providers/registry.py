"""The registry: discovers every provider file of this folder. Nothing else in the station names a vendor."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

import yiapi.providers
from yiapi.providers.contract import Kind, Mode, Operation, Provider

_OURS = frozenset({"contract", "registry", "paths"})


class Served:
    """An operation as the station serves it, with what is asked of it at every call worked out beforehand.

    ``name`` is that of the catalogue (``kling.text2video``); ``passed_headers`` are the vendor's headers that callers
    get, as they come; ``places`` is every path where it is served, the canonical one first, and what each says by
    itself.
    """

    __slots__ = ("kind", "mode", "name", "operation", "passed_headers", "path", "places", "provider")

    def __init__(self, provider: Provider, operation: Operation) -> None:
        self.provider = provider
        self.operation = operation
        self.name: str = f"{provider.slug}.{operation.name}"
        self.mode: Mode = operation.mode
        self.kind: Kind = _kind_of(operation)
        self.passed_headers: frozenset[bytes] = frozenset(name.encode() for name in provider.passed_headers)
        self.path: str = provider.mount + operation.path
        others = {mount + operation.path: says for mount, says in provider.mounts.items()}
        self.places: Mapping[str, Mapping[str, str]] = {path: {} for path in (self.path, *operation.aliases)} | others

    @property
    def paths(self) -> tuple[str, ...]:
        """Return the canonical path and its aliases."""
        return tuple(self.places)


def _kind_of(operation: Operation) -> Kind:
    if operation.task is not None:
        return "submission"
    return "chat" if operation.may_repeat_after_timeout else "making"


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

"""Finds the vendors: every module in ``vendors`` that holds a ``VENDOR``."""

import importlib
import pkgutil

from yiapi_sandbox import vendors
from yiapi_sandbox.contract import Vendor


def find() -> dict[str, Vendor]:
    """Import every vendor's file and return the vendors by slug. Raises ValueError when two have one slug."""
    found: dict[str, Vendor] = {}
    for module in sorted(pkgutil.iter_modules(vendors.__path__), key=lambda module: module.name):
        vendor = getattr(importlib.import_module(f"{vendors.__name__}.{module.name}"), "VENDOR", None)
        if not isinstance(vendor, Vendor):
            continue
        if vendor.slug in found:
            raise ValueError(f"two vendors are called {vendor.slug}")
        found[vendor.slug] = vendor
    return found

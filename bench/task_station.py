"""A gateway or a worker that knows the benchmark's provider: ``python -m bench.task_station worker|gateway FD``."""

from __future__ import annotations

import importlib
import pkgutil
import socket
import sys

import uvloop

import yiapi.providers
from bench.task_provider import PROVIDER
from yiapi.logs import configure_logs
from yiapi.providers.registry import Registry
from yiapi.serving import run_worker, serve_gateway
from yiapi.settings import load_settings


def registry() -> Registry:
    """Return the benchmark's provider beside the others."""
    names = [one.name for one in pkgutil.iter_modules(yiapi.providers.__path__)]
    modules = [importlib.import_module(f"yiapi.providers.{name}") for name in sorted(names)]
    return Registry([*(module.PROVIDER for module in modules if hasattr(module, "PROVIDER")), PROVIDER])


def main() -> None:
    """Run one process of a station."""
    Registry.discover = classmethod(lambda _: registry())  # type: ignore[assignment]  # the benchmark's own processes
    settings = load_settings()
    configure_logs(settings.log_level)
    if sys.argv[1] == "worker":
        uvloop.run(run_worker(settings, name="worker"))
    else:
        uvloop.run(serve_gateway(settings, number=0, listener=socket.socket(fileno=int(sys.argv[2]))))


if __name__ == "__main__":
    main()

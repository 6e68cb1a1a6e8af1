"""Calls and streams through the station and through nginx as a plain proxy, in turn.

nginx, the gateway and every peer have core 0 to themselves while it is their turn; everything else is on core 1.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import peers
from bench.load import PACED, STREAM, Result, body, event_bytes, run
from bench.report import Row, medians
from bench.rig import Meter, Rig, rig

WARM_UP_S = 2
CONNECTIONS = "1,32,128"
CONNECTIONS_PACED = "64"


@dataclass(frozen=True)
class Sent:
    """What is sent, and for streams the bytes of an event as each of both writes it."""

    body: Path
    is_paced: bool = False
    nginx_event_bytes: float = 0.0
    event_bytes: float = 0.0

    @property
    def is_stream(self) -> bool:
        """Whether the answers are streams."""
        return self.event_bytes > 0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say which options it takes."""
    parser.add_argument("--connections", help=f"{CONNECTIONS} by default; paced streams {CONNECTIONS_PACED}")
    parser.add_argument("--seconds", type=int, default=3, help="of load in each round")
    parser.add_argument("--rounds", type=int, default=3)
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--stream", action="store_true", help="streams of 100 events, as fast as they go")
    kinds.add_argument("--paced", action="store_true", help="streams of 100 events, one in 5 ms each")
    kinds.add_argument("--peers", action="store_true", help="plain calls through LiteLLM and Portkey as well")
    parser.add_argument(
        "--scratch", type=Path, help="where peers are installed and left; a temporary folder without it"
    )


def measure(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Measure at some numbers of connections."""
    with rig(folder) as machines:
        if options.peers:
            yield from peers.compare(machines, folder, options)
            return
        sent = _sent(machines, folder, options)
        run(machines.station.url, sent.body, key=machines.station.key, connections=16, seconds=WARM_UP_S)
        default = CONNECTIONS_PACED if options.paced else CONNECTIONS
        for connections in map(int, (options.connections or default).split(",")):
            rounds = [_round(machines, sent, connections, options.seconds) for _ in range(options.rounds)]
            yield {"connections": connections} | medians(rounds)


def _sent(machines: Rig, folder: Path, options: argparse.Namespace) -> Sent:
    if not (options.stream or options.paced):
        return Sent(body(folder))
    path = body(folder, **(PACED if options.paced else STREAM))
    key = machines.station.key
    return Sent(
        path,
        is_paced=options.paced,
        nginx_event_bytes=event_bytes(machines.nginx.stream_url, path, key),
        event_bytes=event_bytes(machines.station.url, path, key),
    )


def _round(machines: Rig, sent: Sent, connections: int, seconds: int) -> dict[str, float]:
    station = machines.station

    def load(url: str) -> Result:
        return run(url, sent.body, key=station.key, connections=connections, seconds=seconds)

    direct = load(machines.mock_url) if connections == 1 and not sent.is_paced else None
    with Meter(machines.nginx.pid) as nginx_cpu:
        nginx = load(machines.nginx.stream_url if sent.is_stream else machines.nginx.url)
    with Meter(*station.gateway_pids) as cpu, Meter(*station.settler_pids) as settler_cpu:
        ours = load(station.url)
    measured: dict[str, float] = {}
    if not sent.is_paced:  # their speed is given, and streams that wrk leaves unread are no requests
        measured |= _by_request(nginx, nginx_cpu, ours, cpu)
        measured |= {"settler_us": settler_cpu.us(ours.requests), "p50_us": ours.p50_us, "p99_us": ours.p99_us}
    if sent.is_stream:
        measured |= _by_event(nginx.bytes / sent.nginx_event_bytes, nginx_cpu, ours.bytes / sent.event_bytes, cpu)
    if sent.is_paced:
        measured |= {"nginx_events/s": nginx.bytes / sent.nginx_event_bytes / nginx.seconds}
        measured |= {"events/s": ours.bytes / sent.event_bytes / ours.seconds}
    if direct is not None:
        for name, through in (("nginx_added", nginx), ("added", ours)):
            measured[f"{name}_p50_us"] = through.p50_us - direct.p50_us
            measured[f"{name}_p99_us"] = through.p99_us - direct.p99_us
    return measured | {"errors": float(ours.errors + nginx.errors)}


def _by_request(nginx: Result, nginx_cpu: Meter, ours: Result, cpu: Meter) -> dict[str, float]:
    return {
        "nginx/s": nginx.per_second,
        "station/s": ours.per_second,
        "ratio": ours.per_second / nginx.per_second,
        "nginx_cpu_us": nginx_cpu.us(nginx.requests),
        "cpu_us": cpu.us(ours.requests),
        "cpu_ratio": nginx_cpu.us(nginx.requests) / cpu.us(ours.requests),
    }


def _by_event(nginx_events: float, nginx_cpu: Meter, events: float, cpu: Meter) -> dict[str, float]:
    return {
        "nginx_event_us": nginx_cpu.us(nginx_events),
        "event_us": cpu.us(events),
        "event_ratio": nginx_cpu.us(nginx_events) / cpu.us(events),
    }

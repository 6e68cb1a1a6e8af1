"""``./station bench relay|memory``: ratios to nginx in the same run, processor time per call, memory."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.load import Result, run
from bench.rig import Meter, Rig, body, missing, resident_mib, rig

WARM_UP_S = 2


def main() -> int:
    """Run one benchmark and print its table."""
    if sys.argv[1:2] == ["tasks"]:
        from bench.tasks import main as tasks

        return tasks(sys.argv[2:])
    options = _options()
    if packages := missing():
        sys.stderr.write(f"bench: install {' '.join(packages)} (Debian packages)\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="station-bench-") as name, rig(Path(name)) as machines:
        measured = (
            relay(machines, Path(name), options) if options.what == "relay" else memory(machines, Path(name), options)
        )
    sys.stdout.write(json.dumps(measured, indent=1) + "\n" if options.json else _table(measured))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./station bench")
    parser.add_argument("what", nargs="?", default="relay", choices=("relay", "memory"))
    parser.add_argument("--connections", default="1,32,128")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--stream", action="store_true", help="streams of 100 events instead of plain calls")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def relay(machines: Rig, folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure plain calls (or streams) at some numbers of connections, interleaved with nginx."""
    fields = {"stream": True, "max_tokens": 100, "stream_options": {"include_usage": True}} if options.stream else {}
    sent = body(folder, **fields)
    run(machines.station, sent, key=machines.key, connections=16, seconds=WARM_UP_S)
    rows = []
    for connections in map(int, options.connections.split(",")):
        rounds = [_round(machines, sent, connections, options.seconds) for _ in range(options.rounds)]
        rows.append({"connections": connections} | {name: _median(rounds, name) for name in rounds[0]})
    return rows


def _round(machines: Rig, sent: Path, connections: int, seconds: int) -> dict[str, float]:
    def load(url: str) -> Result:
        return run(url, sent, key=machines.key, connections=connections, seconds=seconds)

    direct = load(machines.mock) if connections == 1 else None
    with Meter(machines.nginx_pid) as nginx_cpu:
        nginx = load(machines.nginx)
    with Meter(machines.gateway_pid) as cpu, Meter(machines.settler_pid) as settler_cpu:
        ours = load(machines.station)
    cpu_us = cpu.used_s * 1e6 / max(ours.requests, 1)
    nginx_cpu_us = nginx_cpu.used_s * 1e6 / max(nginx.requests, 1)
    measured = {
        "nginx/s": nginx.per_second,
        "station/s": ours.per_second,
        "ratio": ours.per_second / nginx.per_second,
        "nginx_cpu_us": nginx_cpu_us,
        "cpu_us": cpu_us,
        "cpu_ratio": nginx_cpu_us / cpu_us,
        "settler_us": settler_cpu.used_s * 1e6 / max(ours.requests, 1),
        "p50_us": ours.p50_us,
        "p99_us": ours.p99_us,
        "errors": float(ours.errors + nginx.errors),
    }
    if direct is not None:
        measured |= {"added_p50_us": ours.p50_us - direct.p50_us, "added_p99_us": ours.p99_us - direct.p99_us}
    return measured


def _median(rounds: list[dict[str, float]], name: str) -> float:
    return round(statistics.median(one[name] for one in rounds), 3)


def memory(machines: Rig, folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Send many calls and look at the gateway's memory on the way."""
    sent = body(folder)
    done, rows = 0, []
    while done < options.calls:
        done += run(machines.station, sent, key=machines.key, connections=32, seconds=options.seconds).requests
        rows.append({"calls": done, "resident_mib": round(resident_mib(machines.gateway_pid), 1)})
    return rows


def _table(rows: list[dict[str, Any]]) -> str:
    names = list(rows[0])
    lines = [names, *([f"{row.get(name, ''):,}" if name in row else "" for name in names] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(names))]
    return "".join(
        "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) + "\n" for line in lines
    )


if __name__ == "__main__":
    raise SystemExit(main())

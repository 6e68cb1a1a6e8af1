"""``./station bench relay|memory|streams|ledger|soak|workers|tasks``: what a running station costs; see README.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from bench import ledger, memory, relay, soak, streams, workers
from bench.report import Row, tell
from bench.rig import missing, raise_limit


class Benchmark(Protocol):
    """What each benchmark's module has."""

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Say which options it takes."""

    def measure(self, folder: Path, options: argparse.Namespace) -> Iterator[Row]:
        """Start what it needs in a folder, and yield figures as they come."""


BENCHMARKS: dict[str, Benchmark] = {
    "relay": relay,
    "memory": memory,
    "streams": streams,
    "ledger": ledger,
    "soak": soak,
    "workers": workers,
}


def main() -> int:
    """Run one benchmark and print its table."""
    if sys.argv[1:2] == ["tasks"]:
        from bench.tasks import main as tasks

        return tasks(sys.argv[2:])
    options = _options(sys.argv[1:] or ["relay"])
    if packages := missing():
        sys.stderr.write(f"bench: install {' '.join(packages)} (Debian packages)\n")
        return 2
    raise_limit()
    with tempfile.TemporaryDirectory(prefix="station-bench-") as name:
        tell(BENCHMARKS[options.what].measure(Path(name), options), as_json=options.json)
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./station bench")
    commands = parser.add_subparsers(dest="what", required=True)
    for name, benchmark in BENCHMARKS.items():
        text = (sys.modules[f"bench.{name}"].__doc__ or "").partition("\n")[0]
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--json", action="store_true", help="print the rows as JSON, all at the end")
        benchmark.add_options(command)
    commands.add_parser("tasks", help="Looks at waiting tasks, submissions, restarts; see its own --help.")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())

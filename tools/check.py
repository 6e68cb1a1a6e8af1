"""Run every check at once and show what the failing ones say.

``./station check`` calls this. A check of our own is a script beside this file whose docstring tells the accident
behind it.
"""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent

CHECKS: dict[str, list[str]] = {
    "types": [f"{BIN}/mypy"],
    "layers": [f"{BIN}/lint-imports", "--no-logo"],
    "licences": [sys.executable, "tools/check_licences.py"],
    "format": [f"{BIN}/ruff", "format", "--check", "--quiet", "."],
    "lint": [f"{BIN}/ruff", "check", "--quiet", "--output-format", "concise", "."],
    "docs": [sys.executable, "tools/check_docs.py"],
    "addresses": [sys.executable, "tools/check_addresses.py"],
    "lengths": [sys.executable, "tools/check_lengths.py"],
    "sleeps": [sys.executable, "tools/check_sleeps.py"],
}


@dataclass(frozen=True)
class Result:
    """How one check ended."""

    name: str
    is_good: bool
    seconds: float
    output: str


def main() -> int:
    """Run all checks, slowest first, and return 1 when one of them fails."""
    wanted = sys.argv[1:] or list(CHECKS)
    if unknown := set(wanted) - set(CHECKS):
        print(f"no check is called {', '.join(sorted(unknown))}; there are: {', '.join(CHECKS)}")
        return 2
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(run, wanted))
    for result in results:
        if not result.is_good:
            print(f"--- {result.name}\n{result.output.rstrip()}\n")
    for result in results:
        print(f"{'ok    ' if result.is_good else 'FAILED'} {result.name:<10} {result.seconds:5.1f} s")
    return 0 if all(result.is_good for result in results) else 1


def run(name: str) -> Result:
    """Run one check from the root of the project."""
    start = time.monotonic()
    done = subprocess.run(CHECKS[name], cwd=ROOT, capture_output=True, text=True, check=False)
    return Result(name, done.returncode == 0, time.monotonic() - start, done.stdout + done.stderr)


if __name__ == "__main__":
    sys.exit(main())

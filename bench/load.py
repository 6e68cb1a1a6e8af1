"""One bounded run of wrk."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.rig import OTHER_CORE

SCRIPT = Path(__file__).with_name("post.lua")


@dataclass(frozen=True)
class Result:
    """What one run saw. Times are microseconds."""

    requests: int
    seconds: float
    p50_us: float
    p99_us: float
    errors: int

    @property
    def per_second(self) -> float:
        """Return requests a second."""
        return self.requests / self.seconds


def run(url: str, body: Path, *, key: str, connections: int, seconds: int) -> Result:
    """Send requests for some seconds and return what came of it."""
    command = ["taskset", "-c", str(OTHER_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout=10s"]
    done = subprocess.run(
        [*command, "-s", str(SCRIPT), url],
        env=os.environ | {"BODY": str(body), "KEY": key},
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 60,
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    told = json.loads(line.removeprefix("RESULT "))
    return Result(
        requests=told["requests"],
        seconds=told["duration_us"] / 1e6,
        p50_us=told["p50"],
        p99_us=told["p99"],
        errors=sum(count for name, count in told.items() if name.startswith("err_")),
    )

"""Run the tests: ours in two processes, and beside them the acceptance tests against a station of their own.

``./station test`` calls this. Paths choose among both; ``-k`` and ``-m`` choose among ours; ``--compiled`` chooses the
acceptance tests and some of ours, on what is compiled; whatever else is given goes to pytest. The acceptance tests
mostly wait for vendors; what they say is shown behind ours, unless ours failed, so that the closing line on the screen
is the one that matters.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent
ACCEPTANCE = ROOT / "tests/acceptance"
# A file's tests stay together: they share a database and its server. Those that take longest begin first.
PARALLEL = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
OWN = [sys.executable, "-m", "pytest", *PARALLEL]
ACCEPTING = [sys.executable, str(ROOT / "tools/acceptance.py")]
LIMIT_S = 25 * 60  # of one part, were a test to hang that its own limit does not end
WITHOUT_SERVERS = "not postgres and not nginx"


@dataclass(frozen=True)
class Plan:
    """What to run: the arguments of each part, or None for a part that is left out."""

    own: list[str] | None
    acceptance: list[str] | None


def main() -> int:
    """Run the parts and return the exit status of the first that fails."""
    made = plan(sys.argv[1:])
    if made.own is None:
        return run([*ACCEPTING, *(made.acceptance or ())])
    if made.acceptance is None:
        return run([*OWN, *made.own])
    with tempfile.TemporaryFile() as said:
        accepting = start([*ACCEPTING, *made.acceptance], said)
        try:
            status = run([*OWN, *made.own])
        finally:
            accepted = ended(accepting, 0 if sys.exc_info()[0] else LIMIT_S)
        if status:
            return status
        said.seek(0)
        sys.stdout.buffer.write(said.read())
    return accepted


def plan(arguments: list[str]) -> Plan:
    """Decide from the arguments what runs."""
    parser = argparse.ArgumentParser(prog="./station test", allow_abbrev=False, add_help=False)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("-k", dest="names", default="")
    parser.add_argument("-m", dest="marks", default="")
    options, others = parser.parse_known_args(arguments)
    if options.quick:
        say("quick: without PostgreSQL, nginx and the acceptance tests")
    paths = [argument for argument in others if (ROOT / argument.partition("::")[0]).exists()]
    flags = [argument for argument in others if argument not in paths]
    names = [f"({options.names})"] * bool(options.names) + [WITHOUT_SERVERS] * options.quick
    chosen = ["-k", " and ".join(names)] * bool(names) + ["-m", options.marks] * bool(options.marks)
    strangers = [path for path in paths if (ROOT / path.partition("::")[0]).is_relative_to(ACCEPTANCE)]
    own = [path for path in paths if path not in strangers]
    is_chosen = bool(paths or options.names or options.marks)
    is_compiled = bool(options.compiled)
    return Plan(
        own=flags + chosen + own if own or not (strangers or is_compiled) else None,
        acceptance=["--compiled"] * is_compiled + flags + strangers
        if strangers or is_compiled or not (is_chosen or options.quick)
        else None,
    )


def run(command: list[str]) -> int:
    """Run a part where everything is, and return its exit status."""
    process = start(command)
    try:
        return ended(process, LIMIT_S)
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGINT)  # it is in a session of its own, and says what it has found so far
        return ended(process, 30)


def start(command: list[str], output: IO[bytes] | None = None) -> "subprocess.Popen[bytes]":
    """Start a part, in a session of its own."""
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdout=output, stderr=output)


def ended(process: "subprocess.Popen[bytes]", limit_s: float) -> int:
    """Wait for a part; what does not end is ended, with everything that it started."""
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        say(f"ended after {limit_s / 60:.0f} minutes")
        return 124
    finally:
        if not isinstance(sys.exc_info()[1], KeyboardInterrupt):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what a test left running, too


def say(text: str) -> None:
    """Tell the reader, in order with what the tests print."""
    print(f"station test: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

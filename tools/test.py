"""Run the tests: ours in two processes, then the acceptance tests against a station of their own.

``./station test`` calls this. Paths choose among both; ``-k`` and ``-m`` choose among ours; whatever else is given goes
to pytest. The first part that fails is the last that runs, so that the closing line on the screen is the one that
matters.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
ACCEPTANCE = ROOT / "tests/acceptance"
# A file's tests stay together: they share a database and its server. Those that take longest begin first.
PARALLEL = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
LIMIT_S = 25 * 60  # of one part, were a test to hang that its own limit does not end
WITHOUT_SERVERS = "not postgres and not nginx"


@dataclass(frozen=True)
class Plan:
    """What to run: the arguments of each part, or None for a part that is left out."""

    own: list[str] | None
    acceptance: list[str] | None


def main() -> int:
    """Run the parts in order and return the exit status of the first that fails."""
    made = plan(sys.argv[1:])
    status = 0
    if made.own is not None:
        status = run([sys.executable, "-m", "pytest", *PARALLEL, *made.own])
    if status == 0 and made.acceptance is not None:
        status = run([sys.executable, str(ROOT / "tools/acceptance.py"), *made.acceptance])
    return status


def plan(arguments: list[str]) -> Plan:
    """Decide from the arguments what runs."""
    parser = argparse.ArgumentParser(prog="./station test", allow_abbrev=False, add_help=False)
    parser.add_argument("--quick", action="store_true")
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
    return Plan(
        own=flags + chosen + own if own or not strangers else None,
        acceptance=flags + strangers if strangers or not (is_chosen or options.quick) else None,
    )


def run(command: list[str]) -> int:
    """Run a part where everything is, and return its exit status. What does not end is ended, with all it started."""
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        return process.wait(LIMIT_S)
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGINT)  # it is in a session of its own, and says what it has found so far
        return process.wait(30)
    except subprocess.TimeoutExpired:
        say(f"ended after {LIMIT_S / 60:.0f} minutes")
        return 124
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what a test left running, too


def say(text: str) -> None:
    """Tell the reader, in order with what the tests print."""
    print(f"station test: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""Run the acceptance tests against a station that is started for them, on free ports with a data folder of its own.

``tests/acceptance.args`` says which of them the station has to pass; paths on the command line choose others. With
``--compiled`` the station runs on the compiled copy, which is made first where there is none; before it so do those of
our own tests that ``tests/compiled.args`` names. When a test fails, the end of the station's log is part of the report.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from compiled import copy_of
from yiapi.supervisor import END_S, NotReady, wait_ready

ROOT = Path(__file__).parent.parent
SELECTION = ROOT / "tests/acceptance.args"
COMPILED_TOO = ROOT / "tests/compiled.args"
YIAPI = Path(sys.executable).with_name("yiapi")
COMPILED = "--compiled"
START_S = 60.0
LOG_LINES = 60


class StationFailed(Exception):
    """The station did not start; the text says what it said."""


class LogTail:
    """Shows the end of the station's log in pytest's own report, before its closing line."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
        """Add the section when something failed."""
        if exitstatus:
            terminalreporter.section("the station's log")
            terminalreporter.line(tail(self._log))


def main() -> int:
    """Start the station, run the tests and return their exit status."""
    claimed, selected = read_selection()
    given = [argument for argument in sys.argv[1:] if argument != COMPILED]
    paths = [argument for argument in given if Path(argument.partition("::")[0]).exists()]
    flags = [argument for argument in given if argument not in paths]
    built = None
    if COMPILED in sys.argv:
        built = made()
        if built is None:
            return 1
        if not paths and (status := own(built, flags)):
            return status
    with tempfile.TemporaryDirectory(prefix="station-") as folder:
        data = Path(folder) / "data"
        log = Path(folder) / "log"
        try:
            with station(data, log, built):
                os.environ |= {"YIAPI_FIRST_RUN": str(data / "first-run.json")}
                os.environ |= {"YIAPI_CLAIMED": claimed} if claimed else {}
                # Warnings inside the vendors' own clients are not ours to mend.
                return pytest.main(["-W", "default", "-p", "no:xdist", *flags, *(paths or selected)], [LogTail(log)])
        except StationFailed as error:
            print(f"the station did not start: {error}\n{tail(log)}", file=sys.stderr)
            return 1


def read_selection() -> tuple[str, list[str]]:
    """Return the rows that are claimed and the tests that have to pass."""
    lines = [line.strip() for line in SELECTION.read_text().splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    claims = [line.partition("=")[2].strip() for line in lines if line.startswith("claimed")]
    return "".join(claims), [f"tests/acceptance/{line}" for line in lines if not line.startswith("claimed")]


def made() -> Path | None:
    """Return the compiled copy of the sources, which is made unless there is one; None if it cannot be made."""
    built = copy_of(ROOT)
    if built.is_dir() or subprocess.run([sys.executable, str(ROOT / "tools/build.py")], check=False).returncode == 0:
        return built
    return None


def own(built: Path, flags: list[str]) -> int:
    """Run our own tests of what is compiled, and return their exit status."""
    lines = [line for line in COMPILED_TOO.read_text().splitlines() if not line.startswith("#")]
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile", *flags, *lines]
    return subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(built)}, check=False).returncode


@contextmanager
def station(data: Path, log: Path, built: Path | None) -> Iterator[None]:
    """Run a station for as long as the block lasts, from a compiled copy if there is one. Raises StationFailed."""
    command = [
        str(YIAPI),
        "serve",
        "--data",
        str(data),
        "--port",
        "0",
        "--sandbox-port",
        "0",
        "--permit-host",
        "127.0.0.1",
    ]
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith("YIAPI_")}
    environment |= {"PYTHONPATH": str(built)} if built else {}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
    try:
        wait_started(process, data / "first-run.json")
        yield
    finally:
        process.terminate()
        try:
            process.wait(END_S + 5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_started(process: "subprocess.Popen[bytes]", first_run: Path) -> None:
    """Wait until the station is ready. Raises StationFailed."""
    end = time.monotonic() + START_S
    while not first_run.exists():
        if process.poll() is not None:
            raise StationFailed(f"it ended with status {process.returncode}")
        if time.monotonic() > end:
            raise StationFailed(f"no {first_run.name} within {START_S:g} s")
        time.sleep(0.05)
    try:
        wait_ready(json.loads(first_run.read_text())["base_url"] + "/readyz", end - time.monotonic())
    except NotReady as error:
        raise StationFailed(str(error)) from error


def tail(log: Path) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])


if __name__ == "__main__":
    sys.exit(main())

"""``--cases DIR`` runs another folder of examples; without it the copies in the project."""

from pathlib import Path

import pytest
from cases_told import COUNTS

DEFAULT = Path(__file__).parent.parent / "cases"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cases", type=Path, default=DEFAULT, help="a folder of examples, one file per provider")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many examples ran, and how many wait for their operations."""
    if COUNTS in config.stash:
        chosen, left_out = config.stash[COUNTS]
        terminalreporter.write_line(f"conformance: {chosen} examples, {left_out} more are not served yet")

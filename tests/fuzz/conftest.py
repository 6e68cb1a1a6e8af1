"""``--long`` looks for minutes where the ordinary run looks for seconds.

What is found is kept beside the test as an example of its own, with the accident it would have been.
"""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

SHORT = 200
LONG = 50_000


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the fuzz tests for minutes each")


def pytest_configure(config: pytest.Config) -> None:
    calm = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
    settings.register_profile("short", max_examples=SHORT, **calm)
    settings.register_profile("long", max_examples=LONG, **calm)
    settings.load_profile("long" if config.getoption("--long") else "short")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give the long form the time that it needs, and leave out what runs in it alone."""
    is_long = config.getoption("--long")
    for item in items:
        if is_long:
            item.add_marker(pytest.mark.timeout(3600))
    left_out = [] if is_long else [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()

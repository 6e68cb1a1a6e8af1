"""``--long`` looks for minutes where the ordinary run looks for seconds.

What is found is kept beside the test as an example of its own, with the accident it would have been.
"""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

SHORT = 200
LONG = 50_000


def pytest_configure(config: pytest.Config) -> None:
    calm = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
    settings.register_profile("short", max_examples=SHORT, **calm)
    settings.register_profile("long", max_examples=LONG, **calm)
    settings.load_profile("long" if config.getoption("--long") else "short")


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()

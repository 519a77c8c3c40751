"""What tests of more than one folder share."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Pools of threads that spin for work make a machine with two cores, a browser and three processes
# many times slower. This stands before torch is loaded, and processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Without a GPU kernels run in Triton's interpreter. Triton settles that when it is first imported,
# which torch may do long before the first test of a kernel.
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# a property either holds or not; how long an example takes says nothing on a shared machine
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
settings.register_profile("mutants", deadline=None, max_examples=20, derandomize=True)

SLOW_TIMEOUT_S = 900  # of tests marked slow or gpu; pyproject.toml has that of all others


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests, and those that compile for a GPU, a longer timeout."""
    for item in items:
        if item.get_closest_marker("slow") or item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.timeout(SLOW_TIMEOUT_S))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """What a test has told torch of threads is no other test's: see above."""
    yield
    if (torch := sys.modules.get("torch")) is not None and torch.get_num_threads() > 1:
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def chromium() -> Path:
    """Where Chromium is; without one the tests that need it are skipped, and say so."""
    # here, since a machine that runs no browser tests need not have Playwright
    from tests.e2e.browser import HOW_TO_GET_ONE, find_chromium

    found = asyncio.run(find_chromium())
    if found is None:
        pytest.skip(HOW_TO_GET_ONE)
    return found

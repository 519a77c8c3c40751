"""What the browser tests share: a Chromium, and what its camera sees."""

import asyncio
from pathlib import Path

import pytest

from tests.e2e.browser import HOW_TO_GET_ONE, find_chromium
from tests.e2e.clips import filmed, numbered


@pytest.fixture(scope="session")
def chromium() -> Path:
    """Where Chromium is; without one the tests that need it are skipped, and say so."""
    found = asyncio.run(find_chromium())
    if found is None:
        pytest.skip(HOW_TO_GET_ONE)
    return found


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A street, as the camera's file."""
    return filmed(tmp_path_factory.mktemp("camera") / "film.y4m")


@pytest.fixture(scope="session")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Numbered pictures, as the camera's file."""
    return numbered(tmp_path_factory.mktemp("camera") / "numbers.y4m")

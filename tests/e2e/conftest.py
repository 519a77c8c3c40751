"""What the camera of the browser tests sees."""

from pathlib import Path

import pytest

from tests.e2e.clips import filmed, numbered


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A street, as the camera's file."""
    return filmed(tmp_path_factory.mktemp("camera") / "film.y4m")


@pytest.fixture(scope="session")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Numbered pictures, as the camera's file."""
    return numbered(tmp_path_factory.mktemp("camera") / "numbers.y4m")

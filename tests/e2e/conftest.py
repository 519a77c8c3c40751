"""The files that the fake camera plays."""

from pathlib import Path

import pytest

from tests.e2e.clips import write_clip, write_numbered


@pytest.fixture(scope="session")
def camera_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A street scene."""
    return write_clip(tmp_path_factory.mktemp("camera") / "camera.y4m")


@pytest.fixture(scope="session")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Numbered pictures."""
    return write_numbered(tmp_path_factory.mktemp("camera") / "numbers.y4m")

"""The doctor is a command that has its process to itself."""

import pytest


@pytest.fixture(autouse=True)
def blocking_calls() -> None:
    """Nothing waits while it reads a file: blocking calls are not looked for."""

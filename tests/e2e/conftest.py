"""What calls in a real browser share: the files that its camera plays, a browser, a server."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e.browser import running_chromium
from tests.e2e.clips import write_clip, write_numbered
from tests.e2e.server import RunningServer, running_server

MAX_STREAMS = 4  # of a server that many tests call


@pytest.fixture(scope="session")
def camera_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A street scene."""
    return write_clip(tmp_path_factory.mktemp("camera") / "camera.y4m")


@pytest.fixture(scope="session")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Numbered pictures."""
    return write_numbered(tmp_path_factory.mktemp("camera") / "numbers.y4m")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: Path, numbers: Path) -> AsyncIterator[Browser]:
    """A Chromium whose camera plays numbered pictures, for all tests; each page has a context, and
    so a storage, of its own."""
    async with running_chromium(chromium, camera=numbers) as browser:
        yield browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def echo_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    log = tmp_path_factory.mktemp("echo") / "server.log"
    async with running_server(pipeline="echo", log=log, max_streams=MAX_STREAMS) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def server(echo_server: RunningServer) -> RunningServer:
    """An echo server with nobody on it, for tests that leave it as it was."""
    await echo_server.until_health(sessions=0, viewers=0, held=0)
    return echo_server

"""A fleet on a real Ray, shared by the tests that need one."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.fleet.ray_fleet import running_fleet

NODES = 2
PLACES = 2


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of a fleet's gate, without a slash at the end."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'slipstream[fleet]'")
    log = tmp_path_factory.mktemp("fleet") / "log"
    async with running_fleet(log, nodes=NODES, places=PLACES) as url:
        yield url

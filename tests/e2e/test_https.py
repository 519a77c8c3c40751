"""The page by the network's address, as from another machine, over https and http."""

from pathlib import Path

import pytest
import yarl
from slipstream_server.http.addresses import lan_addresses

from tests.e2e.browser import running_chromium
from tests.e2e.studio import opened_page
from tests.server.command import slipstream

pytestmark = pytest.mark.browser

TOKEN = "0123456789abcdef"
IPV4 = [address for address in lan_addresses() if ":" not in address]


@pytest.mark.skipif(not IPV4, reason="this machine has no address but its own loopback")
@pytest.mark.parametrize("secure", [True, False])
async def test_the_camera_works_by_the_networks_address(
    secure: bool, chromium: Path, camera_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """over https a call works once the certificate is trusted; over http the browser gives no
    camera, and the page says what to do."""
    monkeypatch.setenv("HOME", str(tmp_path))
    flags = ["--host", "0.0.0.0", "--token", TOKEN, *(["--tls", "self-signed"] if secure else [])]
    async with (
        slipstream(*flags) as (_, address),
        running_chromium(chromium, camera=camera_clip) as browser,
    ):
        url = str(yarl.URL(address).with_host(IPV4[0]))
        async with opened_page(browser, url, trusting=True) as studio:
            assert await studio.page.evaluate("isSecureContext") is secure
            if secure:
                await studio.start()
            else:
                await studio.page.click("#start")
                await studio.until("error")
                assert "https" in await studio.status()

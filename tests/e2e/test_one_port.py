"""Calls of a real browser on one port for media, over UDP and where UDP is blocked."""

from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.e2e.browser import running_chromium
from tests.e2e.server import running_server
from tests.e2e.studio import Studio
from tests.e2e.test_echo import assert_in_order
from tests.server.ports import free_range

pytestmark = pytest.mark.browser

# the page's connection is kept, and gets only the answer's candidates of one transport
_ONLY = """
(() => {
  const peers = (window.peersOfTest = []);
  const set = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
    peers.push(this);
    const others = /a=candidate:\\S+ 1 (?!TRANSPORT )\\S+ .*\\r\\n/g;
    return set.call(this, { type, sdp: sdp.replace(others, "") });
  };
})();
"""
_USED = """
async () => {
  const stats = [...(await window.peersOfTest.at(-1).getStats()).values()];
  const transport = stats.find(({ type }) => type === "transport");
  const pair = stats.find(({ id }) => id === transport.selectedCandidatePairId);
  const [local, remote] = [pair.localCandidateId, pair.remoteCandidateId].map((wanted) =>
    stats.find(({ id }) => id === wanted),
  );
  return [local.protocol, remote.protocol, remote.port];
}
"""


async def used(page: Page) -> list[object]:
    """The transport of each side, and our port."""
    found: list[object] = await page.evaluate(_USED)
    return found


LITE = ("--public-ip", "198.51.100.4")
NO_UDP = (
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
)


@pytest.mark.parametrize(
    ("transport", "more", "flags"),
    [("udp", (), ()), ("udp", LITE, ()), ("tcp", (), NO_UDP), ("tcp", LITE, ())],
    ids=["UDP", "UDP, lite", "UDP is blocked", "TCP is all it knows of, lite"],
)
async def test_a_browser_calls_at_one_port(
    chromium: Path,
    numbers: Path,
    tmp_path: Path,
    transport: str,
    more: tuple[str, ...],
    flags: tuple[str, ...],
) -> None:
    """its pictures come back in order, over the transport that is left to it."""
    port = free_range(1).low
    more = ("--media-port", str(port), *more)
    async with (
        running_server(pipeline="echo", log=tmp_path / "server.log", more=more) as server,
        running_chromium(chromium, camera=numbers, more=flags) as browser,
    ):
        context = await browser.new_context()
        await context.add_init_script(_ONLY.replace("TRANSPORT", transport))
        studio = Studio(await context.new_page())
        await studio.page.goto(server.url)
        await studio.start()
        assert_in_order(await studio.record(count=60))
        assert await used(studio.page) == [transport, transport, port]
        assert studio.failures == []

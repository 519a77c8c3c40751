"""`shared/playout_delay.js`: pictures at once, unless the server was started with `--smooth`."""

import pytest
from slipstream_server.rtp.aiortc_internals import PLAYOUT_DELAY

from tests.web.conftest import FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

_PLAY = """
async ([offer, answer]) => {
  const { minimisePlayoutDelay } = await import("/shared/playout_delay.js");
  const receiver = { jitterBufferTarget: null };
  const pc = { localDescription: { sdp: offer }, remoteDescription: { sdp: answer } };
  minimisePlayoutDelay(pc, receiver);
  minimisePlayoutDelay(pc, {});
  return receiver.jitterBufferTarget;
}
"""
WITH, WITHOUT = f"a=extmap:5 {PLAYOUT_DELAY}", "a=extmap:4 other"


@pytest.mark.parametrize(
    ("offer", "answer", "target_ms"),
    [(WITH, WITH, 0), (WITH, WITHOUT, None), (WITHOUT, WITHOUT, 0)],
)
async def test_a_declined_extension_leaves_the_delay_to_the_browser(
    server: FakeServer, offer: str, answer: str, target_ms: int | None
) -> None:
    """accepted: 0; declined: not set; never offered: 0."""
    assert await server.evaluate(_PLAY, [offer, answer]) == target_ms

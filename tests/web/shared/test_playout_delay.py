"""`shared/playout_delay.js`: the picture at once, unless the server wants it evened out."""

import pytest
from slipstream_server.rtp.aiortc_internals import PLAYOUT_DELAY

from tests.web.conftest import SECURE, Fake

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

_PLAY = """
async ([offer, answer]) => {
  const { settlePace } = await import("/shared/playout_delay.js");
  const receiver = { jitterBufferTarget: null };
  settlePace({ localDescription: { sdp: offer }, remoteDescription: { sdp: answer } }, receiver);
  settlePace({ localDescription: { sdp: offer }, remoteDescription: { sdp: answer } }, {});
  return receiver.jitterBufferTarget;
}
"""
WITH, WITHOUT = f"a=extmap:5 {PLAYOUT_DELAY}", "a=extmap:4 other"


@pytest.mark.parametrize(
    ("offer", "answer", "target_ms"),
    [(WITH, WITH, 0), (WITH, WITHOUT, None), (WITHOUT, WITHOUT, 0)],
)
async def test_a_declined_extension_leaves_the_pace_alone(
    fake: Fake, offer: str, answer: str, target_ms: int | None
) -> None:
    """agreed: at once; declined: as the browser sees fit; never offered: at once."""
    fake.answer("/empty", 200, {})
    await fake.page.goto(f"{SECURE}/empty")
    assert await fake.page.evaluate(_PLAY, [offer, answer]) == target_ms

"""`shared/client_stats.js`: the browser's totals become one message a second."""

from typing import Any

import msgspec
import pytest
from slipstream_server.observability.client_stats import ClientStats, GlassToGlassMs

from tests.web.conftest import FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

_PLAY = """
async (seconds) => {
  const { ClientStats } = await import("/shared/client_stats.js");
  const stats = new ClientStats();
  return seconds.map((second) => JSON.stringify(stats.message(...second)));
}
"""
GLASS = {"covers": "glass", "now_ms": 200, "p50_ms": 180.5, "p95_ms": 222.0}


async def played(server: FakeServer, *seconds: list[Any]) -> list[ClientStats | None]:
    """The message of each second, as the server decodes it."""
    texts: list[str] = await server.evaluate(_PLAY, list(seconds))
    return [msgspec.json.decode(text, type=ClientStats | None) for text in texts]


def video(**totals: float) -> list[dict[str, Any]]:
    """What `getStats` gives, of a call that receives video."""
    return [
        {"type": "inbound-rtp", "kind": "audio", "id": "A", "packetsReceived": 9},
        {"type": "inbound-rtp", "kind": "video", "id": "V", **totals},
        {"type": "candidate-pair", "id": "other", "nominated": True, "currentRoundTripTime": 9},
        {"type": "candidate-pair", "id": "used", "nominated": True, "currentRoundTripTime": 0.004},
        {"type": "transport", "id": "T", "selectedCandidatePairId": "used"},
    ]


async def test_a_message_holds_the_differences_of_a_second(server: FakeServer) -> None:
    """totals minus those before; the jitter buffer's delay per frame that left it."""
    first = video(freezeCount=1, framesDecoded=100, packetsReceived=1000, packetsLost=5)
    second = video(
        freezeCount=2,
        totalFreezesDuration=0.25,
        framesDecoded=129,
        framesDropped=1,
        packetsReceived=1300,
        packetsLost=8,
        jitterBufferDelay=0.29,
        jitterBufferEmittedCount=29,
    )
    first_message, message = await played(
        server, [first, 1000, 100, None], [second, 2000, 128, GLASS]
    )
    assert first_message is None
    assert message == ClientStats(
        freezes=1,
        frozen_ms=250.0,
        received_packets=300,
        lost_packets=3,
        decoded_frames=29,
        dropped_frames=1,
        shown_fps=28.0,
        rtt_ms=4.0,
        jitter_buffer_ms=pytest.approx(10.0),  # type: ignore[arg-type]
        glass_ms=GlassToGlassMs(p50=180.5, p95=222.0),
    )


async def test_what_the_browser_does_not_report_is_null(server: FakeServer) -> None:
    """no candidate pair, no jitter buffer, an age that begins at the server."""
    bare = [{"type": "inbound-rtp", "kind": "video", "id": "V", "packetsLost": 4}]
    fewer = [{"type": "inbound-rtp", "kind": "video", "id": "V", "packetsLost": 2}]
    glass = GLASS | {"covers": "server"}
    _, message = await played(server, [bare, 0, 0, None], [fewer, 1000, 0, glass])
    assert message is not None
    assert (message.rtt_ms, message.jitter_buffer_ms, message.glass_ms) == (None, None, None)
    assert message.lost_packets == 0  # packets counted as lost may still arrive


async def test_without_video_there_is_no_message(server: FakeServer) -> None:
    """as before the call is connected."""
    assert await played(server, [[], 0, 0, None], [[], 1000, 0, None]) == [None, None]

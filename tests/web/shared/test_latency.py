"""`shared/latency.js`: the server's stamps and the frames shown are joined in any order."""

from dataclasses import replace
from typing import Any

import pytest
from slipstream_protocol.messages import StageTimes
from slipstream_server.frames.playout import ScheduledFrame
from slipstream_server.send.frame_timing import FrameTimes

from tests.server.stamped import generated_frame, ms
from tests.web.conftest import FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

ORIGIN_MS = 1_700_000_000_000.0  # of the page's clock, on the wall
SERVER_AHEAD_MS = 5000.0

_PLAY = """
async ({ origin_ms, ahead_ms, events, now_ms }) => {
  const { LatencyMeter } = await import("/shared/latency.js");
  const { ServerClock } = await import("/shared/server_clock.js");
  const clock = new ServerClock();
  const meter = new LatencyMeter(clock, origin_ms);
  if (ahead_ms !== null) clock.add(0, ahead_ms + 1, 2);
  for (const [name, value] of events) {
    meter[name](name === "addStamps" ? new Uint8Array(value).buffer : value);
  }
  return { summary: meter.summary(now_ms), presented: meter.presentedFrames };
}
"""


async def played(
    server: FakeServer,
    *events: list[Any],
    origin_ms: float | None = ORIGIN_MS,
    ahead_ms: float | None = SERVER_AHEAD_MS,
    now_ms: float = 1000.0,
) -> dict[str, Any]:
    """The summary after these calls."""
    got: dict[str, Any] = await server.evaluate(
        _PLAY,
        {"origin_ms": origin_ms, "ahead_ms": ahead_ms, "events": list(events), "now_ms": now_ms},
    )
    return got


def stamps(rtp: int, captured_ms: float, *, dated: bool = True) -> list[Any]:
    """Of a frame captured at `captured_ms` of the page's clock: 5 ms uplink, 3 ms receiving, ..."""
    at_ms = SERVER_AHEAD_MS + captured_ms
    frame = generated_frame(at_ms + 4, received_ms=at_ms + 90)
    engine_stamps = replace(
        frame.stamps,
        chunked_ns=ms(at_ms + 40),
        submitted_ns=ms(at_ms + 41),
        taken_ns=ms(at_ms + 45),
        generated_ns=ms(at_ms + 88),
        stages=StageTimes(encode_ms=10.0, denoise_ms=20.0, decode_ms=8.0),
    )
    frame = replace(
        frame,
        first_packet_ns=ms(at_ms + 5),
        arrived_ns=ms(at_ms + 8),
        captured_unix_ns=ms(ORIGIN_MS + captured_ms) if dated else None,
        stamps=engine_stamps,
    )
    scheduled = ScheduledFrame(generated=frame, play_ns=ms(at_ms + 120), popped_ns=ms(at_ms + 120))
    times = FrameTimes(rtp_timestamp=rtp, scheduled=scheduled, sent_ns=ms(at_ms + 126))
    return ["addStamps", list(times.packed())]


def presented(rtp: int | None, captured_ms: float, *, age_ms: float = 150) -> list[Any]:
    """Received 130 ms after its capture, on the screen `age_ms` after it."""
    return [
        "addFrame",
        {
            "rtp": rtp,
            "shown_ms": captured_ms + age_ms - 10,
            "received_ms": captured_ms + 130,
            "display_ms": captured_ms + age_ms,
        },
    ]


@pytest.mark.parametrize("screen_first", [False, True])
async def test_the_stages_add_up_to_the_age(server: FakeServer, screen_first: bool) -> None:
    """from the camera to the screen, whichever message comes first."""
    events = [stamps(7, 100), presented(7, 100)]
    summary = (await played(server, *(reversed(events) if screen_first else events)))["summary"]
    assert summary["covers"] == "glass"
    assert summary["now_ms"] == pytest.approx(150, abs=0.01)
    assert summary["stages_ms"] == pytest.approx(
        {
            "to_server": 5,
            "receive": 3,
            "collect": 32,
            "queue": 10,
            "encode": 10,
            "denoise": 20,
            "decode": 8,
            "playout": 32,
            "send": 6,
            "back": 4,
            "screen": 20,
        },
        abs=0.01,
    )
    assert sum(summary["stages_ms"].values()) == pytest.approx(150, abs=0.01)


@pytest.mark.parametrize("dated", [True, False])
async def test_without_the_cameras_time_age_begins_at_the_server(
    server: FakeServer, dated: bool
) -> None:
    """the same for a subscriber, whose clock is not the camera's."""
    events = [stamps(7, 100, dated=dated), presented(7, 100)]
    for origin_ms in (None, *(() if dated else (ORIGIN_MS,))):
        summary = (await played(server, *events, origin_ms=origin_ms))["summary"]
        assert summary["covers"] == "server"
        assert summary["now_ms"] == pytest.approx(146, abs=0.01)
        assert summary["stages_ms"]["to_server"] == 0
        assert summary["stages_ms"]["receive"] == pytest.approx(4, abs=0.01)


async def test_an_impossible_capture_time_is_ignored(server: FakeServer) -> None:
    """after the arrival of the frame, or an hour before it."""
    for wrong_ms in (60, -3_600_000):
        events = [stamps(7, 100), presented(7, 100)]
        summary = (await played(server, *events, origin_ms=ORIGIN_MS - wrong_ms))["summary"]
        assert summary["covers"] == "server"


async def test_only_frames_known_to_both_sides_count(server: FakeServer) -> None:
    """one lost on the way, one without stamps, one without a timestamp: no summary."""
    got = await played(server, stamps(1, 10), presented(2, 20), presented(None, 30))
    assert got == {"summary": None, "presented": 2}


async def test_without_the_servers_clock_there_is_no_summary(server: FakeServer) -> None:
    """no ping has been answered yet."""
    got = await played(server, stamps(7, 100), presented(7, 100), ahead_ms=None)
    assert got["summary"] is None


async def test_percentiles_of_ten_seconds(server: FakeServer) -> None:
    """the newest frame's age, p50 and p95; older frames do not count."""
    events = [stamps(0, 0), presented(0, 0, age_ms=900)]
    for number in range(1, 101):
        captured_ms = 11_000 + number
        events += [stamps(number, captured_ms), presented(number, captured_ms, age_ms=140 + number)]
    summary = (await played(server, *events, now_ms=12_000))["summary"]
    assert (summary["now_ms"], summary["p50_ms"], summary["p95_ms"]) == pytest.approx(
        (240, 190, 235), abs=0.01
    )


async def test_an_incomplete_message_is_ignored(server: FakeServer) -> None:
    """one that is not a whole number of records."""
    _, record = stamps(7, 100)
    got = await played(server, ["addStamps", record[:-1]], presented(7, 100))
    assert got["summary"] is None


async def test_memory_is_bounded(server: FakeServer) -> None:
    """stamps whose frame never comes are forgotten; the newest are still joined."""
    events = [stamps(number, number) for number in range(600)]
    got = await played(server, *events, presented(1, 1), presented(599, 599))
    assert got["summary"]["now_ms"] == pytest.approx(150, abs=0.01)
    assert got["presented"] == 2

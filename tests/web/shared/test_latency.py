"""`shared/latency.js`: what the server sent and what the screen shows are joined in any order."""

from dataclasses import replace
from typing import Any

import pytest
from slipstream_protocol.messages import StageTimes
from slipstream_server.frames.playout import ScheduledFrame
from slipstream_server.send.frame_timing import FrameTimes

from tests.server.stamped import generated_frame, ms
from tests.web.conftest import SECURE, Fake

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

ORIGIN_MS = 1_700_000_000_000.0  # of the page's clock, on the wall
SERVER_AHEAD_MS = 5000.0

_PLAY = """
async ({ origin_ms, ahead_ms, events, now_ms }) => {
  const { Glass } = await import("/shared/latency.js");
  const { ServerClock } = await import("/shared/server_clock.js");
  const clock = new ServerClock();
  const glass = new Glass(clock, origin_ms);
  if (ahead_ms !== null) clock.add(0, ahead_ms + 1, 2);
  for (const [name, value] of events) {
    glass[name](name === "told" ? new Uint8Array(value).buffer : value);
  }
  return { figures: glass.figures(now_ms), shown: glass.shown };
}
"""


async def played(
    fake: Fake,
    *events: list[Any],
    origin_ms: float | None = ORIGIN_MS,
    ahead_ms: float | None = SERVER_AHEAD_MS,
    now_ms: float = 1000.0,
) -> dict[str, Any]:
    """The figures after these events."""
    fake.answer("/empty", 200, {})
    await fake.page.goto(f"{SECURE}/empty")
    got: dict[str, Any] = await fake.page.evaluate(
        _PLAY,
        {"origin_ms": origin_ms, "ahead_ms": ahead_ms, "events": list(events), "now_ms": now_ms},
    )
    return got


def told(rtp: int, filmed_ms: float, *, dated: bool = True) -> list[Any]:
    """A frame filmed at `filmed_ms` of the page's clock; 5 ms up, 3 in the buffer, then ..."""
    at_ms = SERVER_AHEAD_MS + filmed_ms
    frame = generated_frame(at_ms + 4, received_ms=at_ms + 90)
    stamps = replace(
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
        captured_unix_ns=ms(ORIGIN_MS + filmed_ms) if dated else None,
        stamps=stamps,
    )
    scheduled = ScheduledFrame(generated=frame, play_ns=ms(at_ms + 120), popped_ns=ms(at_ms + 120))
    times = FrameTimes(rtp_timestamp=rtp, scheduled=scheduled, sent_ns=ms(at_ms + 126))
    return ["told", list(times.packed())]


def presented(rtp: int | None, filmed_ms: float, *, age_ms: float = 150) -> list[Any]:
    """Received 130 ms after it was filmed, on the screen `age_ms` after."""
    return [
        "presented",
        {
            "rtp": rtp,
            "shown_ms": filmed_ms + age_ms - 10,
            "received_ms": filmed_ms + 130,
            "display_ms": filmed_ms + age_ms,
        },
    ]


@pytest.mark.parametrize("screen_first", [False, True])
async def test_every_millisecond_is_somebodys(fake: Fake, screen_first: bool) -> None:
    """from the camera to the screen, the parts add up to the age, whoever tells first."""
    events = [told(7, 100), presented(7, 100)]
    figures = (await played(fake, *(reversed(events) if screen_first else events)))["figures"]
    assert figures["covers"] == "glass"
    assert figures["now_ms"] == pytest.approx(150, abs=0.01)
    assert figures["stages_ms"] == pytest.approx(
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
    assert sum(figures["stages_ms"].values()) == pytest.approx(150, abs=0.01)


@pytest.mark.parametrize("dated", [True, False])
async def test_it_says_what_it_covers(fake: Fake, dated: bool) -> None:
    """without the camera's clock, or with somebody else's, age begins at the server."""
    events = [told(7, 100, dated=dated), presented(7, 100)]
    for origin_ms in (None, *(() if dated else (ORIGIN_MS,))):
        figures = (await played(fake, *events, origin_ms=origin_ms))["figures"]
        assert figures["covers"] == "server"
        assert figures["now_ms"] == pytest.approx(146, abs=0.01)
        assert figures["stages_ms"]["to_server"] == 0
        assert figures["stages_ms"]["receive"] == pytest.approx(4, abs=0.01)


async def test_a_clock_that_was_set_is_not_believed(fake: Fake) -> None:
    """a camera that filmed after its frame came, or an hour before, dates nothing."""
    for wrong_ms in (60, -3_600_000):
        events = [told(7, 100), presented(7, 100)]
        figures = (await played(fake, *events, origin_ms=ORIGIN_MS - wrong_ms))["figures"]
        assert figures["covers"] == "server"


async def test_only_frames_of_both_sides_count(fake: Fake) -> None:
    """one that was lost, one whose stamps were lost, one without a name: no figures."""
    got = await played(fake, told(1, 10), presented(2, 20), presented(None, 30))
    assert got == {"figures": None, "shown": 2}


async def test_before_the_clocks_are_known_nothing_is_claimed(fake: Fake) -> None:
    """no ping has come back yet."""
    got = await played(fake, told(7, 100), presented(7, 100), ahead_ms=None)
    assert got["figures"] is None


async def test_percentiles_of_ten_seconds(fake: Fake) -> None:
    """the newest frame's age, the middle and the worst but one in twenty; older ones are gone."""
    events = [told(0, 0), presented(0, 0, age_ms=900)]
    for number in range(1, 101):
        filmed_ms = 11_000 + number
        events += [told(number, filmed_ms), presented(number, filmed_ms, age_ms=140 + number)]
    figures = (await played(fake, *events, now_ms=12_000))["figures"]
    assert (figures["now_ms"], figures["p50_ms"], figures["p95_ms"]) == pytest.approx(
        (240, 190, 235), abs=0.01
    )


async def test_a_torn_message_is_left_out(fake: Fake) -> None:
    """what is no whole number of records says nothing."""
    _, record = told(7, 100)
    got = await played(fake, ["told", record[:-1]], presented(7, 100))
    assert got["figures"] is None


async def test_memory_is_bounded(fake: Fake) -> None:
    """stamps whose frame never comes make room for others; the newest are still joined."""
    events = [told(number, number) for number in range(600)]
    got = await played(fake, *events, presented(1, 1), presented(599, 599))
    assert got["figures"]["now_ms"] == pytest.approx(150, abs=0.01)
    assert got["shown"] == 2

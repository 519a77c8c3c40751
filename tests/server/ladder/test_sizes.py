"""Sizes as levels: where a stream begins, falls to and climbs to."""

from slipstream_engine.serving.resolution import ResolutionChoice
from slipstream_protocol.clock import NS_PER_MS
from slipstream_protocol.frames import FrameSize

from tests.server.ladder.played_device import device
from tests.server.ladder.readings import PROMISE

SIZED = "4,3,2,1,1/192,1@12/192,1@8/192,held"


def test_smaller_pictures_come_before_fewer() -> None:
    """a device that is too slow for one step makes them smaller, and large again when it can."""
    one = device(steps=1, ladder=SIZED, codec_ms=180, step_ms=180)
    one.run(15)
    assert one.path == ["1/192"]
    assert one.moves[0][1].text.startswith("the largest size -> 192 px: ")
    one.codec_ms = one.step_ms = 60
    one.run(30)
    assert one.path == ["1/192", "1"]


def test_a_stream_that_begins_small_climbs_when_there_is_room() -> None:
    """the machine was busy when it was measured: what it measured then is no verdict for ever."""
    one = device(steps=1, ladder=SIZED, size_px=192)
    assert one.ladder.level.spec == "1/192"
    assert one.ladder.top.spec == "1"
    one.run(20)
    assert one.path == ["1"]


def test_a_machine_that_was_busy_at_its_start_climbs_later() -> None:
    """the rehearsal of the start only chooses where streams begin: small while the machine is busy,
    and large for good soon after it no longer is."""
    choice = ResolutionChoice(
        (FrameSize(256, 256), FrameSize(192, 192)), fps=PROMISE.fps, chunk_frames=4
    )
    while not choice.judge(360 * NS_PER_MS * PROMISE.work_by_scale[choice.size.height_px]):
        pass
    assert choice.size == FrameSize(192, 192)
    one = device(steps=1, ladder=SIZED, size_px=choice.size.height_px, codec_ms=180, step_ms=180)
    one.run(120)
    assert one.path == []
    one.codec_ms = one.step_ms = 60
    one.run(10)
    assert one.path == ["1"]
    one.run(300)
    assert one.path == ["1"]


def test_a_stream_that_begins_small_on_a_slow_machine_stays_so() -> None:
    one = device(steps=1, ladder=SIZED, size_px=192, codec_ms=180, step_ms=180)
    one.run(60)
    assert one.path == []


def test_steps_of_ones_own_are_begun_with_at_the_full_size() -> None:
    """and where a ladder has no sizes there is nothing to begin lower at."""
    assert device(steps=3, ladder=SIZED, size_px=192, is_own=True).ladder.level.spec == "3"
    assert device(steps=1, ladder="2,1,1@8", size_px=192).ladder.level.spec == "1"

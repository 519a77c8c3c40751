"""What the newest chunks say of a stream."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS
from slipstream_protocol.levels import Level
from slipstream_protocol.messages import StageTimes
from slipstream_server.frames.playout import ChunkStamps, GeneratedFrame
from slipstream_server.ladder.chunk_meter import ChunkMeter
from slipstream_server.ladder.promise import Reading

from tests.server.ladder.readings import PROMISE
from tests.server.stamped import captured_frame, ms

LEVEL = Level(steps=2)
STAGES = StageTimes(encode_ms=10, denoise_ms=80, decode_ms=30)


def first_frame(
    captured_ms: float, received_ms: float, stages: StageTimes = STAGES
) -> GeneratedFrame:
    """The first picture of a chunk, filled 250 ms before it came back."""
    received_ns = round(received_ms * NS_PER_MS)
    stamps = ChunkStamps(
        chunked_ns=received_ns - 250 * NS_PER_MS,
        submitted_ns=0,
        taken_ns=0,
        generated_ns=0,
        received_ns=received_ns,
        stages=stages,
    )
    captured_ns = round(captured_ms * NS_PER_MS)
    return GeneratedFrame(
        frame=captured_frame(0).frame,
        captured_ns=captured_ns,
        arrived_ns=captured_ns,
        chunk=0,
        index=0,
        rev=-1,
        stamps=stamps,
    )


def filmed(fps: float = 20, pictures: int = 30) -> ChunkMeter:
    """A meter that knows the camera."""
    meter = ChunkMeter()
    for number in range(pictures):
        meter.on_captured(round(number * 1e9 / fps))
    return meter


def test_a_reading_is_the_age_of_the_newest_chunk_and_the_means_of_the_newest_three() -> None:
    meter = filmed()
    assert meter.on_chunk(first_frame(0, 300), LEVEL) is None, "a period has two ends"
    for number in range(1, 4):
        meter.on_chunk(first_frame(200 * number, 200 * number + 300), LEVEL)
    slow = StageTimes(encode_ms=10, denoise_ms=160, decode_ms=30)
    for number in range(4, 6):
        reading = meter.on_chunk(first_frame(200 * number, 200 * number + 400, slow), LEVEL)
    assert isinstance(reading, Reading)
    assert reading.level == LEVEL
    assert reading.age_ns / NS_PER_MS == pytest.approx(410)
    assert reading.work_ns / NS_PER_MS == pytest.approx((120 + 200 + 200) / 3)
    assert reading.denoise_ns / NS_PER_MS == pytest.approx((80 + 160 + 160) / 3)
    assert reading.camera_fps == pytest.approx(20)


def test_chunks_from_before_a_device_changed_do_not_count() -> None:
    """the first that took more than twice as long, or less than half, says alone what it takes."""
    meter = filmed(pictures=60)
    for number in range(4):
        meter.on_chunk(first_frame(200 * number, 200 * number + 300), LEVEL)
    slow = StageTimes(encode_ms=40, denoise_ms=320, decode_ms=120)
    first = meter.on_chunk(first_frame(800, 1500, slow), LEVEL)
    fast = meter.on_chunk(first_frame(1400, 1650), LEVEL)
    assert first is not None and fast is not None
    assert first.work_ns / NS_PER_MS == pytest.approx(480)
    assert first.denoise_ns / NS_PER_MS == pytest.approx(320)
    assert first.period_ns / NS_PER_MS == pytest.approx(600)
    assert fast.work_ns / NS_PER_MS == pytest.approx(120)


def test_the_link_makes_a_picture_older() -> None:
    meter = filmed()
    meter.link_ns = 50 * NS_PER_MS
    meter.on_chunk(first_frame(0, 300), LEVEL)
    reading = meter.on_chunk(first_frame(200, 500), LEVEL)
    assert reading is not None
    assert reading.age_ns / NS_PER_MS == pytest.approx(360)


def test_a_chunk_that_does_not_come_is_as_old_as_it_is_by_now() -> None:
    meter = filmed()
    assert meter.on_waiting(0, LEVEL, 5 * NS_PER_MS) is None
    meter.on_chunk(first_frame(0, 300), LEVEL)
    meter.on_chunk(first_frame(200, 500), LEVEL)
    reading = meter.on_waiting(400 * NS_PER_MS, LEVEL, 1700 * NS_PER_MS)
    assert reading is not None
    assert reading.age_ns / NS_PER_MS == pytest.approx(1300)


def test_a_chunk_that_runs_far_too_long_tells_before_it_comes() -> None:
    """from where it was begun, after the one before and after it was submitted; what others took of
    the device meanwhile is not its own."""
    meter = filmed()
    meter.on_chunk(first_frame(0, 300), LEVEL)
    meter.on_chunk(first_frame(200, 500), LEVEL)
    work_ms = 120.0  # see STAGES

    def at(now_ms: float, *, submitted_ms: float = 480, others: float = 0.0) -> Reading | None:
        return meter.on_running(ms(submitted_ms), ms(400), LEVEL, ms(now_ms), others=others)

    assert at(500 + 1.5 * work_ms) is None
    reading = at(500 + 4 * work_ms)
    assert reading is not None
    assert reading.work_ns == ms(4 * work_ms)
    assert reading.age_ns == ms(580)
    assert reading.period_ns == ms(4 * work_ms)
    assert reading.denoise_ns / reading.work_ns == pytest.approx(80 / 120)
    assert at(500 + 4 * work_ms, submitted_ms=900) is None, "it waited for the camera"
    assert at(500 + 4 * work_ms, others=0.8) is None


def test_a_break_is_no_period() -> None:
    """after a pause, a change of level, or a clock that went back, measuring begins anew."""
    for received_ms in (9000.0, 300.0, 100.0):
        meter = filmed()
        meter.on_chunk(first_frame(0, 300), LEVEL)
        meter.on_chunk(first_frame(200, 500), LEVEL)
        meter.on_captured(round((received_ms - 200) * NS_PER_MS))
        if received_ms == 300.0:
            meter.restart()
        assert meter.on_chunk(first_frame(0, received_ms), LEVEL) is None
        reading = meter.on_chunk(first_frame(0, received_ms + 150), LEVEL)
        assert reading is not None
        assert reading.period_ns / NS_PER_MS == pytest.approx(150)


@pytest.mark.parametrize(("fps", "period_ms"), [(20, 200), (20, 400), (30, 800), (5, 800)])
def test_a_camera_is_measured_whatever_the_device_makes_of_it(fps: int, period_ms: int) -> None:
    meter = filmed(fps, pictures=fps * 10)
    for number in range(6):
        reading = meter.on_chunk(first_frame(period_ms * number, period_ms * number + 300), LEVEL)
    assert reading is not None
    assert reading.camera_fps == pytest.approx(fps, rel=0.1)


@pytest.mark.parametrize("late_ms", [0, 150, 450])
def test_a_camera_that_slows_down_or_stops_is_no_slow_device(late_ms: int) -> None:
    """chunks further apart, made of as many pictures as it sent in that time, keep the promise of
    a rate; those that repeat its last picture say nothing at all."""
    meter = filmed(pictures=16)  # until 750 ms
    for at_ms in (0, 200, 400, 600):
        meter.on_chunk(first_frame(at_ms, at_ms + 400), LEVEL)  # the last is filled at 750
    meter.on_captured((800 + late_ms) * NS_PER_MS)
    last = meter.on_chunk(first_frame(800 + late_ms, 1550 + late_ms), LEVEL)
    assert last is not None
    assert PROMISE.longest_period_ns(last.camera_fps, LEVEL) >= last.period_ns * 0.99
    repeated = [
        meter.on_chunk(first_frame(at_ms, at_ms + 400), LEVEL) for at_ms in (2600, 3850, 5100, 6350)
    ]
    assert repeated[-1] is None


def test_without_a_camera_there_is_nothing_to_say() -> None:
    meter = filmed(pictures=0)
    meter.on_chunk(first_frame(0, 300), LEVEL)
    assert meter.on_chunk(first_frame(0, 400), LEVEL) is None


@settings(max_examples=30)
@given(st.lists(st.integers(-(10**10), 10**10), max_size=30))
def test_whatever_the_clocks_do_a_reading_can_be_used(times_ms: list[int]) -> None:
    """its age is none of the future, its period and rate are positive."""
    meter = ChunkMeter()
    for at_ms in times_ms:
        meter.on_captured(at_ms * NS_PER_MS)
        meter.on_captured((at_ms + 33) * NS_PER_MS)
        reading = meter.on_chunk(first_frame(at_ms, at_ms // 2), LEVEL)
        if reading is not None:
            assert reading.age_ns >= 0
            assert reading.period_ns > 0
            assert reading.camera_fps > 0

"""The chunker: newest frames, even motion, every drop counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_S
from slipstream_server.frames.chunker import MAX_WAITING_FRAMES, CapturedFrame, Chunker

from tests.server.stamped import GEOMETRY, captured_frame, ms


def times_ms(chunk: tuple[CapturedFrame, ...] | None) -> list[float]:
    assert chunk is not None
    return [frame.captured_ns / 1e6 for frame in chunk]


def test_the_first_chunk_is_longer() -> None:
    """a causal codec starts with one frame more; nothing is handed over before it is there."""
    chunker = Chunker(GEOMETRY)
    for n in range(5):
        assert chunker.take() is None
        chunker.push(captured_frame(n * 30))
    assert times_ms(chunker.take()) == [0, 30, 60, 90, 120]
    assert chunker.take() is None


def test_an_engine_that_keeps_up_gets_every_frame() -> None:
    """taken as soon as a chunk is there, nothing is dropped."""
    chunker = Chunker(GEOMETRY)
    taken = []
    for n in range(5 + 4 * 50):
        chunker.push(captured_frame(n * 30))
        taken += times_ms(chunk) if (chunk := chunker.take()) else []
    assert taken == [n * 30 for n in range(205)]
    assert sum(chunker.drops.values()) == 0


def test_a_slow_engine_gets_even_motion_up_to_the_newest() -> None:
    """at half the camera's rate every second frame is taken, and the newest is among them."""
    chunker = Chunker(GEOMETRY)
    for n in range(5):
        chunker.push(captured_frame(n * 30))
    chunker.take()
    for n in range(5, 13):
        chunker.push(captured_frame(n * 30))
    assert times_ms(chunker.take()) == [180, 240, 300, 360]
    assert chunker.drops["skipped"] == 4


def test_what_waits_too_long_is_dropped() -> None:
    """after a stall of the engine a chunk spans a second at most."""
    chunker = Chunker(GEOMETRY)
    for n in range(90):
        chunker.push(captured_frame(n * 1000 / 30))
    chunk = times_ms(chunker.take())
    assert chunk[-1] == pytest.approx(89 * 1000 / 30)
    assert chunk[-1] - chunk[0] <= 1000
    assert chunker.drops["stale"] == 59


def test_frames_from_before_a_pause_of_the_camera_do_not_come_back() -> None:
    """a chunk is never half from before a gap and half from after it."""
    chunker = Chunker(GEOMETRY)
    for n in range(3):
        chunker.push(captured_frame(n * 30))
    for n in range(5):
        chunker.push(captured_frame(5000 + n * 30))
    assert times_ms(chunker.take())[0] == 5000


def test_flushed_frames_are_counted() -> None:
    """a paused stream drops frames under a name of their own."""
    chunker = Chunker(GEOMETRY)
    for n in range(3):
        chunker.push(captured_frame(n * 30))
    chunker.flush()
    assert chunker.drops["flushed"] == 3


def test_a_frame_of_another_size_is_refused() -> None:
    """the camera changed its size and nobody rescaled."""
    frame = np.zeros((6, 6), np.uint8)
    with pytest.raises(ValueError, match=r"frame is uint8 \(6, 6\)"):
        Chunker(GEOMETRY).push(CapturedFrame(frame=frame, captured_ns=0, arrived_ns=0))


@given(
    st.lists(st.tuples(st.floats(0.1, 300), st.booleans()), max_size=300),
    st.integers(50, 3000),
)
def test_every_frame_is_taken_dropped_or_waiting(
    steps: list[tuple[float, bool]], span_ms: int
) -> None:
    """no frame is lost without a cause, none is handed over twice, time only goes forward, and
    what waits is bounded in number and span."""
    chunker = Chunker(GEOMETRY, max_span_ns=ms(span_ms))
    now_ms = 0.0
    pushed = 0
    taken: list[float] = []
    for step_ms, takes in steps:
        now_ms += step_ms
        chunker.push(captured_frame(now_ms))
        pushed += 1
        if takes and (chunk := chunker.take()):
            times = times_ms(chunk)
            assert times[-1] - times[0] <= span_ms + 1e-3
            assert times[-1] == pytest.approx(now_ms)
            taken += times
    assert taken == sorted(set(taken))
    waiting = pushed - len(taken) - sum(chunker.drops.values())
    assert 0 <= waiting <= MAX_WAITING_FRAMES
    chunker.flush()
    assert pushed == len(taken) + sum(chunker.drops.values())


def test_memory_is_bounded_for_a_camera_without_time() -> None:
    """frames that all claim the same capture time cannot pile up."""
    chunker = Chunker(GEOMETRY, max_span_ns=NS_PER_S)
    for _ in range(10 * MAX_WAITING_FRAMES):
        chunker.push(captured_frame(0))
    assert chunker.drops["stale"] == 9 * MAX_WAITING_FRAMES
